import { Chart } from '../components/Chart';
import { FindingCard } from '../components/Finding';
import { HealthBadge } from '../components/Health';
import { Sources } from '../components/Sources';
import type { Live } from '../data/reports';
import type { Report } from '../data/types';
import { since } from '../lib/format';
import type { Route } from '../lib/route';
import { withParam } from '../lib/route';

const windows = [15, 60, 360];

// Overview is the first page: what is wrong, why, what to do, and what the answer rests on.
export function Overview({ live, route, now }: { live: Live; route: Route; now: number }) {
  const reports = live.reports ?? [];
  const report = reports.find((r) => r.cluster.name === route.params.get('cluster')) ?? reports[0];
  if (!report) {
    return <p class="card muted">{live.connected ? 'The first report comes with the first tick.' : 'Waiting for the server.'}</p>;
  }
  const minutes = Number(route.params.get('minutes') ?? 15);
  return (
    <>
      {reports.length > 1 ? <Clusters reports={reports} route={route} current={report} /> : null}
      <h1>
        <HealthBadge report={report} /> {report.headline || `${report.cluster.name}: no symptoms`}
      </h1>
      {(report.findings ?? []).map((f, i) => (
        <FindingCard key={f.id} finding={f} now={now} minutes={minutes} open={i === 0} />
      ))}
      <Symptoms report={report} now={now} />
      <Recommendations report={report} />
      <nav class="windows">
        {windows.map((m) => (
          <a key={m} href={withParam(route, 'minutes', String(m))} class={m === minutes ? 'current' : ''}>
            {m < 60 ? `${m} m` : `${m / 60} h`}
          </a>
        ))}
      </nav>
      <div class="charts">
        <Chart
          title="Lag by group"
          unit="seconds"
          minutes={minutes}
          question={{ query: `streamkeeper_group_lag_seconds{cluster="${report.cluster.name}"}`, by: 'group' }}
        />
        <Chart
          title="Rebalances by group"
          unit="per minute"
          minutes={minutes}
          question={{ query: `increase(streamkeeper_broker_group_rebalances_total{cluster="${report.cluster.name}"}[1m])`, by: 'group' }}
        />
        <Chart
          title="Messages in by topic"
          unit="per second"
          minutes={minutes}
          question={{ query: `rate(streamkeeper_topic_end_offset{cluster="${report.cluster.name}"}[1m])`, by: 'topic' }}
        />
      </div>
      <Sources report={report} connected={live.connected} age={(now - new Date(report.generated_at).getTime()) / 1000} />
    </>
  );
}

function Clusters({ reports, route, current }: { reports: Report[]; route: Route; current: Report }) {
  return (
    <nav class="windows">
      {reports.map((r) => (
        <a key={r.cluster.name} href={withParam(route, 'cluster', r.cluster.name)} class={r === current ? 'current' : ''}>
          {r.cluster.name} <HealthBadge report={r} />
        </a>
      ))}
    </nav>
  );
}

function Symptoms({ report, now }: { report: Report; now: number }) {
  const symptoms = report.symptoms ?? [];
  if (symptoms.length === 0) return null;
  const explained = new Set((report.findings ?? []).flatMap((f) => f.explains ?? []));
  return (
    <section class="card">
      <h3>Symptoms</h3>
      <ul>
        {symptoms.map((s) => (
          <li key={s.id + s.entity.name}>
            {s.text} <span class="muted">{since(s.since, now)}</span>
            {explained.has(s.id) ? null : <b> unexplained</b>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Recommendations({ report }: { report: Report }) {
  const all = report.recommendations ?? [];
  if (all.length === 0) return null;
  return (
    <section class="card">
      <h3>Capacity</h3>
      <ul>
        {all.map((r) => (
          <li key={r.kind + r.entity.name}>
            <b>{r.kind.replaceAll('_', ' ')}</b> {r.entity.kind} {r.entity.name}
            {r.from !== null && r.to !== null ? ` ${r.from} → ${r.to}` : ''} <span class="muted">{r.why}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
