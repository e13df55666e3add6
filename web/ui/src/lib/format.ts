// span writes a duration as people say it: 38 s, 4 m 12 s, 2 h 5 m, 3 d.
export function span(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return s % 60 === 0 ? `${s / 60} m` : `${Math.floor(s / 60)} m ${s % 60} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d`;
}

// percent writes a share; one that is not zero never reads as zero, one that is not whole never as whole.
export function percent(x: number): string {
  if (x > 0 && x < 0.01) return '< 1 %';
  if (x > 0.99 && x < 1) return '> 99 %';
  return `${Math.round(100 * x)} %`;
}

// confidence writes a probability that was rounded on its way here: no cause is ever certain.
export const confidence = (p: number) => percent(Math.min(p, 0.9999));

// number writes a number, or that it is not known.
export function number(x: number | null | undefined, digits = 1): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return 'unknown';
  return x.toLocaleString('en', { maximumFractionDigits: digits });
}

// count writes how many of a thing: 1 source, 3 sources.
export const count = (n: number, thing: string, things = `${thing}s`) => `${n} ${n === 1 ? thing : things}`;

// clock is the time of day, in UTC as in every log; a time that is not known is the empty text.
export function clock(time: string | number): string {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) || at.getUTCFullYear() < 2000 ? '' : at.toISOString().slice(11, 19);
}

// moment is the time of day, with the date unless it is today's.
export function moment(time: string | number, now: number): string {
  const text = clock(time);
  if (text === '') return '';
  const day = new Date(time).toISOString().slice(0, 10);
  return day === new Date(now).toISOString().slice(0, 10) ? text : `${day} ${text}`;
}

// since says when and how long ago.
export function since(time: string, now: number): string {
  const text = moment(time, now);
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

// plain writes a rule's template for people: what will be filled in is its default, or an ellipsis.
export function plain(template: string): string {
  return template
    .replace(/\{\{.*?\}\}/g, (hole) => /coalesce\(.*,\s*"([^"]*)"\)/.exec(hole)?.[1] ?? '…')
    .replace(/ {2,}/g, ' ');
}
