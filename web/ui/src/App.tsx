import { Banner } from './components/Banner';
import { useNow } from './data/clock';
import { useReports } from './data/reports';
import { clock } from './lib/format';
import { useRoute } from './lib/route';
import { statusOf } from './lib/status';
import { IncidentPage, Incidents } from './pages/Incidents.page';
import { Overview } from './pages/Overview.page';
import { Rules } from './pages/Rules.page';

// App is the route table, and what stands on every page: where one is, and whether the page is live.
export function App() {
  const live = useReports();
  const route = useRoute();
  const now = useNow();
  const reports = live.reports ?? [];
  const report = reports.find((r) => r.cluster.name === route.params.get('cluster')) ?? reports[0];
  const status = statusOf(live.connected, report, now);
  const page = () => {
    if (route.page === 'incidents') return route.id ? <IncidentPage key={route.id} id={route.id} now={now} /> : <Incidents now={now} />;
    if (route.page === 'rules') return <Rules route={route} />;
    return <Overview live={live} report={report} route={route} now={now} />;
  };
  const link = (name: string, title: string) => (
    <a href={`#/${name === 'overview' ? '' : name}`} aria-current={route.page === name ? 'page' : undefined}>
      {title}
    </a>
  );
  return (
    <>
      <header class="top">
        <b class="name">Streamkeeper</b>
        <nav>
          {link('overview', 'Now')}
          {link('incidents', 'Incidents')}
          {link('rules', 'Rules')}
        </nav>
        <span class="clock muted">{clock(now)} UTC</span>
        <span class={`status ${status.state}`}>{status.text}</span>
      </header>
      <Banner status={status} report={report} now={now} />
      <main class={status.state === 'live' ? '' : 'stale'}>{page()}</main>
    </>
  );
}
