import type { Finding } from '../data/types';

// Some is a list that is not empty.
export type Some<T> = [T, ...T[]];

const maxFull = 5;

// fullAndBrief parts the findings that are worth a card each from those that are only named, by cause: what is
// harmless, beside anything else, and what comes after the first few.
export function fullAndBrief(all: Finding[]): { full: Finding[]; brief: Some<Finding>[] } {
  const full: Finding[] = [];
  const brief = new Map<string, Some<Finding>>();
  for (const f of all) {
    if (full.length < maxFull && (f.verdict !== 'benign' || all.length === 1)) {
      full.push(f);
      continue;
    }
    const key = `${f.verdict} ${f.cause}`;
    const same = brief.get(key);
    if (same) same.push(f);
    else brief.set(key, [f]);
  }
  return { full, brief: [...brief.values()] };
}
