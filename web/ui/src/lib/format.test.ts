import { expect, test } from 'vitest';
import { clock, confidence, count, moment, number, percent, plain, since, span } from './format';

test('durations as people say them', () => {
  expect(span(38)).toBe('38 s');
  expect(span(252)).toBe('4 m 12 s');
  expect(span(300)).toBe('5 m');
  expect(span(7500)).toBe('2 h 5 m');
  expect(span(-3)).toBe('0 s');
});

test('a share that is not zero never reads as zero, nor one that is not whole as whole', () => {
  expect(percent(0.004)).toBe('< 1 %');
  expect(percent(0)).toBe('0 %');
  expect(percent(0.97)).toBe('97 %');
  expect(percent(0.9999)).toBe('> 99 %');
  expect(percent(1)).toBe('100 %');
});

test('no cause is certain, however its probability was rounded', () => {
  expect(confidence(1)).toBe('> 99 %');
  expect(confidence(0.5)).toBe('50 %');
});

test('unknown is not zero', () => {
  expect(number(null)).toBe('unknown');
  expect(number(0)).toBe('0');
  expect(number(Number.NaN)).toBe('unknown');
});

test('one thing, several things', () => {
  expect([count(1, 'source'), count(0, 'source')]).toEqual(['1 source', '0 sources']);
});

test('a time that is not known is not written', () => {
  expect(clock('0001-01-01T00:00:00Z')).toBe('');
  expect(moment('0001-01-01T00:00:00Z', 0)).toBe('');
  expect(since('2026-01-02T10:42:07Z', Date.parse('2026-01-02T10:45:07Z'))).toBe('since 10:42:07 (3 m)');
});

test('the date is written unless it is today', () => {
  const now = Date.parse('2026-01-03T00:05:00Z');
  expect(moment('2026-01-02T23:59:00Z', now)).toBe('2026-01-02 23:59:00');
  expect(moment('2026-01-03T00:01:00Z', now)).toBe('00:01:00');
});

test('a template shows its default or an ellipsis, never its code', () => {
  expect(plain('Broker {{coalesce(broker, "")}} vanished')).toBe('Broker vanished');
  expect(plain('{{coalesce(round(rate, 1), "more")}} arrived than {{limit}}')).toBe('more arrived than …');
});
