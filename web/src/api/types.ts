// The shapes of the HTTP API under /api/v1. Enum strings are the stable names of `bartizan_wire`.

/** RFC 3339, UTC. */
export type Instant = string;
export type Id = string | number;

export const GRADES = ['normal', 'suspicious', 'abnormal'] as const;
export const ACCESSES = ['full', 'limited', 'quarantined', 'blocked'] as const;
export const LIFECYCLES = ['pending', 'active', 'retired'] as const;
export const ATTESTATIONS = ['none', 'affirming', 'warning', 'contraindicated'] as const;
export const UPDATES = ['none', 'offered', 'installing', 'failed'] as const;
export const CAUSES = ['person', 'detection', 'attestation', 'policy'] as const;
export const EXITS = ['person', 'dwell', 'evidence'] as const;
export const ENGINES = ['profile', 'source', 'protocol', 'verifier'] as const;
export const BASES = ['device', 'device_type', 'rule'] as const;
export const UNITS = ['ms', 'bytes', 'per_hour', 'per_minute', 'count'] as const;
export const SEVERITIES = ['informational', 'low', 'medium', 'high', 'critical'] as const;
export const COMMAND_STATES = ['held', 'queued', 'sent', 'acknowledged', 'expired', 'refused'] as const;
export const TIMELINE_KINDS = [
  'finding', 'grade', 'hold', 'release', 'access', 'session', 'command', 'key', 'lifecycle', 'attestation',
] as const;
export const FEATURES = [
  'report_interval', 'message_rate', 'payload_bytes', 'message_kind', 'peer', 'replayed_records',
  'forged_records', 'failed_handshakes', 'malformed_datagrams', 'endpoint_name', 'handshake_rate',
  'refused_requests', 'evidence',
] as const;

/** How a layer was started. The server writes the last one with a space. */
export const LAYER_MODES = ['normal', 'debug', 'recovery', 'not_configured'] as const;
/** Whether a device has proven lately what it runs. */
export const PROOFS = ['current', 'owed', 'stale', 'unreachable', 'evading'] as const;

export type Grade = (typeof GRADES)[number];
export type Access = (typeof ACCESSES)[number];
export type Lifecycle = (typeof LIFECYCLES)[number];
export type Attestation = (typeof ATTESTATIONS)[number];
export type Update = (typeof UPDATES)[number];
export type Cause = (typeof CAUSES)[number];
export type Exit = (typeof EXITS)[number];
export type Basis = (typeof BASES)[number];
export type Unit = (typeof UNITS)[number];
export type Severity = (typeof SEVERITIES)[number];
export type CommandState = (typeof COMMAND_STATES)[number];
export type TimelineKind = (typeof TIMELINE_KINDS)[number];
export type Feature = (typeof FEATURES)[number];

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** The band in which a feature was expected; an open end is null. */
export interface Expected {
  low: number | null;
  high: number | null;
  basis: Basis;
}

export interface Finding {
  id: Id;
  at: Instant;
  device: string | null;
  source: string | null;
  /** The device that unauthenticated bytes named. Shown, never held against it. */
  claimed: string | null;
  engine: string;
  feature: Feature;
  observed: number;
  expected: Expected;
  unit: Unit;
  score: number;
  severity: Severity;
  technique: string | null;
  text: string;
}

export interface Brake {
  /** Machines may isolate no more in this window; a person should look. */
  engaged: boolean;
  /** Devices that machines isolated in the window. */
  used: number;
  budget: number;
  /** Devices limited instead of isolated since it engaged. */
  spared: number;
  since: Instant | null;
}

export interface Summary {
  at: Instant;
  devices: number;
  active: number;
  normal: number;
  suspicious: number;
  abnormal: number;
  /** Quarantined and blocked. */
  isolated: number;
  limited: number;
  sessions: number;
  messages_per_s: number;
  messages_total: number;
  findings_total: number;
  refused_total: number;
  sources_limited: number;
  brake: Brake;
}

export interface Hold {
  id: Id;
  cause: Cause;
  engine: string | null;
  since: Instant;
  exit: Exit;
  access: Access;
  reason: string;
  by: string | null;
  /** Whether it waits for another key of the device. */
  awaits_key?: boolean;
}

