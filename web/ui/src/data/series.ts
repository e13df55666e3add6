import { useEffect, useState } from 'preact/hooks';
import { serverNow } from './clock';
import { api } from './fetch';

export interface Series {
  name: string;
  points: [number, number][]; // unix seconds, value
}

interface RangeAnswer {
  data: { result: { metric: Record<string, string>; values: [number, string][] }[] };
}

// A chart's question: PromQL, and the label that names its lines.
export interface Question {
  query: string;
  by: string;
}

// Window is a stretch of time: up to now, followed live, or up to a fixed end in unix seconds.
export interface Window {
  minutes: number;
  end?: number | undefined;
}

// useSeries asks the embedded measurements for a window; a live one is asked for again every 5 s.
export function useSeries(question: Question, { minutes, end }: Window): Series[] | null {
  const [series, setSeries] = useState<Series[] | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const load = async () => {
      const last = end ?? Math.floor(serverNow() / 1000);
      const params = new URLSearchParams({
        query: question.query,
        start: String(last - minutes * 60),
        end: String(last),
        step: String(Math.max(5, Math.round((minutes * 60) / 180))),
      });
      try {
        const answer = await api<RangeAnswer>(`prometheus/api/v1/query_range?${params}`, abort.signal);
        setSeries(toSeries(answer, question.by));
      } catch {
        // The chart keeps what it has; the page says what is stale.
      }
    };
    void load();
    const timer = end === undefined ? setInterval(() => void load(), 5000) : undefined;
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [question.query, question.by, minutes, end]);
  return series;
}

export function toSeries(answer: RangeAnswer, by: string): Series[] {
  return answer.data.result
    .map((r) => ({
      name: r.metric[by] ?? by,
      points: r.values.map(([t, v]): [number, number] => [t, Number(v)]),
    }))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}
