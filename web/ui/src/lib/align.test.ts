import { expect, test } from 'vitest';
import { align } from './align';

test('a moment that a series lacks is a gap', () => {
  expect(
    align([
      { name: 'a', points: [[1, 5], [2, Number.NaN]] },
      { name: 'b', points: [[2, 0]] },
    ]),
  ).toEqual([[1, 2], [5, null], [null, 0]]);
});
