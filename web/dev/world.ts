// A small simulated fleet behind the mock API: seeded, so that a test sees the same devices every time.

import { sentence } from '../src/format/finding.ts';
import { Firmware } from './firmware.ts';
import type {
  Access, AttestationState, Command, Device, Finding, Hold, LimitedSource, NewCommand, Page, Profile, ReferenceValue, Summary, Tenant,
  TimelineEntry, TimelineKind, Verdict,
} from '../src/api/types.ts';

export interface WorldOptions {
  seed: number;
  devices?: number;
}

type Event = { tenant: string; type: string; data: unknown };

interface Member {
  device: Device;
  holds: Hold[];
  timeline: TimelineEntry[];
  commands: Command[];
  /** What it usually leaves between two reports. */
  intervalMs: number;
  recent: { at: number; value: number }[];
  /** Null: no attestation identity is registered. */
  attester: { identity: string; bootCount: number | null; verdicts: Verdict[] } | null;
}

const TYPES = [
  { name: 'water-meter', prefix: 'meter', intervalMs: 3_600_000, share: 0.5 },
  { name: 'street-light', prefix: 'light', intervalMs: 900_000, share: 0.3 },
  { name: 'bicycle-lock', prefix: 'lock', intervalMs: 600_000, share: 0.2 },
];
const SUITE = 'TLS_PSK_WITH_AES_128_CCM_8';
const SOURCE = '203.0.113.66';

