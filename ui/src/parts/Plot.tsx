// A plot of values over runs or versions: points that can be clicked, the last one marked, values on hover.

import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import { onTheme } from '../shell/theme';

export interface Point {
  /** Where it is on the axis; points stand at equal distances when times would lie on each other. */
  name: string;
  value: number | null;
  isBad?: boolean;
}

interface PlotProps {
  title: string;
  points: readonly Point[];
  /** How a value is said, with its unit. */
  say: (value: number) => string;
  onOpen?: (index: number) => void;
}

/** The colours of the theme, as the canvas needs them. */
function colours(element: HTMLElement): (name: string) => string {
  return (name) => {
    element.style.color = `var(${name})`;
    const colour = getComputedStyle(element).color;
    element.style.color = '';
    return colour;
  };
}

const FONT = '12px "IBM Plex Sans", system-ui, sans-serif';

function options({ points, say }: PlotProps, width: number, colour: (name: string) => string, onHover: (index: number | null) => void): uPlot.Options {
  const axis = { stroke: colour('--text-soft'), font: FONT, grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } };
  const last = points.length - 1;
  const mark = (plot: uPlot) => {
    const value = points[last]?.value;
    if (value == null) return;
    const [x, y] = [plot.valToPos(last, 'x', true), plot.valToPos(value, 'y', true)];
    plot.ctx.fillStyle = colour(points[last]?.isBad ? '--bg' : '--accent');
    plot.ctx.beginPath();
    plot.ctx.arc(x, y, 4.5 * devicePixelRatio, 0, 2 * Math.PI);
    plot.ctx.fill();
  };
  const bad = (plot: uPlot) => {
    plot.ctx.strokeStyle = colour('--fail');
    plot.ctx.lineWidth = 2 * devicePixelRatio;
    const size = 4 * devicePixelRatio;
    for (const [index, point] of points.entries()) {
      if (!point.isBad || point.value === null) continue;
      const [x, y] = [plot.valToPos(index, 'x', true), plot.valToPos(point.value, 'y', true)];
      plot.ctx.beginPath();
      plot.ctx.moveTo(x - size, y - size);
      plot.ctx.lineTo(x + size, y + size);
      plot.ctx.moveTo(x + size, y - size);
      plot.ctx.lineTo(x - size, y + size);
      plot.ctx.stroke();
    }
  };
  return {
    width, height: 190, legend: { show: false }, scales: { x: { time: false }, y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    cursor: { y: false, drag: { x: false, y: false } },
    axes: [
      { ...axis, grid: { show: false }, values: (_plot, splits) => splits.map((at) => (Number.isInteger(at) ? (points[at]?.name ?? '') : '')), size: 26 },
      { ...axis, values: (_plot, splits) => splits.map(say), size: (_plot, values) => 14 + 7 * Math.max(3, ...(values ?? []).map((text) => text.length)) },
    ],
    series: [{}, { stroke: colour('--line-strong'), width: 1.5, points: { show: true, size: 5, fill: colour('--bg'), stroke: colour('--text-soft') }, spanGaps: true }],
    hooks: { draw: [mark, bad], setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
  };
}

export function Plot(props: PlotProps) {
  const { title, points, say, onOpen } = props;
  const ref = useRef<HTMLDivElement>(null);
  const [hovered, setHovered] = useState<number | null>(null);
  const [theme, setTheme] = useState(0);
  const open = useRef(onOpen);
  open.current = onOpen;
  const key = JSON.stringify(points);
  useEffect(() => onTheme(() => setTheme((old) => old + 1)), []);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const data: uPlot.AlignedData = [points.map((_, index) => index), points.map((point) => point.value)];
    const plot = new uPlot(options(props, element.clientWidth, colours(element), setHovered), data, element);
    const onClick = () => {
      const at = plot.cursor.idx;
      if (at != null) open.current?.(at);
    };
    plot.over.addEventListener('click', onClick);
    const size = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 190 }));
    size.observe(element);
    return () => {
      size.disconnect();
      plot.destroy();
    };
    // The key says all that the plot depends on.
  }, [key, theme]);
  const shown = points[hovered ?? points.length - 1];
  return (
    <figure className={onOpen ? 'plot is-open' : 'plot'}>
      <figcaption>
        <span className="plot-title">{title}</span>
        <span className="plot-value number">{shown ? <>{shown.name} <strong>{shown.value === null ? '–' : say(shown.value)}</strong></> : ''}</span>
      </figcaption>
      <div ref={ref} className="plot-canvas" />
    </figure>
  );
}
