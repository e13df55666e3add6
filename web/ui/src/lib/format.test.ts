import { expect, test } from 'vitest';
import { clock, number, percent, since, span } from './format';

test('durations as people say them', () => {
  expect(span(38)).toBe('38 s');
  expect(span(252)).toBe('4 m 12 s');
  expect(span(300)).toBe('5 m');
  expect(span(7500)).toBe('2 h 5 m');
  expect(span(-3)).toBe('0 s');
});

test('a probability that is not zero never reads as zero', () => {
  expect(percent(0.004)).toBe('< 1 %');
  expect(percent(0)).toBe('0 %');
  expect(percent(0.97)).toBe('97 %');
});

test('unknown is not zero', () => {
  expect(number(null)).toBe('unknown');
  expect(number(0)).toBe('0');
  expect(number(Number.NaN)).toBe('unknown');
});

test('a time that is not known is not written', () => {
  expect(clock('0001-01-01T00:00:00Z')).toBe('');
  expect(since('2026-01-02T10:42:07Z', Date.parse('2026-01-02T10:45:07Z'))).toBe('since 10:42:07 (3 m)');
});
