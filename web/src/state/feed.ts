// What the event stream has told so far, as a pure reduction: the pages only read it.

import type { Command, Device, Finding, Id, Summary } from '../api/types.ts';

/** How many summaries, one a second, the small live chart holds. Counted, not timed: the demo's clock runs faster. */
export const HISTORY_SAMPLES = 300;
/** A summary this much older than the last means that the server's clock was set back. */
export const CLOCK_SET_BACK_MS = 60_000;
/** Most findings kept for the fleet page. */
export const FINDINGS_MAX = 50;
/** Most changed devices remembered between two loads of a list. */
export const DEVICES_MAX = 500;
const COMMANDS_MAX = 100;

export interface Sample {
  at: number;
  messagesPerS: number;
  sessions: number;
  isolated: number;
}

export interface Feed {
  summary: Summary | null;
  history: Sample[];
  findings: Finding[];
  /** The severe ones apart, so that no flood of small ones washes them away. */
  severe: Finding[];
  /** Findings that arrived live, not with a load: those are announced. */
  arrived: number;
  devices: Map<Id, Device>;
  commands: Command[];
}

export type FeedEvent =
  | { type: 'summary'; data: Summary }
  | { type: 'finding'; data: Finding }
  | { type: 'findings'; data: Finding[] }
  | { type: 'device'; data: Device }
  | { type: 'command'; data: Command };

export const emptyFeed = (): Feed => ({
  summary: null,
  history: [],
  findings: [],
  severe: [],
  arrived: 0,
  devices: new Map(),
  commands: [],
});

export function reduce(feed: Feed, event: FeedEvent): Feed {
  switch (event.type) {
    case 'summary': return withSummary(feed, event.data);
    case 'finding': return withFinding(feed, event.data);
    case 'findings': return withFindings(feed, event.data);
    case 'device': return { ...feed, devices: withLatest(feed.devices, event.data) };
    case 'command': return { ...feed, commands: [event.data, ...feed.commands.filter(({ id }) => id !== event.data.id)].slice(0, COMMANDS_MAX) };
  }
}

function withSummary(feed: Feed, summary: Summary): Feed {
  const at = Date.parse(summary.at);
  const sample = { at, messagesPerS: summary.messages_per_s, sessions: summary.sessions, isolated: summary.isolated };
  const last = feed.history.at(-1)?.at ?? -Infinity;
  if (at < last - CLOCK_SET_BACK_MS) return { ...feed, summary, history: [sample] };
  if (at < last) return feed;
  const earlier = at === last ? feed.history.slice(0, -1) : feed.history;
  return { ...feed, summary, history: [...earlier, sample].slice(-HISTORY_SAMPLES) };
}

function withFinding(feed: Feed, finding: Finding): Feed {
  if (feed.findings.some(({ id }) => id === finding.id)) return feed;
  return { ...withFindings(feed, [finding]), arrived: feed.arrived + 1 };
}

function withFindings(feed: Feed, told: Finding[]): Feed {
  return {
    ...feed,
    findings: newestFirst([...told, ...feed.findings]),
    severe: newestFirst([...told.filter(isSevere), ...feed.severe]),
  };
}

export const isSevere = ({ severity }: Finding): boolean => severity === 'high' || severity === 'critical';

function newestFirst(findings: Finding[]): Finding[] {
  const byId = new Map(findings.map((finding) => [finding.id, finding]));
  return [...byId.values()].sort((a, b) => Date.parse(b.at) - Date.parse(a.at)).slice(0, FINDINGS_MAX);
}

function withLatest(devices: Map<Id, Device>, device: Device): Map<Id, Device> {
  const next = new Map(devices);
  next.delete(device.id);
  next.set(device.id, device);
  for (const oldest of next.keys()) {
    if (next.size <= DEVICES_MAX) break;
    next.delete(oldest);
  }
  return next;
}

/** One event of the stream; null for what this console does not know. */
export function decode(type: string, data: string): FeedEvent | null {
  if (type !== 'summary' && type !== 'finding' && type !== 'device' && type !== 'command') return null;
  try {
    return { type, data: JSON.parse(data) } as FeedEvent;
  } catch {
    return null;
  }
}

/** A row of the live chart's table: the mean over `bucketMs`, newest first. */
export function buckets(history: Sample[], bucketMs: number): Sample[] {
  const groups = new Map<number, Sample[]>();
  for (const sample of history) {
    const start = Math.floor(sample.at / bucketMs) * bucketMs;
    groups.set(start, [...(groups.get(start) ?? []), sample]);
  }
  return [...groups].sort(([a], [b]) => b - a).map(([at, samples]) => meanOf(at, samples));
}

function meanOf(at: number, samples: Sample[]): Sample {
  const mean = (pick: (sample: Sample) => number) => samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  return {
    at,
    messagesPerS: mean((sample) => sample.messagesPerS),
    sessions: Math.round(mean((sample) => sample.sessions)),
    isolated: Math.round(mean((sample) => sample.isolated)),
  };
}
