import type { Report } from '../data/types';

// HealthBadge is the cluster's health in one word; a score that is not known is not drawn.
export function HealthBadge({ report }: { report: Report }) {
  const { score, state } = report.health;
  return (
    <span class={`health ${state}`}>
      {state}
      {score === null ? '' : ` ${score}`}
    </span>
  );
}
