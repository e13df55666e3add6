import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Question, Series, Window } from '../data/series';
import { useSeries } from '../data/series';
import { align } from '../lib/align';
import { number } from '../lib/format';

interface Props {
  title: string;
  unit: string;
  question: Question;
  window: Window;
  since?: string | undefined; // where the finding began: a line on the chart
}

const height = 140;
const colours = 8; // --c0 … --c7 of the style sheet

// Chart draws one question over time. Without any series it says so rather than drawing an empty axis. The
// legend shows the values under the pointer, or the newest.
export function Chart({ title, unit, question, window, since }: Props) {
  const series = useSeries(question, window);
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const names = (series ?? []).map((s) => s.name).join('\n');
  useEffect(() => {
    const element = box.current;
    if (!element || !series || series.length === 0) return;
    const u = new uPlot(options(element, series, since, setAt), align(series) as uPlot.AlignedData, element);
    plot.current = u;
    const resize = new ResizeObserver(() => u.setSize({ width: element.clientWidth, height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [names, since]); // new values alone are set below: the pointer's place survives them
  useEffect(() => {
    if (series && series.length > 0) plot.current?.setData(align(series) as uPlot.AlignedData);
  }, [series]);
  const aligned = series && series.length > 0 ? align(series) : null;
  return (
    <figure class="chart">
      <figcaption>
        {title} {unit ? <span class="muted">{unit}</span> : null}
      </figcaption>
      {series === null ? <p class="muted">loading</p> : null}
      {series?.length === 0 ? <p class="muted">not measured in this window</p> : null}
      <ul class="legend">
        {(series ?? []).map((s, i) => (
          <li key={s.name} class={`c${i % colours}`}>
            <span>{s.name}</span> <b>{number(value(aligned?.[i + 1] as (number | null)[] | undefined, at))}</b>
          </li>
        ))}
      </ul>
      <div ref={box} role="img" aria-label={`${title} over time`} />
    </figure>
  );
}

// value is that under the pointer, or the newest of the chart; one that is missing there is not known.
function value(column: (number | null)[] | undefined, at: number | null): number | null | undefined {
  return column?.[at ?? column.length - 1];
}

function options(element: HTMLElement, series: Series[], since: string | undefined, setAt: (i: number | null) => void): uPlot.Options {
  const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim() || '#888';
  const axis: uPlot.Axis = { stroke: () => colour('--muted'), grid: { stroke: 'rgba(128,128,128,.18)', width: 1 }, ticks: { show: false } };
  const minute = (t: number) => new Date(1000 * t).toISOString().slice(11, 16);
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { y: false, sync: { key: 'streamkeeper' } },
    scales: { y: { range: (_u, _min, max) => [0, Math.max(max * 1.1, 1)] } },
    axes: [
      { ...axis, size: 26, values: (_u, times) => times.map((t) => (t % 60 === 0 ? minute(t) : '')), incrs: [60, 120, 300, 600, 900, 1800, 3600, 7200, 21600], space: 48 },
      { ...axis, size: 44, values: (_u, values) => values.map((v) => v.toLocaleString('en', { notation: 'compact' })) },
    ],
    series: [
      {},
      ...series.map((s, i): uPlot.Series => ({ label: s.name, stroke: () => colour(`--c${i % colours}`), width: 1.75, spanGaps: false, points: { size: 4 } })),
    ],
    hooks: { draw: [(u) => mark(u, since, colour('--red'))], setCursor: [(u) => setAt(u.cursor.idx ?? null)] },
  };
}

function mark(u: uPlot, since: string | undefined, colour: string) {
  if (!since) return;
  const x = u.valToPos(new Date(since).getTime() / 1000, 'x', true);
  if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
  u.ctx.save();
  u.ctx.strokeStyle = colour;
  u.ctx.setLineDash([4, 4]);
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}
