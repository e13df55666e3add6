import type { Finding } from '../data/types';
import { Chart } from './Chart';

// escape makes a name safe inside a PromQL string.
const escape = (name: string) => name.replace(/\\/g, '\\\\').replace(/"/g, '\\"');

// FindingCharts draws the measurements behind a finding, by the kind of its entity.
export function FindingCharts({ finding, minutes }: { finding: Finding; minutes: number }) {
  const { kind, name, cluster } = finding.entity;
  const at = `cluster="${escape(cluster)}"`;
  const common = { minutes, since: finding.since };
  if (kind === 'group') {
    const of = `{${at},group="${escape(name)}"}`;
    return (
      <div class="charts">
        <Chart title="Lag" unit="seconds" question={{ query: `streamkeeper_group_lag_seconds${of}`, by: 'group' }} {...common} />
        <Chart
          title="Rebalances"
          unit="per minute"
          question={{ query: `increase(streamkeeper_broker_group_rebalances_total${of}[1m])`, by: 'group' }}
          {...common}
        />
        <Chart title="Members" unit="" question={{ query: `streamkeeper_group_members${of}`, by: 'group' }} {...common} />
      </div>
    );
  }
  if (kind === 'store') {
    const of = `{${at},store="${escape(name)}"}`;
    return (
      <div class="charts">
        <Chart
          title="Store calls"
          unit="per second, by class"
          question={{ query: `sum by (class) (rate(streamkeeper_broker_store_calls_total${of}[1m]))`, by: 'class' }}
          {...common}
        />
        <Chart
          title="Oldest data not offloaded"
          unit="seconds"
          question={{ query: `streamkeeper_broker_offload_oldest_seconds${of}`, by: 'store' }}
          {...common}
        />
      </div>
    );
  }
  return null;
}
