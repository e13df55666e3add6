import type { Finding } from '../data/types';
import { percent, since, verdictWord } from '../lib/format';
import { AdviceList } from './Advice';
import { EvidenceList } from './Evidence';
import { FindingCharts } from './FindingCharts';

interface Props {
  finding: Finding;
  now: number;
  minutes: number;
  open: boolean;
}

// FindingCard is one cause: the claim, then why, then what to do.
export function FindingCard({ finding: f, now, minutes, open }: Props) {
  const name = f.verdict === 'one_of' && f.causes && f.causes.length > 1 ? f.causes.join(' | ') : f.cause;
  return (
    <article class={`card finding ${f.verdict} ${f.severity}`} data-cause={f.cause}>
      <header>
        <span class={`badge ${f.verdict}`}>
          {verdictWord(f.verdict)} {percent(f.confidence)}
        </span>
        <h2>{f.title || name}</h2>
        <p class="muted">
          <code>{name}</code> · {f.entity.kind} <b>{f.entity.name}</b>
          {(f.locus ?? []).map((l) => (
            <span key={l.name}>
              {' '}
              · {l.kind} <b>{l.name}</b>
            </span>
          ))}{' '}
          · {since(f.since, now)} · assessed on {percent(f.assessed)} of its evidence
        </p>
      </header>
      {f.summary ? <p class="summary">{f.summary}</p> : null}
      {f.trigger ? (
        <p class="summary">
          Set off by {f.trigger.kind}: {f.trigger.text}
        </p>
      ) : null}
      <details open={open}>
        <summary>Why, and what to do</summary>
        <div class="columns">
          <EvidenceList finding={f} />
          <AdviceList finding={f} />
        </div>
        <FindingCharts finding={f} minutes={minutes} />
      </details>
    </article>
  );
}
