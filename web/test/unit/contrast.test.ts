// The colours of app.css against WCAG 2.2: 4.5 to 1 for text, 3 to 1 for what only has to be seen.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const css = readFileSync(join(import.meta.dirname, '../../src/app.css'), 'utf8');
const [light = '', dark = ''] = css.split('@media (prefers-color-scheme: dark)');
const tokens = (part: string) => Object.fromEntries([...part.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map(([, name, value]) => [name, value]));
const schemes = { light: tokens(light), dark: { ...tokens(light), ...tokens(dark) } };

function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: string, other: string): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const TEXT = ['ink', 'muted', 'accent', 'normal', 'suspicious', 'abnormal', 'isolated', 'limited'];
const PAIRS: [string, string, number][] = [
  ...TEXT.flatMap((text) => ['surface', 'sunken', 'bg'].map((ground): [string, string, number] => [text, ground, 4.5])),
  ['on-accent', 'accent', 4.5],
  ['surface', 'abnormal', 4.5],
  ['accent', 'accent-soft', 4.5],
  ['ink', 'danger-soft', 4.5],
  ['ink', 'warn-soft', 4.5],
  ['edge', 'surface', 3],
  ['focus', 'surface', 3],
  ['focus', 'bg', 3],
  ['normal', 'band', 3],
  ['abnormal', 'band', 3],
];

describe.each(Object.entries(schemes))('%s', (_, scheme) => {
  test.each(PAIRS)('%s on %s', (text, ground, least) => {
    expect(contrast(scheme[text]!, scheme[ground]!)).toBeGreaterThanOrEqual(least);
  });
});
