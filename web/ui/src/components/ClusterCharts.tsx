import type { Window } from '../data/series';
import { quote, top } from '../lib/promql';
import { Chart } from './Chart';

// ClusterCharts is the whole cluster at a glance: the few groups and topics that stand out.
export function ClusterCharts({ cluster, window }: { cluster: string; window: Window }) {
  const at = `cluster="${quote(cluster)}"`;
  const over = `${window.minutes}m`;
  const lag = `streamkeeper_group_lag_seconds{${at}}`;
  const rebalances = `streamkeeper_broker_group_rebalances_total{${at}}`;
  const ends = `streamkeeper_topic_end_offset{${at},topic!~"__.*"}`;
  const charts = [
    { title: 'Lag by group', unit: 'seconds', by: 'group', query: top(lag, 'group', `max_over_time(${lag}[${over}] @ end())`) },
    {
      title: 'Rebalances by group',
      unit: 'per minute',
      by: 'group',
      query: top(`sum by (group) (increase(${rebalances}[1m]))`, 'group', `sum by (group) (increase(${rebalances}[${over}] @ end()))`),
    },
    { title: 'Messages in by topic', unit: 'per second', by: 'topic', query: top(`rate(${ends}[1m])`, 'topic', `rate(${ends}[${over}] @ end())`) },
  ];
  return (
    <div class="charts">
      {charts.map(({ title, unit, by, query }) => (
        <Chart key={title} title={title} unit={unit} question={{ query, by }} window={window} />
      ))}
    </div>
  );
}
