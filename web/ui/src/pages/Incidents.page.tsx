import { Changes } from '../components/Changes';
import { FeedbackCard } from '../components/Feedback';
import { FindingCard } from '../components/Finding';
import { useApi } from '../data/fetch';
import type { Incident } from '../data/types';
import { moment, span } from '../lib/format';

// Incidents lists the stories, newest first.
export function Incidents({ now }: { now: number }) {
  const { data, error } = useApi<{ incidents: Incident[] }>('api/v1/incidents?limit=200', 5);
  if (!data) return <p class="card muted">{error ?? 'loading'}</p>;
  if (data.incidents.length === 0) return <p class="card muted">No incident has been opened. One opens when a finding is published.</p>;
  return (
    <>
      <h1>Incidents</h1>
      {error ? <p class="banner">{error}</p> : null}
      <ul class="card incidents plain">
        {data.incidents.map((i) => (
          <li key={i.id}>
            <State incident={i} />
            <div>
              <a href={`#/incidents/${encodeURIComponent(i.id)}`}>{i.headline}</a>
              <p class="muted">
                <code>{i.root.cause}</code> · {i.root.entity.kind} {i.root.entity.name} · {i.cluster}
                {i.owner ? ` · owner ${i.owner}` : ''}
                {untold(i)}
              </p>
            </div>
            <span class="muted when">
              {moment(i.opened_at, now)} · {i.state === 'resolved' ? 'lasted' : 'for'} {span((endOf(i, now) - Date.parse(i.opened_at)) / 1000)}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

// endOf is when an incident ended, or now.
const endOf = (i: Incident, now: number) => (i.resolved_at ? Date.parse(i.resolved_at) : now);

// untold says why nobody was told of an incident.
function untold(i: Incident): string {
  switch (i.untold) {
    case 'budget':
      return ' · not told by itself: the incident budget of the day is used up';
    case 'standing':
      return ' · not told: it stood when watching began';
    case 'silence':
      return ' · not told: silenced';
    default:
      return '';
  }
}

function State({ incident: i }: { incident: Incident }) {
  return <span class={`badge ${i.state === 'resolved' ? 'benign' : i.severity}`}>{i.state === 'resolved' ? 'resolved' : `${i.severity}, open`}</span>;
}

// IncidentPage is one story: what happened, why, and what changed around it.
export function IncidentPage({ id, now }: { id: string; now: number }) {
  const { data: i, error } = useApi<Incident>(`api/v1/incidents/${encodeURIComponent(id)}`, 5);
  if (!i) return <p class="card muted">{error ?? 'loading'}</p>;
  // A resolved incident is drawn as it was, from 15 minutes before it to 5 after; an open one up to now.
  const last = endOf(i, now);
  const end = i.resolved_at ? Math.floor(last / 1000) + 300 : undefined;
  const minutes = Math.ceil((last - Date.parse(i.opened_at)) / 60000) + (end ? 20 : 15);
  const card = { now: last, window: { minutes, end } };
  return (
    <>
      <p class="basis">
        <a href="#/incidents">All incidents</a>
      </p>
      <h1>
        <State incident={i} /> {i.headline}
      </h1>
      <p class="basis muted">
        opened {moment(i.opened_at, now)} UTC
        {i.owners ? ` · ${i.owners.length === 1 ? 'owner' : 'owners'} ${i.owners.join(', ')}` : ''}
        {i.resolved_at ? ` · resolved ${moment(i.resolved_at, now)} after ${span((last - Date.parse(i.opened_at)) / 1000)}` : ''}
        {untold(i)}
        {i.impact ? ` · hurt since ${moment(i.impact.since, now)}: ${i.impact.text}` : ' · nobody is hurt yet'}
      </p>
      {error ? <p class="banner">{error}</p> : null}
      <FindingCard finding={i.root} {...card} open={true} />
      {(i.consequences ?? []).map((f) => (
        <FindingCard key={f.id} finding={f} {...card} open={false} />
      ))}
      <Changes changes={i.changes} now={now} />
      <FeedbackCard incident={i} now={now} />
    </>
  );
}
