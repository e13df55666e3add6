// span writes a duration as people say it: 38 s, 4 m 12 s, 2 h 5 m, 3 d.
export function span(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return s % 60 === 0 ? `${s / 60} m` : `${Math.floor(s / 60)} m ${s % 60} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d`;
}

// percent writes a probability; one that is not zero never reads as zero.
export function percent(x: number): string {
  if (x > 0 && x < 0.01) return '< 1 %';
  return `${Math.round(100 * x)} %`;
}

// number writes a number, or that it is not known.
export function number(x: number | null | undefined, digits = 1): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return 'unknown';
  return x.toLocaleString('en', { maximumFractionDigits: digits });
}

// clock is the time of day, in UTC as in every log.
export function clock(time: string): string {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) || at.getUTCFullYear() < 2000 ? '' : at.toISOString().slice(11, 19);
}

// since says when and how long ago.
export function since(time: string, now: number): string {
  const text = clock(time);
  return text === '' ? '' : `since ${text} (${span((now - new Date(time).getTime()) / 1000)})`;
}

export function verdictWord(verdict: string): string {
  const words: Record<string, string> = {
    root_cause: 'Root cause',
    probable: 'Probable',
    one_of: 'One of',
    benign: 'Benign',
    other: 'No known cause',
  };
  return words[verdict] ?? verdict;
}
