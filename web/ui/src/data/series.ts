import { useEffect, useState } from 'preact/hooks';
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

// useSeries asks the embedded measurements for the last `minutes`, again every 5 s.
export function useSeries(question: Question, minutes: number): Series[] | null {
  const [series, setSeries] = useState<Series[] | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    const load = async () => {
      const end = Math.floor(Date.now() / 1000);
      const params = new URLSearchParams({
        query: question.query,
        start: String(end - minutes * 60),
        end: String(end),
        step: String(Math.max(5, Math.round((minutes * 60) / 180))),
      });
      try {
        const answer = await api<RangeAnswer>(`prometheus/api/v1/query_range?${params}`, abort.signal);
        setSeries(toSeries(answer, question.by));
      } catch {
        // The chart keeps what it has; the sources table says what is stale.
      }
    };
    void load();
    const timer = setInterval(() => void load(), 5000);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [question.query, question.by, minutes]);
  return series;
}

export function toSeries(answer: RangeAnswer, by: string): Series[] {
  return answer.data.result
    .map((r) => ({
      name: r.metric[by] ?? by,
      points: r.values.map(([t, v]): [number, number] => [t, Number(v)]),
    }))
    .sort((a, b) => a.name.localeCompare(b.name));
}