export interface Session {
  since: Instant;
  /** Where its records come from: behind its NAT. */
  address: string;
  connection_id: boolean;
  /** "DTLS 1.2" or "DTLS 1.3". */
  version: string;
  suite: string;
}

/** What is known of a device's pre-shared key, but the key. */
export interface DeviceKey {
  /** 0: the one that it came with. */
  number: number;
  made: Instant;
  /** Whether it is to take another one. */
  wanted: boolean;
  /** Until when it should have, if a person asked. */
  due: Instant | null;
  /** Since when it has another one that it has not connected with yet. */
  pending_since: Instant | null;
}

export interface Device {
  id: Id;
  name: string;
  type: string;
  identity: string;
  /** An older server does not say. */
  key?: DeviceKey;
  /** The LwM2M endpoint name that it may register. */
  endpoint: string;
  lifecycle: Lifecycle;
  attestation: Attestation;
  grade: Grade;
  update: Update;
  access: Access;
  explanation: string;
  /** Left out in lists. */
  holds?: Hold[];
  created: Instant;
  last_seen: Instant | null;
  session: Session | null;
  messages: number;
  version: number;
}

export interface TimelineEntry {
  id: Id;
  at: Instant;
  kind: TimelineKind;
  text: string;
  finding: Finding | null;
  actor: string | null;
}

/** What a device has proven of itself. */
export interface AttestationState {
  /** The last verdict. */
  tier: Attestation;
  at: Instant | null;
  /** The registered one: a SHA-256 thumbprint in hex. Without it a device cannot attest. */
  identity: string | null;
  /** Starts that the device has counted, if it counts them. */
  boot_count: number | null;
  /** Whether it has proven lately what it runs; an older server does not say. */
  proof?: '' | (typeof PROOFS)[number];
  /** Since when; of a current proof how young it is. */
  proof_at?: Instant | null;
  /** When the last heartbeat came that prolonged its verdict. */
  heartbeat_at?: Instant | null;
  /** By when evidence or a heartbeat is due before something comes of it. */
  due?: Instant | null;
  /** Since when its reports are not to be trusted, while that is so. */
  untrusted_since?: Instant | null;
  /** Newest first. */
  verdicts: Verdict[];
}

export interface Verdict {
  at: Instant;
  tier: Attestation;
  /** The end of an English sentence that begins with the device. */
  text: string;
  /** In the order of boot; none if the evidence did not hold. */
  layers: Layer[];
  /** What speaks against the device, English sentences, the worst first. */
  reasons: string[];
  boot_count: number | null;
}

export interface Layer {
  component: string | null;
  version: string | null;
  security_version: number | null;
  /** `sha-512:` and hex digits. */
  digests: string[];
  /** normal, debug, recovery or not configured. */
  mode: string;
}

/** What good firmware of a device type measures as. */
export interface ReferenceValue {
  type: string;
  component: string;
  version: string | null;
  security_version: string | null;
  digests: string[];
  /** Who says so, in English. */
  source: string;
  /** allowed, deprecated, forbidden or withdrawn. */
  status: string;
}

export interface ProfileFeature {
  feature: Feature;
  unit: Unit;
  expected: Expected | null;
  learnt: boolean;
  recent: { at: Instant; value: number }[];
}

export interface Profile {
  features: ProfileFeature[];
}

export interface Command {
  id: Id;
  issuer: string;
  method: string;
  path: string;
  state: CommandState;
  created: Instant;
  expires: Instant;
  detail: string | null;
  /** The device's name; only in events. */
  device?: string;
}

export interface NewCommand {
  method: string;
  path: string;
  payload?: string;
  content_format?: number;
  expires_in_s?: number;
}

export interface LimitedSource {
  source: string;
  since: Instant;
  until: Instant;
  /** Why, as an English sentence. */
  text: string;
  /** Datagrams dropped unread because of it. */
  dropped: number;
}

export interface Tenant {
  name: string;
  upstream: string;
  devices: number;
}

/** A line of the queue of those who want to join and wait for a person. */
export interface Queued {
  identity: string;
  /** The identity as people read it. */
  shown: string;
  manufacturer: string;
  /** The device that has this identity already. */
  device: string | null;
  why: string;
  first: string;
  last: string;
  knocks: number;
  refused: boolean;
}

export interface DeviceType {
  name: string;
  devices: number;
}
