import { describe, expect, test } from 'vitest';
import { axisFor, niceStep } from '../../src/format/scale.ts';
import { relativeTime, utcTime } from '../../src/format/time.ts';
import { percent, quantity, range } from '../../src/format/units.ts';
import type { Unit } from '../../src/api/types.ts';

describe('quantities', () => {
  test.each<[number, Unit, string, string]>([
    [0, 'ms', '0 ms', '0 毫秒'],
    [450, 'ms', '450 ms', '450 毫秒'],
    [1_500, 'ms', '1.5 s', '1.5 秒'],
    [72_000, 'ms', '72 s', '72 秒'],
    [71_499, 'ms', '71 s', '71 秒'],
    [119_999, 'ms', '120 s', '120 秒'],
    [3_600_000, 'ms', '60 min', '60 分钟'],
    [6 * 3_600_000, 'ms', '6 h', '6 小时'],
    [3 * 86_400_000, 'ms', '3 days', '3 天'],
    [1, 'bytes', '1 byte', '1 字节'],
    [820, 'bytes', '820 bytes', '820 字节'],
    [12_345, 'bytes', '12.3 kB', '12.3 kB'],
    [50, 'per_hour', '50 an hour', '每小时 50'],
    [2.345, 'per_minute', '2.3 a minute', '每分钟 2.3'],
    [1_234, 'count', '1,234', '1,234'],
  ])('%d %s is "%s"', (value, unit, english, chinese) => {
    expect(quantity('en', value, unit)).toBe(english);
    expect(quantity('zh', value, unit)).toBe(chinese);
  });

  test.each<[number | null, number | null, Unit, string]>([
    [3_300_000, 3_900_000, 'ms', '55 to 65 min'],
    [30_000, 3_900_000, 'ms', '30 s to 65 min'],
    [0, 6, 'per_minute', 'at most 6 a minute'],
    [18, 44, 'bytes', '18 to 44 bytes'],
    [18, null, 'bytes', 'at least 18 bytes'],
    [null, 44, 'bytes', 'at most 44 bytes'],
    [3_600_000, 3_601_000, 'ms', '60 min'],
    [null, null, 'count', 'anything'],
  ])('%s to %s %s is "%s"', (low, high, unit, words) => {
    expect(range('en', { low, high, basis: 'device' }, unit)).toBe(words);
  });

  test('shares', () => {
    expect(percent('en', 0.004)).toBe('0.4%');
    expect(percent('en', 0.97)).toBe('97%');
    expect(percent('en', 0)).toBe('0%');
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-23T08:00:00Z');
  test('say how long ago', () => {
    expect(relativeTime('en', '2026-11-23T07:57:00Z', now)).toMatch(/^3 min/);
    expect(relativeTime('zh', '2026-11-23T06:00:00Z', now)).toMatch(/2\s?小时前/);
  });

  test('in UTC for the hover', () => {
    expect(utcTime('en', '2026-11-23T08:15:02.123Z')).toBe('2026-11-23 08:15:02 UTC');
    expect(utcTime('en', 'not a time')).toBe('not a time');
  });
});

describe('axes', () => {
  test('steps are 1, 2 or 5 times a power of ten', () => {
    expect([0.03, 1, 1.1, 2.1, 7, 90].map(niceStep)).toEqual([0.05, 1, 2, 5, 10, 100]);
  });

  test('close values stand on a linear axis from zero', () => {
    const axis = axisFor([2, 3, 4], 'count');
    expect(axis.log).toBe(false);
    expect(axis.place(0)).toBe(0);
    expect(axis.ticks.at(-1)).toBeGreaterThanOrEqual(4);
  });

  test('a burst of seconds under a habit of an hour stands on a logarithmic one', () => {
    const axis = axisFor([72_000, 3_300_000, 3_900_000], 'ms');
    expect(axis.log).toBe(true);
    expect(axis.place(72_000)).toBeGreaterThan(0);
    expect(axis.place(72_000)).toBeLessThan(0.2);
    expect(axis.ticks).toContain(600_000);
  });

  test.each([[[]], [[0]], [[0, 0]], [[5]]])('%j has a finite axis', (values) => {
    const axis = axisFor(values, 'bytes');
    expect(axis.ticks.every(Number.isFinite)).toBe(true);
    expect(axis.ticks.length).toBeGreaterThan(1);
    expect(axis.ticks.length).toBeLessThan(12);
  });
});
