import type { Evidence, Finding } from '../data/types';
import { confidence } from '../lib/format';

// likely is where a rival is still possible; below it, it is ruled out.
const likely = 0.05;

// EvidenceList shows what speaks for a cause, what speaks against it, what was ruled out and what is missing.
export function EvidenceList({ finding }: { finding: Finding }) {
  const of = (bearing: Evidence['bearing']) => (finding.evidence ?? []).filter((e) => e.bearing === bearing);
  const rivals = finding.alternatives ?? [];
  const missing = of('missing');
  const unsure = finding.verdict !== 'root_cause' && finding.verdict !== 'benign';
  return (
    <section class="evidence">
      <Part title="For" mark="+" items={of('supports')} />
      <Part title="Against" mark="−" items={of('refutes')} />
      <Rivals title="Also possible" mark="~" items={rivals.filter((r) => r.confidence >= likely)} />
      <Rivals title="Ruled out" mark="−" items={rivals.filter((r) => r.confidence < likely).slice(0, 4)} />
      {unsure && finding.ask_next ? <p class="ask">Would tell most next: {finding.ask_next.text}</p> : null}
      {missing.length > 0 ? (
        <details>
          <summary>Not known ({missing.length})</summary>
          <Items mark="?" items={missing} />
        </details>
      ) : null}
    </section>
  );
}

function Part({ title, mark, items }: { title: string; mark: string; items: Evidence[] }) {
  if (items.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <Items mark={mark} items={items} />
    </>
  );
}

function Items({ mark, items }: { mark: string; items: Evidence[] }) {
  return (
    <ul>
      {items.map((e) => (
        <li key={e.id} class={e.bearing} title={`${e.id}, weight ${e.weight.toFixed(1)} nats`}>
          <span class="mark">{mark}</span>
          <span>
            {e.text}
            {e.needs ? <span class="muted"> · needs {e.needs}</span> : null}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Rivals({ title, mark, items }: { title: string; mark: string; items: NonNullable<Finding['alternatives']> }) {
  if (items.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul>
        {items.map((a) => (
          <li key={a.cause} class={a.confidence < likely ? 'refutes' : 'missing'}>
            <span class="mark">{mark}</span>
            <span>
              <code>{a.cause}</code> {a.confidence < 0.01 ? null : confidence(a.confidence)} <span class="muted">{a.why_not}</span>
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}
