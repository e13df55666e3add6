import type { Report } from '../data/types';

// The page's own state: whether what it shows can still be trusted.
export interface Status {
  state: 'live' | 'late' | 'cut';
  text: string;
}

// patience is how many ticks may be missing before the page says so.
const patience = 3;

// isLate tells whether the diagnoser has stopped looking. now is the server's time, in ms.
export function isLate(report: Report, now: number): boolean {
  return ageSeconds(report, now) > patience * report.tick_seconds;
}

export function ageSeconds(report: Report, now: number): number {
  return Math.max(0, (now - Date.parse(report.generated_at)) / 1000);
}

// statusOf judges the connection first: without it nothing is known of the diagnoser.
export function statusOf(connected: boolean, report: Report | undefined, now: number): Status {
  if (!connected) return { state: 'cut', text: 'not connected' };
  if (report && isLate(report, now)) return { state: 'late', text: 'late' };
  return { state: 'live', text: 'live' };
}
