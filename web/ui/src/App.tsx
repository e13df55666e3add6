import { useEffect, useState } from 'preact/hooks';
import { useReports } from './data/reports';
import { useRoute } from './lib/route';
import { IncidentPage, Incidents } from './pages/Incidents.page';
import { Overview } from './pages/Overview.page';
import { Rules } from './pages/Rules.page';

// App is the route table.
export function App() {
  const live = useReports();
  const route = useRoute();
  const now = useNow();
  const page = () => {
    if (route.page === 'incidents') return route.id ? <IncidentPage id={route.id} now={now} /> : <Incidents now={now} />;
    if (route.page === 'rules') return <Rules />;
    return <Overview live={live} route={route} now={now} />;
  };
  const link = (name: string, title: string) => (
    <a href={`#/${name === 'overview' ? '' : name}`} class={route.page === name ? 'current' : ''}>
      {title}
    </a>
  );
  return (
    <>
      <header class="top">
        <b>Streamkeeper</b>
        <nav>
          {link('overview', 'Now')}
          {link('incidents', 'Incidents')}
          {link('rules', 'Rules')}
        </nav>
        <span class={live.connected ? 'live' : 'live cut'}>{live.connected ? 'live' : 'not connected'}</span>
      </header>
      <main>{page()}</main>
    </>
  );
}

// useNow ticks once a second, so that ages on the page are true without new data.
function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
