import type { Report, Source } from '../data/types';
import { number, span } from '../lib/format';
import { ageSeconds, isLate } from '../lib/status';

// Sources says how fresh what we look at is, and the diagnoser's own state: a diagnosis on old data must say so.
export function Sources({ report, connected, now }: { report: Report; connected: boolean; now: number }) {
  const age = ageSeconds(report, now);
  const late = isLate(report, now);
  const sources = report.sources ?? [];
  const unjudged = report.not_judged ?? [];
  return (
    <section class="card sources">
      <h3>What this rests on</h3>
      <table>
        <tbody>
          {sources.map((s) => (
            <tr key={s.name} class={s.error || s.stale ? 'bad' : ''}>
              <td>{s.name}</td>
              <td class="muted">{s.kind}</td>
              <td>{freshness(s)}</td>
            </tr>
          ))}
          {sources.length === 0 ? (
            <tr class="bad">
              <td colSpan={3}>no source has answered yet</td>
            </tr>
          ) : null}
          <tr class={late || !connected ? 'bad' : ''}>
            <td>diagnoser</td>
            <td class="muted">ticks every {number(report.tick_seconds)} s</td>
            <td>{connected ? (late ? `last tick ${span(age)} ago` : 'on time') : 'connection lost, trying again'}</td>
          </tr>
        </tbody>
      </table>
      {unjudged.length > 0 ? (
        <details>
          <summary>Not judged ({unjudged.length})</summary>
          <ul>
            {unjudged.map((n) => (
              <li key={n.what + n.needs}>
                {n.what} <span class="muted">· needs {n.needs}</span>
              </li>
            ))}
          </ul>
        </details>
      ) : null}
    </section>
  );
}

// freshness says how old what a source told is, and what is wrong with it.
function freshness({ fresh_seconds, stale, error }: Source): string {
  const age = fresh_seconds === null ? 'never read whole' : stale ? `stale, last read whole ${span(fresh_seconds)} ago` : `${number(fresh_seconds)} s old at the last tick`;
  if (error) return fresh_seconds === null || stale ? `${age}: ${error}` : error;
  return fresh_seconds === null && !stale ? 'no data yet' : age;
}
