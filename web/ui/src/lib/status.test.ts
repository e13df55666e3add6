import { expect, test } from 'vitest';
import type { Report } from '../data/types';
import { isLate, statusOf } from './status';

const report = { generated_at: '2026-01-02T10:00:00Z', tick_seconds: 5 } as Report;
const at = (seconds: number) => Date.parse(report.generated_at) + 1000 * seconds;

test('three missing ticks are late, two are not', () => {
  expect(isLate(report, at(14))).toBe(false);
  expect(isLate(report, at(16))).toBe(true);
});

test('a cut connection is told before a late diagnoser', () => {
  expect(statusOf(false, report, at(60)).state).toBe('cut');
  expect(statusOf(true, report, at(60)).state).toBe('late');
  expect(statusOf(true, report, at(2)).state).toBe('live');
  expect(statusOf(true, undefined, at(2)).state).toBe('live');
});
