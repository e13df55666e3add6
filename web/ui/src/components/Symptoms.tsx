import type { Report } from '../data/types';
import { since } from '../lib/format';

// Symptoms lists what is observed, and whether a finding explains it.
export function Symptoms({ report, now }: { report: Report; now: number }) {
  const symptoms = report.symptoms ?? [];
  if (symptoms.length === 0) return null;
  const explained = new Set((report.findings ?? []).flatMap((f) => f.explains ?? []));
  return (
    <section class="card">
      <h3>Symptoms</h3>
      <ul class="plain">
        {symptoms.map((s) => (
          <li key={`${s.id} ${s.entity.kind} ${s.entity.name}`}>
            <span class={`dot ${s.severity}`} title={s.severity} /> {s.text} <span class="muted">{since(s.since, now)}</span>{' '}
            {s.standing ? <span class="badge info">standing</span> : null} {explained.has(s.id) ? null : <span class="badge warning">not explained yet</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}
