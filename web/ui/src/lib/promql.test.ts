import { expect, test } from 'vitest';
import { labels, top } from './promql';

test('a hostile name stays inside its string', () => {
  expect(labels({ group: 'a"} or up{x="\\', cluster: 'c' })).toBe('{group="a\\"} or up{x=\\"\\\\",cluster="c"}');
});

test('the largest series are chosen once for all steps', () => {
  expect(top('lag', 'group', 'max_over_time(lag[15m] @ end())')).toBe('lag and on (group) topk(8, max_over_time(lag[15m] @ end()))');
});
