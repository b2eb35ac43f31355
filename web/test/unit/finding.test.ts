import { describe, expect, test } from 'vitest';
import { FEATURES, type Finding } from '../../src/api/types.ts';
import { withFindings } from '../../src/format/evidence.ts';
import { expectedIn, fullSentence, sentence } from '../../src/format/finding.ts';

const finding = (fields: Partial<Finding>): Finding => ({
  id: 1, at: '2026-11-23T08:00:00.000Z', device: 'meter-42', source: null, claimed: null, engine: 'profile',
  feature: 'report_interval', observed: 72_000, expected: { low: 3_300_000, high: 3_900_000, basis: 'device' }, unit: 'ms',
  score: 0.97, severity: 'medium', technique: null, text: '', ...fields,
});

describe('a finding in words', () => {
  test('a meter that reports too often', () => {
    expect(sentence('en', finding({}))).toBe('reported again after 72 s; its own habit is every 55 to 65 min');
    expect(sentence('zh', finding({}))).toBe('仅隔 72 秒就再次上报；自身习惯为每 55 至 65 分钟');
  });

  test('a meter that fell silent', () => {
    expect(sentence('en', finding({ observed: 5 * 3_600_000 }))).toBe('was silent for 5 h; its own habit is every 55 to 65 min');
  });

  test('a flood, judged by its type', () => {
    const flood = finding({ feature: 'message_rate', observed: 212, expected: { low: 0, high: 6, basis: 'device_type' }, unit: 'per_minute' });
    expect(sentence('en', flood)).toBe('sent 212 messages a minute; the habit of its type is at most 6 a minute');
    expect(sentence('zh', flood)).toBe('发送了每分钟 212 条消息；同类设备的习惯为最多每分钟 6');
  });

  test('a source, which is not the device that it names', () => {
    const knocking = finding({
      device: null, source: '203.0.113.9', claimed: 'lock-1', engine: 'source', feature: 'failed_handshakes', observed: 1,
      expected: { low: 0, high: 10, basis: 'rule' }, unit: 'per_minute',
    });
    expect(fullSentence('en', knocking)).toBe('Source 203.0.113.9 made 1 failed handshake a minute; the rule allows at most 10 a minute.');
  });

  test('what never happened before needs no band', () => {
    const peer = finding({ feature: 'peer', observed: 1, expected: { low: 0, high: 0, basis: 'device' }, unit: 'count' });
    expect(sentence('en', peer)).toBe('spoke with a peer, or from a network, that is new for it; it never did before');
  });

  test.each(FEATURES)('%s reads without gaps in both languages', (feature) => {
    for (const language of ['en', 'zh'] as const) {
      for (const unit of ['per_minute', 'per_hour', 'count'] as const) {
        const text = fullSentence(language, finding({ feature, unit, observed: 12, expected: { low: 1, high: 4, basis: 'rule' } }));
        expect(text).not.toMatch(/[{}]|undefined|null|NaN/);
      }
    }
  });

  test('a feature of a newer server is shown as it came', () => {
    expect(sentence('en', finding({ feature: 'battery' as never, unit: 'count' }))).toContain('battery: 72,000');
  });

  test('open ends', () => {
    const open = (low: number | null, high: number | null) =>
      expectedIn('en', { feature: 'report_interval', unit: 'ms', expected: { low, high, basis: 'device' } });
    expect(open(null, 60_000)).toBe('at least every 60 s');
    expect(open(60_000, null)).toBe('no more often than every 60 s');
    expect(open(null, null)).toBe('anything');
  });
});

describe('what the chart shows', () => {
  const flood = finding({ feature: 'message_rate', observed: 212, unit: 'per_minute' });

  test('a judged feature that the profile lacks comes from its findings, oldest first', () => {
    const later = finding({ feature: 'message_rate', observed: 300, unit: 'per_minute', at: '2026-11-23T09:00:00.000Z' });
    const [only] = withFindings([], [later, flood]);
    expect(only).toMatchObject({ feature: 'message_rate', unit: 'per_minute', recent: [{ value: 212 }, { value: 300 }] });
  });

  test("the profile's own observations stay", () => {
    const known = { feature: 'message_rate' as const, unit: 'per_minute' as const, expected: null, learnt: true, recent: [{ at: '', value: 1 }] };
    expect(withFindings([known], [flood])).toEqual([known]);
  });
});
