// Axes: from a value to a place on the drawing, and where the ticks stand.

import type { Unit } from '../api/types.ts';
import { divisorOf } from './units.ts';

/** Above this ratio of the largest to the smallest value a linear axis would hide the small ones. */
const LOG_RATIO = 12;

export interface Axis {
  log: boolean;
  ticks: number[];
  /** 0 at the bottom of the axis, 1 at its top. */
  place(value: number): number;
}

/** An axis that shows all of `values`, which are counted in `unit`. */
export function axisFor(values: number[], unit: Unit): Axis {
  const finite = values.filter(Number.isFinite);
  const max = Math.max(...finite, 0) || 1;
  const positive = finite.filter((value) => value > 0);
  const min = positive.length > 0 ? Math.min(...positive) : max;
  const useLog = finite.every((value) => value > 0) && max / min > LOG_RATIO;
  return useLog ? logAxis(min, max, unit) : linearAxis(max, unit);
}

/** From zero to a round number above `max`. */
function linearAxis(max: number, unit: Unit): Axis {
  const divisor = divisorOf(max, unit);
  const step = niceStep(max / divisor / 4) * divisor;
  const top = Math.ceil((max * 1.05) / step) * step;
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  return { log: false, ticks, place: (value) => clamp(value / top) };
}

function logAxis(min: number, max: number, unit: Unit): Axis {
  const [bottom, top] = [Math.log10(min) - 0.15, Math.log10(max) + 0.15];
  const ticks = logTicks(10 ** bottom, 10 ** top, unit);
  return { log: true, ticks, place: (value) => (value > 0 ? clamp((Math.log10(value) - bottom) / (top - bottom)) : 0) };
}

const DURATION_TICKS_MS = [
  1, 10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 6 * 3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000,
];

function logTicks(low: number, high: number, unit: Unit): number[] {
  const inside = (tick: number) => tick >= low && tick <= high;
  if (unit === 'ms') return DURATION_TICKS_MS.filter(inside);
  const decades = Array.from({ length: 16 }, (_, i) => 10 ** (i - 3)).filter(inside);
  return decades.length >= 2 ? decades : [low, Math.sqrt(low * high), high].map((tick) => Number(tick.toPrecision(1))).filter(inside);
}

/** 1, 2 or 5 times a power of ten, at least `rough`. */
export function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10;
  return step * power;
}

const clamp = (share: number) => Math.min(1, Math.max(0, share));
