import type { Window } from '../data/series';
import type { Finding } from '../data/types';
import { labels, top } from '../lib/promql';
import { Chart } from './Chart';

interface Drawing {
  title: string;
  unit: string;
  query: string;
  by: string;
}

// FindingCharts draws the measurements behind a finding; the dashed line is where it began.
export function FindingCharts({ finding, window }: { finding: Finding; window: Window }) {
  const all = drawings(finding);
  if (all.length === 0) return null;
  return (
    <div class="charts">
      {all.map(({ title, unit, query, by }) => (
        <Chart key={title} title={title} unit={unit} question={{ query, by }} window={window} since={finding.since} />
      ))}
    </div>
  );
}

// drawings are what is worth seeing, by the kind of the entity and of what is blamed inside it.
function drawings({ entity: { kind, name, cluster }, locus }: Finding): Drawing[] {
  const of = labels({ cluster, [kind]: name });
  switch (kind) {
    case 'group': {
      const partitions = `streamkeeper_group_partition_lag_messages${of}`;
      const inside = (locus ?? []).some((l) => l.kind === 'partition')
        ? { title: 'Lag by partition', unit: 'messages', query: top(partitions, 'topic, partition', `${partitions} @ end()`), by: 'partition' }
        : { title: 'Members', unit: '', query: `streamkeeper_group_members${of}`, by: 'group' };
      return [
        { title: 'Lag', unit: 'seconds', query: `streamkeeper_group_lag_seconds${of}`, by: 'group' },
        { title: 'Rebalances', unit: 'per minute', query: `sum by (group) (increase(streamkeeper_broker_group_rebalances_total${of}[1m]))`, by: 'group' },
        inside,
      ];
    }
    case 'store':
      return [
        { title: 'Store calls', unit: 'per second, by class', query: `sum by (class) (rate(streamkeeper_broker_store_calls_total${of}[1m]))`, by: 'class' },
        { title: 'Oldest data not offloaded', unit: 'seconds', query: `streamkeeper_broker_offload_oldest_seconds${labels({ cluster })}`, by: 'broker' },
      ];
    case 'broker':
      return [
        { title: 'Reachable', unit: '1 is yes', query: `streamkeeper_broker_reachable${of}`, by: 'broker' },
        { title: 'Partitions led', unit: '', query: `streamkeeper_broker_leaderships${of}`, by: 'broker' },
      ];
    case 'topic':
      return [{ title: 'Messages in', unit: 'per second', query: `rate(streamkeeper_topic_end_offset${of}[1m])`, by: 'topic' }];
    default:
      return [];
  }
}
