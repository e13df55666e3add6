import { useState } from 'preact/hooks';
import type { Window } from '../data/series';
import type { Finding } from '../data/types';
import { confidence, percent, since, verdictWord } from '../lib/format';
import { AdviceList } from './Advice';
import { EvidenceList } from './Evidence';
import { FindingCharts } from './FindingCharts';

interface Props {
  finding: Finding;
  now: number;
  window: Window;
  open: boolean;
}

// FindingCard is one cause: the claim, then why, then what to do. What is folded is not built: its charts would ask
// the server at every tick.
export function FindingCard({ finding: f, now, window, open }: Props) {
  const [unfolded, setUnfolded] = useState(open);
  const causes = f.verdict === 'one_of' && f.causes && f.causes.length > 1 ? f.causes : [f.cause];
  return (
    <article class={`card finding ${f.verdict} ${f.severity}`} data-cause={f.cause}>
      <header>
        <span class={`badge ${f.verdict}`}>
          {verdictWord(f.verdict)} {confidence(f.confidence)}
        </span>{' '}
        <span class={`badge ${f.severity}`}>{f.severity}</span>
        <h2>{f.title || causes.join(' or ')}</h2>
        {f.summary ? <p class="summary">{f.summary}</p> : null}
        {f.trigger ? (
          <p class="summary">
            Set off by {f.trigger.kind}: {f.trigger.text}
          </p>
        ) : null}
        <Facts finding={f} causes={causes} now={now} />
      </header>
      <details open={unfolded} onToggle={(e) => setUnfolded(e.currentTarget.open)}>
        <summary>Why, and what to do</summary>
        {unfolded ? (
          <>
            <div class="columns">
              <EvidenceList finding={f} />
              <AdviceList finding={f} />
            </div>
            <FindingCharts finding={f} window={window} />
          </>
        ) : null}
      </details>
    </article>
  );
}

// Facts is who, where and since when, in one line.
function Facts({ finding: f, causes, now }: { finding: Finding; causes: string[]; now: number }) {
  return (
    <ul class="facts">
      <li>
        {f.entity.kind} <b>{f.entity.name}</b>
      </li>
      {f.owner ? (
        <li>
          owner <b>{f.owner}</b>
        </li>
      ) : null}
      {(f.locus ?? []).map((l) => (
        <li key={l.kind + l.name}>
          {l.kind} <b>{l.name}</b>
        </li>
      ))}
      <li>{since(f.since, now)}</li>
      {f.standing ? <li>stood when watching began</li> : null}
      <li>
        {causes.map((c, i) => (
          <span key={c}>
            {i > 0 ? ' or ' : ''}
            <a href={`#/rules?q=${encodeURIComponent(c)}`}>
              <code>{c}</code>
            </a>
          </span>
        ))}
      </li>
      {f.consequence_of ? (
        <li>
          follows from <code>{f.consequence_of.split('@')[0]}</code>
        </li>
      ) : null}
      <li>{percent(f.assessed)} of its evidence was known</li>
      {f.incident ? (
        <li>
          <a href={`#/incidents/${encodeURIComponent(f.incident)}`}>incident</a>
        </li>
      ) : null}
    </ul>
  );
}
