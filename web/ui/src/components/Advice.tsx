import type { Advice, Finding } from '../data/types';
import { span } from '../lib/format';

// Titles of the catalog's word on scaling.
const scaling: Record<string, string> = { no: 'Scaling will not help', yes: 'Scaling helps', after: 'Scale only after that' };

// AdviceList is what to do, in order, with its risk and how one will see that it worked.
export function AdviceList({ finding }: { finding: Finding }) {
  const advice = finding.advice ?? [];
  const proofs = [...new Set(advice.map(proof))];
  const shared = proofs.length === 1 ? proofs[0] : undefined;
  return (
    <section class="advice">
      {advice.length > 0 ? <h3>Do</h3> : null}
      <ol>
        {advice.map((a) => (
          <li key={a.do}>
            <b>{a.do}</b>
            {a.why ? <p class="muted">{a.why}</p> : null}
            {a.command ? <pre>{a.command}</pre> : null}
            {a.risk ? <p class="muted">risk: {a.risk}</p> : null}
            {shared === undefined && proof(a) ? <p class="muted">{proof(a)}</p> : null}
          </li>
        ))}
      </ol>
      {shared ? <p class="muted">{shared}</p> : null}
      {finding.scale ? (
        <p class="scale">
          <b>{scaling[finding.scale.do] ?? `Scale: ${finding.scale.do}`}.</b> {finding.scale.why}
        </p>
      ) : null}
    </section>
  );
}

// proof is how to see that advice worked, and by when.
function proof(a: Advice): string {
  if (!a.verify?.text) return '';
  return a.verify.within_seconds > 0 ? `${a.verify.text} (within ${span(a.verify.within_seconds)})` : a.verify.text;
}
