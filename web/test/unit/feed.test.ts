import { describe, expect, test } from 'vitest';
import type { Device, Finding, Summary } from '../../src/api/types.ts';
import { buckets, decode, DEVICES_MAX, emptyFeed, FINDINGS_MAX, HISTORY_SAMPLES, reduce, type Feed, type FeedEvent } from '../../src/state/feed.ts';

const START = Date.parse('2026-11-23T08:00:00Z');
const summary = (second: number, rate = 5) =>
  ({ at: new Date(START + second * 1000).toISOString(), messages_per_s: rate, sessions: 10, isolated: 1 }) as Summary;
const finding = (id: number, second = id) => ({ id, at: new Date(START + second * 1000).toISOString() }) as Finding;
const device = (id: number, version = 1) => ({ id, version }) as Device;
const after = (events: FeedEvent[], feed: Feed = emptyFeed()) => events.reduce(reduce, feed);

describe('the feed', () => {
  test('keeps the last summaries for the chart, and no more', () => {
    const feed = after(Array.from({ length: HISTORY_SAMPLES + 7 }, (_, i) => ({ type: 'summary', data: summary(i) })));
    expect(feed.history).toHaveLength(HISTORY_SAMPLES);
    expect(feed.history[0]!.at).toBe(START + 7_000);
    expect(feed.summary?.at).toBe(summary(HISTORY_SAMPLES + 6).at);
  });

  test('a summary told twice counts once; a late one not at all', () => {
    const feed = after([{ type: 'summary', data: summary(10) }, { type: 'summary', data: summary(10, 9) }, { type: 'summary', data: summary(8) }]);
    expect(feed.history.map(({ messagesPerS }) => messagesPerS)).toEqual([9]);
    expect(feed.summary?.at).toBe(summary(10).at);
  });

  test('a clock that was set back starts the chart anew', () => {
    const feed = after([{ type: 'summary', data: summary(600) }, { type: 'summary', data: summary(0) }]);
    expect(feed.history).toHaveLength(1);
    expect(feed.summary?.at).toBe(summary(0).at);
  });

  test('findings stand newest first, once each, and only live ones are announced', () => {
    const feed = after([
      { type: 'findings', data: [finding(2), finding(1)] },
      { type: 'finding', data: finding(3) },
      { type: 'finding', data: finding(3) },
      { type: 'findings', data: [finding(3), finding(2)] },
    ]);
    expect(feed.findings.map(({ id }) => id)).toEqual([3, 2, 1]);
    expect(feed.arrived).toBe(1);
  });

  test('a flood of findings is bounded', () => {
    const feed = after(Array.from({ length: FINDINGS_MAX + 5 }, (_, i) => ({ type: 'finding', data: finding(i) })));
    expect(feed.findings).toHaveLength(FINDINGS_MAX);
    expect(feed.findings[0]!.id).toBe(FINDINGS_MAX + 4);
    expect(feed.arrived).toBe(FINDINGS_MAX + 5);
  });

  test('a flood of small findings does not wash a severe one away', () => {
    const severe = { ...finding(0), severity: 'high' } as Finding;
    const flood = Array.from({ length: FINDINGS_MAX + 5 }, (_, i): FeedEvent => ({ type: 'finding', data: finding(i + 1) }));
    const feed = after([{ type: 'finding', data: severe }, ...flood]);
    expect(feed.findings).not.toContain(severe);
    expect(feed.severe).toEqual([severe]);
  });

  test('the newest word on a device replaces the older; the oldest devices are forgotten first', () => {
    const many = Array.from({ length: DEVICES_MAX }, (_, i): FeedEvent => ({ type: 'device', data: device(i) }));
    const feed = after([...many, { type: 'device', data: device(0, 2) }, { type: 'device', data: device(DEVICES_MAX) }]);
    expect(feed.devices.size).toBe(DEVICES_MAX);
    expect(feed.devices.get(0)?.version).toBe(2);
    expect(feed.devices.has(1)).toBe(false);
  });

  test('an unchanged part stays the same object', () => {
    const feed = after([{ type: 'device', data: device(1) }]);
    expect(reduce(feed, { type: 'summary', data: summary(1) }).devices).toBe(feed.devices);
  });
});

describe('events of the stream', () => {
  test('are decoded by their type', () => {
    expect(decode('finding', '{"id":1}')).toEqual({ type: 'finding', data: { id: 1 } });
  });

  test.each([['lagged', '12'], ['finding', '{"id":'], ['', '']])('%s %s is not ours', (type, data) => {
    expect(decode(type, data)).toBeNull();
  });
});

describe("the chart's table", () => {
  test('means over a bucket, newest first', () => {
    const { history } = after([0, 1, 5, 6].map((second) => ({ type: 'summary', data: summary(second, second) })));
    expect(buckets(history, 5_000).map(({ at, messagesPerS }) => [at - START, messagesPerS])).toEqual([[5_000, 5.5], [0, 0.5]]);
  });
});
