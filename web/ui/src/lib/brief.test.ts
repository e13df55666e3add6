import { expect, test } from 'vitest';
import type { Finding, Verdict } from '../data/types';
import { fullAndBrief } from './brief';

const finding = (cause: string, verdict: Verdict, name: string) => ({ cause, verdict, entity: { kind: 'group', name, cluster: 'c' } }) as Finding;

test('a root cause does not drown in what is harmless', () => {
  const harmless = ['a', 'b', 'c'].map((n) => finding('retired', 'benign', n));
  const { full, brief } = fullAndBrief([finding('poison', 'root_cause', 'orders'), ...harmless]);
  expect(full.map((f) => f.cause)).toEqual(['poison']);
  expect(brief).toEqual([harmless]);
});

test('a harmless finding alone is the answer', () => {
  expect(fullAndBrief([finding('retired', 'benign', 'a')]).full).toHaveLength(1);
});

test('what comes after the first few is named', () => {
  const { full, brief } = fullAndBrief(Array.from({ length: 9 }, (_, i) => finding('gone', 'root_cause', `g${i}`)));
  expect([full.length, brief[0]?.length]).toEqual([5, 4]);
});
