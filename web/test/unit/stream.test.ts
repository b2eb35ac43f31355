import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Announcer } from '../../src/state/announcer.ts';
import { retryDelay, SILENCE_MS, Stream, type Liveness } from '../../src/state/stream.ts';

class FakeSource {
  static all: FakeSource[] = [];
  static get last() {
    return FakeSource.all.at(-1)!;
  }
  closed = false;
  onopen: () => void = () => {};
  onerror: () => void = () => {};
  #listeners = new Map<string, (message: { data: string }) => void>();

  constructor(readonly url: string) {
    FakeSource.all.push(this);
  }
  addEventListener(type: string, listener: (message: { data: string }) => void) {
    this.#listeners.set(type, listener);
  }
  say(type: string, data: unknown) {
    this.#listeners.get(type)?.({ data: JSON.stringify(data) });
  }
  close() {
    this.closed = true;
  }
}

function listening() {
  const states: Liveness[] = [];
  const events: unknown[] = [];
  let restored = 0;
  const stream = new Stream('/events', {
    event: (event) => events.push(event),
    state: (state) => states.push(state),
    restored: () => { restored += 1; },
  });
  return { stream, states, events, restored: () => restored };
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSource.all = [];
  vi.stubGlobal('EventSource', FakeSource);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the event stream', () => {
  test('is live once opened, and hands on what it hears', () => {
    const { stream, states, events } = listening();
    FakeSource.last.onopen();
    FakeSource.last.say('summary', { at: 'now' });
    expect(states).toEqual(['live']);
    expect(events).toEqual([{ type: 'summary', data: { at: 'now' } }]);
    stream.close();
  });

  test('comes back after a loss and says that something was missed', () => {
    const { stream, states, restored } = listening();
    FakeSource.last.onopen();
    FakeSource.last.onerror();
    expect(FakeSource.last.closed).toBe(true);
    vi.advanceTimersByTime(1_000);
    expect(FakeSource.all).toHaveLength(2);
    FakeSource.last.onopen();
    expect(states).toEqual(['live', 'reconnecting', 'live']);
    expect(restored()).toBe(1);
    stream.close();
  });

  test('takes silence for a loss', () => {
    const { stream, states } = listening();
    FakeSource.last.onopen();
    vi.advanceTimersByTime(SILENCE_MS - 1);
    FakeSource.last.say('summary', {});
    vi.advanceTimersByTime(SILENCE_MS - 1);
    expect(states).toEqual(['live']);
    vi.advanceTimersByTime(1);
    expect(states).toEqual(['live', 'reconnecting']);
    stream.close();
  });

  test('does not return once closed', () => {
    const { stream } = listening();
    FakeSource.last.onerror();
    stream.close();
    vi.advanceTimersByTime(60_000);
    expect(FakeSource.all).toHaveLength(1);
  });

  test('waits longer each time, up to a bound, and never in step with others', () => {
    expect([0, 1, 2, 3].map((attempt) => retryDelay(attempt, 0))).toEqual([1_000, 2_000, 4_000, 8_000]);
    expect(retryDelay(99, 0)).toBe(20_000);
    expect(retryDelay(99, 1)).toBe(10_000);
  });
});

describe('announcements', () => {
  test('come at once, then at most every few seconds with the number missed', () => {
    const said: number[] = [];
    const announcer = new Announcer((n) => said.push(n));
    announcer.arrived(0);
    announcer.arrived(1);
    for (let total = 2; total <= 40; total++) announcer.arrived(total);
    expect(said).toEqual([1]);
    vi.advanceTimersByTime(6_000);
    expect(said).toEqual([1, 39]);
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual([1, 39]);
  });

  test('a new stream counts from nothing', () => {
    const said: number[] = [];
    const announcer = new Announcer((n) => said.push(n));
    announcer.arrived(5);
    vi.advanceTimersByTime(6_000);
    announcer.arrived(0);
    announcer.arrived(1);
    expect(said).toEqual([5, 1]);
  });
});
