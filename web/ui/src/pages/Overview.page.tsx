import { useEffect, useState } from 'preact/hooks';
import { Changes } from '../components/Changes';
import { ClusterCharts } from '../components/ClusterCharts';
import { FindingCard } from '../components/Finding';
import { HealthBadge } from '../components/Health';
import { Sources } from '../components/Sources';
import { Symptoms } from '../components/Symptoms';
import type { Live } from '../data/reports';
import type { Finding, Report } from '../data/types';
import type { Some } from '../lib/brief';
import { fullAndBrief } from '../lib/brief';
import { count, moment, span, verdictWord } from '../lib/format';
import type { Route } from '../lib/route';
import { withParam } from '../lib/route';
import { ageSeconds } from '../lib/status';

const windows = [5, 15, 60, 360];

// Overview is the first page: what is wrong, why, what to do, and what the answer rests on.
export function Overview({ live, report, route, now }: { live: Live; report: Report | undefined; route: Route; now: number }) {
  const findings = report?.findings ?? [];
  const title = !report ? 'Streamkeeper' : `${findings[0]?.cause ?? report.health.state} · ${report.cluster.name} · Streamkeeper`;
  useEffect(() => {
    document.title = title;
  }, [title]);
  if (!report) {
    return <p class="card muted">{live.connected ? `No report yet: ${live.waiting ?? 'the first tick has not run'}.` : 'Waiting for the server.'}</p>;
  }
  const asked = Number(route.params.get('minutes'));
  const minutes = asked > 0 && asked <= 10080 ? asked : 15;
  const reports = live.reports ?? [];
  const { full, brief } = fullAndBrief(findings);
  return (
    <>
      {reports.length > 1 ? <Clusters reports={reports} route={route} current={report} /> : null}
      <h1 aria-live="polite">
        <HealthBadge report={report} /> {report.headline || 'no symptoms'}
      </h1>
      <Basis report={report} now={now} />
      <FirstDay report={report} now={now} />
      {full.map((f, i) => (
        <FindingCard key={f.id} finding={f} now={now} window={{ minutes }} open={i === 0} />
      ))}
      {brief.map((same) => (
        <Brief key={`${same[0].verdict} ${same[0].cause}`} same={same} now={now} minutes={minutes} />
      ))}
      <Symptoms report={report} now={now} />
      <Changes changes={report.changes} now={now} />
      <Recommendations report={report} />
      <nav class="windows" aria-label="Window of the charts">
        <span class="muted">last</span>
        {windows.map((m) => (
          <a key={m} href={withParam(route, 'minutes', String(m))} class={m === minutes ? 'current' : ''}>
            {m < 60 ? `${m} m` : `${m / 60} h`}
          </a>
        ))}
      </nav>
      <ClusterCharts cluster={report.cluster.name} window={{ minutes }} />
      <Sources report={report} connected={live.connected} now={now} />
    </>
  );
}

// Brief names the findings of one cause that are not worth a card each; unfolded, it has the cards.
function Brief({ same, now, minutes }: { same: Some<Finding>; now: number; minutes: number }) {
  const [open, setOpen] = useState(false);
  const [first] = same;
  return (
    <details class="brief" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        <span class={`badge ${first.verdict}`}>{verdictWord(first.verdict)}</span> {first.title} · {count(same.length, first.entity.kind)}
      </summary>
      {open ? same.map((f) => <FindingCard key={f.id} finding={f} now={now} window={{ minutes }} open={false} />) : null}
    </details>
  );
}

// Basis is what stands behind the headline: a calm page says what it looked at, and when.
function Basis({ report, now }: { report: Report; now: number }) {
  const sources = report.sources ?? [];
  const bad = sources.filter((s) => s.error || s.stale).length;
  const unjudged = (report.not_judged ?? []).length;
  return (
    <p class="basis muted">
      cluster <b>{report.cluster.name}</b> · looked {span(ageSeconds(report, now))} ago · {count(sources.length, 'source')}
      {bad > 0 ? <b class="bad">, {bad} failing</b> : null}
      {report.ignored ? ` · ${count(report.ignored, 'group or topic', 'groups and topics')} ignored` : ''}
      {unjudged > 0 ? ` · ${count(unjudged, 'thing')} not judged` : ''}
    </p>
  );
}

// FirstDay says why nobody is told of what stands.
function FirstDay({ report, now }: { report: Report; now: number }) {
  const day = report.first_day;
  if (!day) return null;
  return (
    <p class="basis muted">
      First day, until {moment(day.until, now)} UTC: what stood when watching began ({count(day.standing, 'symptom')}) is listed and not paged.
    </p>
  );
}

function Clusters({ reports, route, current }: { reports: Report[]; route: Route; current: Report }) {
  return (
    <nav class="windows" aria-label="Clusters">
      {reports.map((r) => (
        <a key={r.cluster.name} href={withParam(route, 'cluster', r.cluster.name)} class={r === current ? 'current' : ''}>
          {r.cluster.name} <HealthBadge report={r} />
        </a>
      ))}
    </nav>
  );
}

function Recommendations({ report }: { report: Report }) {
  const all = report.recommendations ?? [];
  if (all.length === 0) return null;
  return (
    <section class="card">
      <h3>Capacity</h3>
      <ul class="plain">
        {all.map((r) => (
          <li key={`${r.kind} ${r.entity.kind} ${r.entity.name}`}>
            <b>{r.kind.replaceAll('_', ' ')}</b> {r.entity.kind} {r.entity.name}
            {r.from !== null && r.to !== null && r.from !== r.to ? ` ${r.from} → ${r.to}` : ''} <span class="muted">{r.why}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
