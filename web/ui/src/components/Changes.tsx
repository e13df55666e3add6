import type { Change } from '../data/types';
import { moment } from '../lib/format';

// Changes lists what somebody changed, the risky ones marked.
export function Changes({ changes, now }: { changes: Change[] | null | undefined; now: number }) {
  if (!changes || changes.length === 0) return null;
  return (
    <section class="card">
      <h3>What changed</h3>
      <ul>
        {changes.map((c) => (
          <li key={c.at + c.text}>
            <span class="muted">{moment(c.at, now)}</span> {c.risky ? <span class="badge warning">risky</span> : null} {c.kind}: {c.text}
          </li>
        ))}
      </ul>
    </section>
  );
}
