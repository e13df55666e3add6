import { FindingCard } from '../components/Finding';
import { useApi } from '../data/fetch';
import type { Incident } from '../data/types';
import { clock, span } from '../lib/format';

// Incidents lists the stories, newest first.
export function Incidents({ now }: { now: number }) {
  const { data, error } = useApi<{ incidents: Incident[] }>('api/v1/incidents?limit=200', 5);
  if (error) return <p class="card">{error}</p>;
  if (!data) return <p class="card muted">loading</p>;
  if (data.incidents.length === 0) return <p class="card muted">No incident has been opened.</p>;
  return (
    <table class="card incidents">
      <thead>
        <tr>
          <th>State</th>
          <th>Opened</th>
          <th>Lasted</th>
          <th>What</th>
          <th>Cause</th>
        </tr>
      </thead>
      <tbody>
        {data.incidents.map((i) => (
          <tr key={i.id}>
            <td>
              <span class={`badge ${i.state === 'resolved' ? 'benign' : i.severity}`}>{i.state}</span>
            </td>
            <td>{clock(i.opened_at)}</td>
            <td>{span(((i.resolved_at ? new Date(i.resolved_at).getTime() : now) - new Date(i.opened_at).getTime()) / 1000)}</td>
            <td>
              <a href={`#/incidents/${encodeURIComponent(i.id)}`}>{i.headline}</a>
            </td>
            <td>
              <code>{i.root.cause}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

// IncidentPage is one story: what happened, why, and what changed around it.
export function IncidentPage({ id, now }: { id: string; now: number }) {
  const { data: i, error } = useApi<Incident>(`api/v1/incidents/${encodeURIComponent(id)}`, 5);
  if (error) return <p class="card">{error}</p>;
  if (!i) return <p class="card muted">loading</p>;
  const changes = i.changes ?? [];
  return (
    <>
      <h1>
        <span class={`badge ${i.state === 'resolved' ? 'benign' : i.severity}`}>{i.state}</span> {i.headline}
      </h1>
      <p class="muted">
        opened {clock(i.opened_at)}
        {i.impact ? ` · hurt since ${clock(i.impact.since)}: ${i.impact.text}` : ' · nobody is hurt yet'}
        {i.resolved_at ? ` · resolved ${clock(i.resolved_at)}` : ''}
      </p>
      <FindingCard finding={i.root} now={now} minutes={60} open={true} />
      {(i.consequences ?? []).map((f) => (
        <FindingCard key={f.id} finding={f} now={now} minutes={60} open={false} />
      ))}
      {changes.length > 0 ? (
        <section class="card">
          <h3>What changed</h3>
          <ul>
            {changes.map((c) => (
              <li key={c.at + c.text}>
                {clock(c.at)} {c.kind}: {c.text}
              </li>
            ))}
          </ul>
        </section>
      ) : null}
    </>
  );
}