/** Park and Miller's generator: enough for a fleet that only has to look alive. */
function randomOf(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

export class World {
  static readonly TOKEN = 'mock-operator-token';
  readonly operator = 'ada';
  now = Date.now();
  members: Member[] = [];
  findings: Finding[] = [];
  sources: LimitedSource[] = [];
  brakeEngaged = false;
  #random: () => number;
  #id = 1;
  #messages = 0;
  #rate = 3;
  #listeners = new Set<(event: Event) => void>();

  constructor({ seed, devices = 160 }: WorldOptions) {
    this.#random = randomOf(seed);
    for (const type of TYPES) {
      const count = Math.round(devices * type.share);
      for (let i = 1; i <= count; i++) this.#add(`${type.prefix}-${String(i).padStart(3, '0')}`, type.name, type.intervalMs);
    }
    this.#history();
  }

  get tenants(): Tenant[] {
    return [
      { name: 'city', upstream: 'log:city.ndjson', devices: this.members.length },
      { name: 'harbour', upstream: 'mqtt://127.0.0.1:1883', devices: 0 },
    ];
  }

  get types() {
    return TYPES.map(({ name }) => ({ name, devices: this.members.filter(({ device }) => device.type === name).length }));
  }

  // --- time

  /** One second passes. */
  tick() {
    this.now = Math.max(this.now + 1, Date.now());
    this.#rate = Math.max(0.4, 3 + Math.sin(this.now / 20_000) + (this.#random() - 0.5));
    this.#messages += Math.round(this.#rate);
    for (let i = 0; i < this.#rate; i++) this.#report(this.members[Math.floor(this.#random() * this.members.length)]!);
    if (this.#random() < 0.12) this.#oddity();
    this.members.forEach((member) => this.#deliver(member));
    this.emit('summary', this.summary('city'));
  }

  /** A device behaves a little unlike itself. */
  #oddity() {
    const calm = this.members.filter(({ device }) => device.access === 'full');
    const member = calm[Math.floor(this.#random() * calm.length)];
    if (!member) return;
    const bytes = Math.round(90 + this.#random() * 300);
    this.#judge(member, {
      feature: 'payload_bytes', observed: bytes, expected: { low: 18, high: 44, basis: 'device' }, unit: 'bytes',
      score: 0.58, severity: 'low', technique: null,
    });
    this.#grade(member, 'suspicious');
  }

  #report(member: Member) {
    if (member.device.lifecycle !== 'active') return;
    member.device = { ...member.device, last_seen: this.#time(), messages: member.device.messages + 1 };
  }

  #deliver(member: Member) {
    for (const command of member.commands) {
      const age = this.now - Date.parse(command.created);
      const next = command.state === 'queued' && age > 2_000 ? 'sent' : command.state === 'sent' && age > 4_000 ? 'acknowledged' : null;
      if (next) this.#commandState(member, command, next);
    }
  }

  #commandState(member: Member, command: Command, state: Command['state']) {
    command.state = state;
    this.#note(member, 'command', `Command ${command.method} ${command.path} of ${command.issuer} is ${state}.`);
    this.emit('command', { ...command, device: member.device.name });
  }

  // --- what is asked

  summary(tenant: string): Summary {
    const members = tenant === 'city' ? this.members : [];
    const count = (test: (device: Device) => boolean) => members.filter(({ device }) => test(device)).length;
    return {
      at: this.#time(),
      devices: members.length,
      active: count(({ lifecycle }) => lifecycle === 'active'),
      normal: count(({ grade }) => grade === 'normal'),
      suspicious: count(({ grade }) => grade === 'suspicious'),
      abnormal: count(({ grade }) => grade === 'abnormal'),
      isolated: count(({ access }) => access === 'quarantined' || access === 'blocked'),
      limited: count(({ access }) => access === 'limited'),
      sessions: count(({ session }) => session !== null),
      messages_per_s: members.length ? Number(this.#rate.toFixed(2)) : 0,
      messages_total: members.length ? this.#messages : 0,
      findings_total: members.length ? this.findings.length : 0,
      refused_total: members.length ? 41 : 0,
      sources_limited: members.length ? this.sources.length : 0,
      brake: {
        engaged: this.brakeEngaged, used: this.brakeEngaged ? 20 : 8, budget: 20, spared: this.brakeEngaged ? 3 : 0,
        since: this.brakeEngaged ? this.#time() : null,
      },
    };
  }

  list(query: URLSearchParams): Page<Device> {
    const q = (query.get('q') ?? '').toLowerCase();
    const wanted = (field: 'type' | 'grade' | 'access' | 'lifecycle', device: Device) => !query.get(field) || query.get(field) === device[field];
    const found = this.members
      .map(({ device }) => device)
      .filter((device) => device.name.includes(q) && wanted('type', device) && wanted('grade', device) && wanted('access', device) && wanted('lifecycle', device));
    return this.page(found, query);
  }

  page<T>(items: T[], query: URLSearchParams): Page<T> {
    const from = Number(query.get('cursor') ?? 0);
    const to = from + Number(query.get('limit') ?? 50);
    return { items: items.slice(from, to), next_cursor: to < items.length ? String(to) : null };
  }

  member(name: string): Member | undefined {
    return this.members.find(({ device }) => device.name === name || String(device.id) === name);
  }

  shown(member: Member): Device {
    return { ...member.device, holds: member.holds };
  }

  profile({ device, intervalMs, recent }: Member): Profile {
    const expected = { low: intervalMs * 0.92, high: intervalMs * 1.09, basis: 'device' as const };
    const sizes = recent.map(({ at }, i) => ({ at: new Date(at).toISOString(), value: 24 + ((i * 7) % 17) }));
    return {
      features: [
        { feature: 'report_interval', unit: 'ms', expected, learnt: device.lifecycle === 'active', recent: recent.map(({ at, value }) => ({ at: new Date(at).toISOString(), value })) },
        { feature: 'payload_bytes', unit: 'bytes', expected: { low: 18, high: 44, basis: 'device' }, learnt: true, recent: sizes },
      ],
    };
  }

  attestation({ device, attester }: Member): AttestationState {
    const verdicts = attester?.verdicts.slice(0, 10) ?? [];
    const at = verdicts[0]?.at ?? null;
    const failed = device.attestation === 'contraindicated';
    return {
      tier: device.attestation, at, identity: attester?.identity ?? null, boot_count: attester?.bootCount ?? null,
      proof: 'current', proof_at: at, heartbeat_at: failed ? null : at, due: failed ? null : at && new Date(Date.parse(at) + 86_400_000).toISOString(),
      untrusted_since: failed ? (verdicts.find(({ tier }) => tier === 'affirming')?.at ?? device.created) : null, verdicts,
    };
  }

  references(type: string): ReferenceValue[] {
    return type === 'water-meter' ? Firmware.references(type) : [];
  }

  // --- what is done

  isolate(member: Member, reason: string, block: boolean) {
    const access = block ? 'blocked' : 'quarantined';
    this.#hold(member, { cause: 'person', engine: null, exit: 'person', access, reason, by: this.operator });
    this.#posture(member);
  }

  release(member: Member, reason: string) {
    member.holds = [];
    member.device = { ...member.device, grade: 'normal' };
    this.#note(member, 'release', `Released by ${this.operator}: ${reason}`, this.operator);
    this.#posture(member);
  }

  retire(member: Member) {
    member.device = { ...member.device, lifecycle: 'retired', session: null };
    this.#note(member, 'lifecycle', 'Taken out of service for good; its key is refused from now on.', this.operator);
    this.#posture(member);
  }

  send(member: Member, asked: NewCommand): Command {
    const command: Command = {
      id: this.#id++, issuer: this.operator, method: asked.method, path: asked.path,
      state: asked.path.startsWith('/5') ? 'held' : 'queued', created: this.#time(),
      expires: this.#time((asked.expires_in_s ?? 86_400) * 1000), detail: null,
    };
    member.commands.unshift(command);
    this.#note(member, 'command', `Command ${command.method} ${command.path} of ${command.issuer} is ${command.state}.`, this.operator);
    this.emit('command', { ...command, device: member.device.name });
    return command;
  }

  decide(member: Member, id: string, allow: boolean, reason: string): boolean {
    const command = member.commands.find((command) => String(command.id) === id && command.state === 'held');
    if (!command) return false;
    command.detail = reason;
    this.#commandState(member, command, allow ? 'queued' : 'refused');
    return true;
  }

  engageBrake(engaged: boolean) {
    this.brakeEngaged = engaged;
    this.emit('summary', this.summary('city'));
  }

  /** A light starts to flood: for tests that wait for something to happen. */
  flood(name: string) {
    const member = this.member(name)!;
    this.#judge(member, {
      feature: 'message_rate', observed: 212, expected: { low: 0, high: 6, basis: 'device' }, unit: 'per_minute',
      score: 0.99, severity: 'high', technique: 'T1498',
    });
    this.#condemn(member, 'sent 212 messages a minute; its own habit is at most 6 a minute');
  }

  /** The meter answers a challenge with what it runs now. */
  attest(name: string, firmware: Firmware, at = this.#time()) {
    const member = this.member(name)!;
    const { tier, text, layers, reasons } = firmware;
    const verdict: Verdict = { at, tier, text, layers, reasons, boot_count: 17 };
    member.attester ??= { identity: Firmware.digestOf(name).slice(0, 64), bootCount: 17, verdicts: [] };
    member.attester.verdicts.unshift(verdict);
    const as = member.device.attestation === verdict.tier ? ' as before' : '';
    member.device = { ...member.device, attestation: verdict.tier };
    if (verdict.tier === 'contraindicated') {
      this.#judge(member, {
        feature: 'evidence', observed: verdict.reasons.length, expected: { low: 0, high: 0, basis: 'rule' }, unit: 'count',
        score: 1, severity: 'high', technique: 'T0857',
      }, { engine: 'verifier', text: verdict.text });
      this.#hold(member, { cause: 'attestation', engine: 'verifier', exit: 'evidence', access: 'quarantined', reason: verdict.text, by: null });
    }
    this.#note(member, 'attestation', `It attested: ${verdict.tier}${as}.`, null, at);
    this.#posture(member);
  }

  /** Its evidence is overdue. */
  owe(name: string) {
    const member = this.member(name)!;
    this.#hold(member, { cause: 'policy', engine: null, exit: 'evidence', access: 'limited', reason: 'owes evidence of what it runs', by: null });
    this.#posture(member);
  }

  listen(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(type: string, data: unknown, tenant = 'city') {
    for (const listener of this.#listeners) listener({ tenant, type, data });
  }

  // --- how it came to be

  #add(name: string, type: string, intervalMs: number) {
    const id = this.#id++;
    const created = this.now - 40 * 86_400_000;
    const pending = this.#random() < 0.04;
    const seen = this.now - this.#random() * intervalMs;
    const recent = Array.from({ length: 24 }, (_, i) => ({
      at: seen - (24 - i) * intervalMs, value: intervalMs * (0.95 + this.#random() * 0.1),
    }));
    const device: Device = {
      id, name, type, identity: `psk-${name}`, endpoint: name, lifecycle: pending ? 'pending' : 'active',
      attestation: 'none', grade: 'normal', update: 'none', access: 'full', explanation: 'Nothing holds it: it has full access.',
      created: new Date(created).toISOString(), last_seen: pending ? null : new Date(seen).toISOString(),
      session: pending ? null : { since: new Date(created + 86_400_000).toISOString(), address: `100.64.${id % 200}.${(id * 7) % 250}:${40_000 + id}`, connection_id: true, version: 'DTLS 1.2', suite: SUITE },
      messages: pending ? 0 : Math.round((this.now - created) / intervalMs), version: 1,
    };
    this.members.push({ device, holds: [], timeline: [], commands: [], intervalMs, recent: pending ? [] : recent, attester: null });
  }

  #history() {
    for (const member of this.members) this.#note(member, 'lifecycle', 'Added; it has not connected yet.', this.operator, member.device.created);
    for (const name of ['light-003', 'light-004', 'light-005', 'light-011']) this.flood(name);
    this.#fastMeter(this.member('meter-042')!);
    this.isolate(this.member('lock-007')!, 'Found open in the river; waiting for a technician.', true);
    this.#newKind(this.member('lock-012')!);
    this.#limitSource();
    this.#firmware();
    for (let i = 0; i < 30; i++) this.#note(this.member('meter-001')!, 'session', 'Disconnected.', null, this.#time(-i * 7_200_000));
  }

  #fastMeter(member: Member) {
    const start = this.now - 20 * 72_000;
    member.recent = [...member.recent.slice(-14).map(({ value }, i) => ({ at: start - (14 - i) * value, value })),
      ...Array.from({ length: 18 }, (_, i) => ({ at: start + i * 72_000, value: 72_000 * (0.97 + this.#random() * 0.06) }))];
    this.#judge(member, {
      feature: 'report_interval', observed: 72_000, expected: { low: 3_300_000, high: 3_900_000, basis: 'device' }, unit: 'ms',
      score: 0.97, severity: 'medium', technique: 'T0856',
    });
    this.#condemn(member, 'reported again after 72 s; its own habit is every 55 to 65 min');
  }

  #newKind(member: Member) {
    this.#judge(member, {
      feature: 'message_kind', observed: 1, expected: { low: 0, high: 0, basis: 'device_type' }, unit: 'count',
      score: 0.6, severity: 'low', technique: null,
    });
    this.#grade(member, 'suspicious');
  }

  #firmware() {
    for (let day = 5; day > 0; day--) this.attest('meter-002', Firmware.good(day > 3 ? '2.4.0' : '2.4.1'), this.#time(-day * 86_400_000));
    this.attest('meter-003', Firmware.good('2.4.1'), this.#time(-86_400_000));
    this.attest('meter-003', Firmware.tampered());
    this.attest('meter-005', Firmware.good('2.3.0'), this.#time(-172_800_000));
    this.attest('meter-005', Firmware.forbidden(), this.#time(-86_400_000));
    this.attest('meter-005', Firmware.unverified());
    this.attest('meter-006', Firmware.unknown());
    this.member('meter-008')!.attester = { identity: Firmware.digestOf('meter-008').slice(0, 64), bootCount: null, verdicts: [] };
    this.owe('meter-008');
  }

  #limitSource() {
    this.sources = [{
      source: SOURCE, since: this.#time(-60_000), until: this.#time(540_000), dropped: 318,
      text: 'made 40 failed handshakes a minute; the rule allows at most 10 a minute',
    }];
    this.#find(null, {
      feature: 'failed_handshakes', observed: 40, expected: { low: 0, high: 10, basis: 'rule' }, unit: 'per_minute',
      score: 1, severity: 'high', technique: 'T1110',
    });
  }

  // --- small steps

  #judge(member: Member, fields: Pick<Finding, 'feature' | 'observed' | 'expected' | 'unit' | 'score' | 'severity' | 'technique'>, by?: Pick<Finding, 'engine' | 'text'>) {
    const finding = this.#find(member.device.name, fields, by);
    member.timeline.unshift({ id: this.#id++, at: finding.at, kind: 'finding', text: finding.text, finding, actor: null });
  }

  #find(device: string | null, fields: Pick<Finding, 'feature' | 'observed' | 'expected' | 'unit' | 'score' | 'severity' | 'technique'>, by?: Pick<Finding, 'engine' | 'text'>): Finding {
    const finding: Finding = {
      id: this.#id++, at: this.#time(), device, source: device ? null : SOURCE, claimed: device ? null : 'lock-012',
      engine: device ? 'profile' : 'source', ...fields, text: sentence('en', fields), ...by,
    };
    this.findings.unshift(finding);
    this.emit('finding', finding);
    return finding;
  }

  #grade(member: Member, grade: Device['grade']) {
    if (member.device.grade === grade) return;
    this.#note(member, 'grade', `Its behaviour changed from ${member.device.grade} to ${grade}.`);
    member.device = { ...member.device, grade };
    this.#posture(member);
  }

  #condemn(member: Member, why: string) {
    this.#grade(member, 'abnormal');
    this.#hold(member, { cause: 'detection', engine: 'profile', exit: 'dwell', access: 'quarantined', reason: why, by: null });
    this.#posture(member);
    member.device = { ...member.device, explanation: `Quarantined since ${this.#time().slice(11, 16)} UTC: it ${why}. It is readmitted by itself once it behaves normally again.` };
  }

  #hold(member: Member, hold: Omit<Hold, 'id' | 'since'>) {
    member.holds.push({ id: this.#id++, since: this.#time(), ...hold });
    this.#note(member, 'hold', hold.by ? `A person set it to ${hold.access}: ${hold.reason}.` : `Set to ${hold.access} because it ${hold.reason}.`, hold.by);
  }

  #posture(member: Member) {
    const order: Access[] = ['full', 'limited', 'quarantined', 'blocked'];
    const strictest = Math.max(0, ...member.holds.map(({ access }) => order.indexOf(access)));
    const access = member.device.lifecycle === 'retired' ? 'blocked' : order[strictest]!;
    const explanation = access === 'full' ? 'Nothing holds it: it has full access.' : `It is ${access}: ${member.holds.at(-1)?.reason ?? 'retired'}`;
    const session = access === 'blocked' ? null : member.device.session;
    member.device = { ...member.device, access, explanation, session, version: member.device.version + 1 };
    this.emit('device', this.shown(member));
  }

  #note(member: Member, kind: TimelineKind, text: string, actor: string | null = null, at = this.#time()) {
    member.timeline.unshift({ id: this.#id++, at, kind, text, finding: null, actor });
    member.timeline.sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || Number(b.id) - Number(a.id));
  }

  #time(offsetMs = 0): string {
    return new Date(this.now + offsetMs).toISOString();
  }
}
