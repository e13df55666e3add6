import type { Series } from '../data/series';

// align puts series on one time axis for a chart. A moment that a series lacks is null: a gap, not a zero.
export function align(series: Series[]): [number[], ...(number | null)[][]] {
  const times = [...new Set(series.flatMap((s) => s.points.map(([t]) => t)))].sort((a, b) => a - b);
  const index = new Map(times.map((t, i) => [t, i]));
  const columns = series.map((s) => {
    const column: (number | null)[] = new Array<number | null>(times.length).fill(null);
    for (const [t, v] of s.points) {
      column[index.get(t)!] = Number.isFinite(v) ? v : null;
    }
    return column;
  });
  return [times, ...columns];
}
