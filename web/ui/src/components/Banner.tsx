import type { Report } from '../data/types';
import { moment, span } from '../lib/format';
import type { Status } from '../lib/status';
import { ageSeconds } from '../lib/status';

// Banner says that the page is old before anybody acts on it; while all is well it is not there.
export function Banner({ status, report, now }: { status: Status; report: Report | undefined; now: number }) {
  if (status.state === 'live' || !report) return null;
  const what = status.state === 'cut' ? 'The server does not answer; trying again.' : 'The diagnoser has missed its ticks.';
  return (
    <p class="banner" role="alert">
      <b>{what}</b> What you see is from {moment(report.generated_at, now)} UTC, {span(ageSeconds(report, now))} ago.
    </p>
  );
}
