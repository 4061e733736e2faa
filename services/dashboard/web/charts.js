// Time charts of the samples: uPlot draws, this file says what.

import uPlot from "./uPlot.esm.js";

const kept = 900;
const colours = 10;

const time = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const clock = epoch => new Date(epoch * 1000).toLocaleTimeString([], time);
// Where nobody points at a moment the legend tells the last one.
const told = (plot, value, series, index) => (index === null || index === undefined ? plot.data[series].at(-1) : value);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A chart whose lines are known by name; lines appear when a sample has a new one. */
export class Chart {
  constructor(element) {
    this.element = element;
    this.times = [];
    this.lines = new Map();
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
  }

  clear() {
    this.times = [];
    this.lines.clear();
    this.rebuild();
  }

  /** Appends `values` (name to seconds or null) at `time` (epoch seconds); draw() shows them. */
  push(time, values) {
    if (this.times.length && time <= this.times.at(-1)) return;
    for (const name of Object.keys(values)) {
      if (!this.lines.has(name)) this.lines.set(name, this.times.map(() => null));
    }
    this.times.push(time);
    for (const [name, line] of this.lines) line.push(values[name] ?? null);
    if (this.times.length > kept) [this.times, ...this.lines.values()].forEach(line => line.shift());
  }

  draw() {
    if (!this.times.length) return;
    if (this.plot?.series.length !== this.lines.size + 1) this.rebuild();
    this.plot.setData([this.times, ...this.lines.values()]);
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.times.length) return;
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
    this.plot = new uPlot({
      ...this.size(),
      cursor: { points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(1, high * 1.1)] } },
      axes: [{ ...axis, space: 100, values: (_, epochs) => epochs.map(clock) }, { ...axis, size: 44 }],
      series: [{ label: "Time", value: (...where) => clock(told(...where)) },
        ...[...this.lines.keys()].map((name, place) => ({
          label: name,
          stroke: css(`--c${place % colours}`),
          width: 1.75,
          dash: name === "contract" ? [6, 4] : undefined,
          value: (...where) => {
            const seconds = told(...where);
            return seconds === null || seconds === undefined ? "–" : `${seconds.toFixed(1)} s`;
          },
        }))],
    }, [this.times, ...this.lines.values()], this.element);
  }

  size() {
    return { width: Math.max(240, this.element.clientWidth), height: 220 };
  }
}
