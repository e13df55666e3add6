import type { Report } from '../data/types';
import { number } from '../lib/format';

// Sources says how fresh what we look at is, and the diagnoser's own state: a diagnosis on old data must say so.
export function Sources({ report, connected, age }: { report: Report; connected: boolean; age: number }) {
  const late = age > 3 * report.tick_seconds;
  return (
    <section class="card">
      <h3>What this rests on</h3>
      <table>
        <tbody>
          {(report.sources ?? []).map((s) => (
            <tr key={s.name} class={s.error ? 'bad' : ''}>
              <td>{s.name}</td>
              <td class="muted">{s.kind}</td>
              <td>{s.error ? s.error : s.fresh_seconds === null ? 'no data yet' : `${number(s.fresh_seconds)} s old`}</td>
            </tr>
          ))}
          <tr class={late || !connected ? 'bad' : ''}>
            <td>diagnoser</td>
            <td class="muted">ticks every {number(report.tick_seconds)} s</td>
            <td>{connected ? (late ? `last tick ${number(age, 0)} s ago` : 'on time') : 'connection lost, trying again'}</td>
          </tr>
        </tbody>
      </table>
      {(report.not_judged ?? []).length > 0 ? (
        <details>
          <summary>Not judged ({report.not_judged!.length})</summary>
          <ul>
            {report.not_judged!.map((n) => (
              <li key={n.what + n.needs}>
                {n.what} <span class="muted">needs {n.needs}</span>
              </li>
            ))}
          </ul>
        </details>
      ) : null}
    </section>
  );
}
