// Numbers with their units as a person says them.

import type { Expected, Unit } from '../api/types.ts';
import { number, translate, type Language } from '../i18n/translate.ts';
import type { Key } from '../i18n/en.ts';

const DURATIONS: { key: Key; ms: number; from: number }[] = [
  { key: 'unit.d', ms: 86_400_000, from: 2 * 86_400_000 },
  { key: 'unit.h', ms: 3_600_000, from: 3 * 3_600_000 },
  { key: 'unit.min', ms: 60_000, from: 120_000 },
  { key: 'unit.s', ms: 1_000, from: 1_000 },
  { key: 'unit.ms', ms: 1, from: 0 },
];

interface Scale {
  key: Key;
  divisor: number;
}

function scaleOf(value: number, unit: Unit): Scale | null {
  switch (unit) {
    case 'ms': {
      const step = DURATIONS.find(({ from }) => Math.abs(value) >= from) ?? DURATIONS.at(-1)!;
      return { key: step.key, divisor: step.ms };
    }
    case 'bytes':
      return Math.abs(value) >= 10_000 ? { key: 'unit.kilobytes', divisor: 1_000 } : { key: 'unit.bytes', divisor: 1 };
    case 'per_hour': return { key: 'unit.perHour', divisor: 1 };
    case 'per_minute': return { key: 'unit.perMinute', divisor: 1 };
    default: return null;
  }
}

/** What one step of the unit that `value` is said in is worth: 60000 for half an hour in ms. */
export const divisorOf = (value: number, unit: Unit): number => scaleOf(value, unit)?.divisor ?? 1;

/** `72000, ms` → "72 s". */
export function quantity(language: Language, value: number, unit: Unit): string {
  const scale = scaleOf(value, unit);
  if (!scale) return number(language, value);
  return translate(language, scale.key, { n: rounded(value / scale.divisor, unit) });
}

/** `50, per_hour, "messages"` → "50 messages an hour". */
export function quantityOf(language: Language, value: number, unit: Unit, what: Key): string {
  const n = rounded(value, unit);
  const noun = translate(language, what, { n });
  switch (unit) {
    case 'per_hour': return translate(language, 'unit.whatPerHour', { n, what: noun });
    case 'per_minute': return translate(language, 'unit.whatPerMinute', { n, what: noun });
    case 'count': return translate(language, 'unit.what', { n, what: noun });
    default: return quantity(language, value, unit);
  }
}

/** "55 to 65 min", "at most 5 a minute": the unit is said once where both ends share it. */
export function range(language: Language, expected: Expected, unit: Unit): string {
  const { low, high } = ends(expected);
  if (low === null && high === null) return translate(language, 'range.any');
  if (low === null) return translate(language, 'range.atMost', { high: quantity(language, high!, unit) });
  if (high === null) return translate(language, 'range.atLeast', { low: quantity(language, low, unit) });
  return between(language, low, high, unit);
}

/** The two ends as one phrase; one value if they read the same. */
export function between(language: Language, low: number, high: number, unit: Unit): string {
  const [from, to] = [quantity(language, low, unit), quantity(language, high, unit)];
  if (from === to) return to;
  const shared = scaleOf(high, unit);
  const sameUnit = shared === null || scaleOf(low, unit)?.key === shared.key;
  const start = sameUnit ? number(language, rounded(low / (shared?.divisor ?? 1), unit)) : from;
  return translate(language, 'range.between', { low: start, high: to });
}

/** Open ends as null: nothing below zero is ever observed. */
export function ends({ low, high }: Expected): { low: number | null; high: number | null } {
  const finite = (value: number | null) => value !== null && Number.isFinite(value) && value < 1e15;
  return { low: finite(low) && low! > 0 ? low : null, high: finite(high) ? high : null };
}

/** Nobody says 62.6 minutes or 6.64 times an hour: whole from 10, below it two digits; sizes have three. */
function rounded(value: number, unit: Unit): number {
  const size = unit === 'bytes' || unit === 'count';
  return Math.abs(value) >= (size ? 100 : 10) ? Math.round(value) : Number(value.toPrecision(size ? 3 : 2));
}

export function percent(language: Language, share: number): string {
  const digits = share > 0 && share < 0.01 ? 1 : 0;
  return new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: digits }).format(share);
}
