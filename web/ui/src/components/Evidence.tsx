import type { Evidence, Finding } from '../data/types';
import { percent } from '../lib/format';

// EvidenceList shows what speaks for a cause, what speaks against it, what was ruled out and what is missing.
export function EvidenceList({ finding }: { finding: Finding }) {
  const of = (bearing: Evidence['bearing']) => (finding.evidence ?? []).filter((e) => e.bearing === bearing);
  const alternatives = finding.alternatives ?? [];
  return (
    <section class="evidence">
      <Part title="For" mark="+" items={of('supports')} />
      <Part title="Against" mark="−" items={of('refutes')} />
      {alternatives.length > 0 ? (
        <>
          <h3>Ruled out</h3>
          <ul>
            {alternatives.slice(0, 4).map((a) => (
              <li key={a.cause} class="refutes">
                <span class="mark">−</span>
                <span>
                  <code>{a.cause}</code> {percent(a.confidence)} <span class="muted">{a.why_not}</span>
                </span>
              </li>
            ))}
          </ul>
        </>
      ) : null}
      <Part title="Missing" mark="?" items={of('missing').slice(0, 5)} />
      {finding.ask_next ? <p class="ask">Would tell most next: {finding.ask_next.text}</p> : null}
    </section>
  );
}

function Part({ title, mark, items }: { title: string; mark: string; items: Evidence[] }) {
  if (items.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul>
        {items.map((e) => (
          <li key={e.id} class={e.bearing} title={`${e.id}, weight ${e.weight.toFixed(1)} nats`}>
            <span class="mark">{mark}</span>
            <span>
              {e.text}
              {e.needs ? <span class="muted"> ({e.needs})</span> : null}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
