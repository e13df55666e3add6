import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Question } from '../data/series';
import { useSeries } from '../data/series';
import { align } from '../lib/align';

const colours = ['#3b82f6', '#f59e0b', '#10b981', '#ef4444', '#8b5cf6', '#14b8a6', '#ec4899', '#84cc16'];

interface Props {
  title: string;
  unit: string;
  question: Question;
  minutes: number;
  since?: string | undefined; // where the finding began: a line on the chart
}

// Chart draws one question over time. Without any series it says so rather than drawing an empty axis.
export function Chart({ title, unit, question, minutes, since }: Props) {
  const series = useSeries(question, minutes);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element || !series || series.length === 0) return;
    const ink = getComputedStyle(element).getPropertyValue('--muted').trim() || '#888';
    const axis = { stroke: ink, grid: { stroke: 'rgba(128,128,128,.15)', width: 1 }, ticks: { show: false } };
    const plot = new uPlot(
      {
        width: element.clientWidth,
        height: 160,
        legend: { show: series.length > 1 && series.length < 9 },
        cursor: { y: false },
        scales: { y: { range: (_u, _min, max) => [0, Math.max(max * 1.1, 1)] } },
        axes: [axis, { ...axis, size: 48 }],
        series: [
          {},
          ...series.map((s, i) => ({ label: s.name, stroke: colours[i % colours.length]!, width: 1.5, spanGaps: false })),
        ],
        hooks: { draw: [(u) => mark(u, since)] },
      },
      align(series) as uPlot.AlignedData,
      element,
    );
    const resize = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 160 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [series, since]);
  return (
    <figure class="chart">
      <figcaption>
        {title} <span class="muted">{unit}</span>
      </figcaption>
      {series === null ? <p class="muted">loading</p> : null}
      {series?.length === 0 ? <p class="muted">not measured in this window</p> : null}
      <div ref={box} />
    </figure>
  );
}

function mark(u: uPlot, since?: string) {
  if (!since) return;
  const x = u.valToPos(new Date(since).getTime() / 1000, 'x', true);
  if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
  u.ctx.save();
  u.ctx.strokeStyle = '#ef4444';
  u.ctx.setLineDash([4, 4]);
  u.ctx.beginPath();
  u.ctx.moveTo(x, u.bbox.top);
  u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}
