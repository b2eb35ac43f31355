import { isolatedDevices } from './isolated.ts';
import { Problem, problemOf } from './problem.ts';
import type {
  AttestationState, Command, Device, DeviceType, Finding, Id, LimitedSource, NewCommand, Page, Profile, ReferenceValue,
  Queued, Summary, Tenant, TimelineEntry,
} from './types.ts';

const BASE = '/api/v1';
const TIMEOUT_MS = 15_000;

type Query = Record<string, string | number | null | undefined>;
let onSignedOut: () => void = () => {};

/** Called when the server no longer accepts our session. */
export function whenSignedOut(then: () => void) {
  onSignedOut = then;
}

/** `/tenants/a%20b/devices?q=x`: segments are encoded, empty query values left out. */
export function address(segments: (string | Id)[], query: Query = {}): string {
  const path = segments.map((segment) => encodeURIComponent(String(segment))).join('/');
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const search = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
  return `${BASE}/${path}${search ? `?${search}` : ''}`;
}

async function request<T>(method: string, url: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  // A retried POST must not isolate, release or send twice.
  if (method === 'POST') headers['idempotency-key'] = randomKey();
  const response = await send(url, {
    method,
    headers,
    credentials: 'same-origin',
    cache: 'no-store',
    signal: anySignal(signal),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) {
    const problem = await problemOf(response);
    if (problem.status === 401) onSignedOut();
    throw problem;
  }
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem({ status: 0, title: String(error) });
  }
}

function anySignal(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const get = <T>(url: string, signal?: AbortSignal) => request<T>('GET', url, undefined, signal);
const post = <T>(url: string, body: unknown = {}) => request<T>('POST', url, body);

// --- who we are

export const signIn = (token: string) => post<void>(`${BASE}/sessions`, { token });
export const currentSession = () => get<{ operator: string }>(`${BASE}/sessions/current`);
export const signOut = () => request<void>('DELETE', `${BASE}/sessions/current`);

// --- the fleet

const all = { limit: 200 };
export const tenants = () => items<Tenant>(address(['tenants'], all));
export const deviceTypes = (tenant: string) => items<DeviceType>(address(['tenants', tenant, 'types'], all));
export const limitedSources = (tenant: string) => items<LimitedSource>(address(['tenants', tenant, 'sources'], all));

async function items<T>(url: string): Promise<T[]> {
  return (await get<Page<T>>(url)).items;
}

export const summary = (tenant: string) => get<Summary>(address(['tenants', tenant, 'summary']));
export const findings = (tenant: string, query: Query = {}) =>
  get<Page<Finding>>(address(['tenants', tenant, 'findings'], query));
export const devices = (tenant: string, query: Query = {}, signal?: AbortSignal) => {
  const list = (query: Query) => get<Page<Device>>(address(['tenants', tenant, 'devices'], query), signal);
  return query.access === 'isolated' ? isolatedDevices(list, query) : list(query);
};

// --- onboarding

const queueAt = (tenant: string, ...rest: string[]) => address(['tenants', tenant, 'onboarding', 'queue', ...rest]);
export const onboardingQueue = (tenant: string) => get<Queued[]>(queueAt(tenant));
export const approve = (tenant: string, identity: string, as: { name?: string; type?: string }) =>
  post<Queued[]>(queueAt(tenant, identity, 'approval'), as);
export const refuse = (tenant: string, identity: string) => post<Queued[]>(queueAt(tenant, identity, 'refusal'));

export const eventsAddress = (tenant: string) => address(['tenants', tenant, 'events']);

// --- one device

const at = (tenant: string, device: string, ...rest: (string | Id)[]) => ['tenants', tenant, 'devices', device, ...rest];

export const device = (tenant: string, name: string) => get<Device>(address(at(tenant, name)));
export const timeline = (tenant: string, name: string, query: Query = {}) =>
  get<Page<TimelineEntry>>(address(at(tenant, name, 'timeline'), query));
export const profile = (tenant: string, name: string) => get<Profile>(address(at(tenant, name, 'profile')));
export const commands = (tenant: string, name: string) =>
  get<Page<Command>>(address(at(tenant, name, 'commands'), { limit: 50 }));
export const attestation = (tenant: string, name: string) => get<AttestationState>(address(at(tenant, name, 'attestation')));
export const referenceValues = (tenant: string, type: string) =>
  get<ReferenceValue[]>(address(['tenants', tenant, 'types', type, 'reference-values']));

export const isolate = (tenant: string, name: string, reason: string, block: boolean) =>
  post<unknown>(address(at(tenant, name, 'isolations')), { reason, block });
export const release = (tenant: string, name: string, reason: string) =>
  post<unknown>(address(at(tenant, name, 'releases')), { reason });
export const retire = (tenant: string, name: string, reason: string) =>
  post<unknown>(address(at(tenant, name, 'retirements')), { reason });
export const sendCommand = (tenant: string, name: string, command: NewCommand) =>
  post<Command>(address(at(tenant, name, 'commands')), command);
export const decideCommand = (tenant: string, name: string, id: Id, allow: boolean, reason: string) =>
  post<unknown>(address(at(tenant, name, 'commands', id, 'decision')), { allow, reason });
