import type { Finding } from '../data/types';

// AdviceList is what to do, in order, with its risk and how one will see that it worked.
export function AdviceList({ finding }: { finding: Finding }) {
  const advice = finding.advice ?? [];
  return (
    <section class="advice">
      {advice.length > 0 ? <h3>Do</h3> : null}
      <ol>
        {advice.map((a) => (
          <li key={a.do}>
            <b>{a.do}</b>
            {a.why ? <p class="muted">{a.why}</p> : null}
            {a.command ? <pre>{a.command}</pre> : null}
            <p class="muted">
              {a.risk ? `risk: ${a.risk}` : ''}
              {a.verify?.text ? ` · ${a.verify.text}` : ''}
            </p>
          </li>
        ))}
      </ol>
      {finding.scale ? (
        <p class="scale">
          <b>Scale: {finding.scale.do}.</b> {finding.scale.why}
        </p>
      ) : null}
    </section>
  );
}
