// Starts the real `bartizan` for the console's tests, on free ports of the loopback interface.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request, type APIRequestContext } from 'playwright-core';
import type { Device, Page as List, Tenant } from '../../src/api/types.ts';
import { until, type Target } from './harness.ts';

const FREE_PORTS = { BARTIZAN_API__LISTEN: '127.0.0.1:0', BARTIZAN_GATEWAY__LISTEN: '127.0.0.1:0' };
/** More than one page of the list. */
const DEVICES = 60;

/** Slow enough that an isolated device stays so for half a minute: readmission takes an hour of the city's time. */
const CITY = ['--devices', '200', '--time-scale', '100', '--seconds', '180'];

/** A fresh installation with devices that never spoke, one of them isolated by a person. */
export async function servedTarget(bin: string): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), 'bartizan-console-'));
  const dir = join(folder, 'data');
  const made = spawnSync(bin, ['init', '--data-dir', dir], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`bartizan init: ${made.stderr}`);
  const server = run(bin, ['serve', '--data-dir', dir]);
  const endpoint = join(dir, 'run', 'endpoint.json');
  let api = '';
  await until('the server says where it listens', async () => {
    if (server.child.exitCode !== null) throw new Error(`bartizan serve ended:\n${server.said()}`);
    api = await readFile(endpoint, 'utf8').then((text) => (JSON.parse(text) as { api: string }).api, () => '');
    return api !== '';
  });
  const token = (await readFile(join(dir, 'operator.token'), 'utf8')).trim();
  await seed(await client(`https://${api}`, token), join(folder, 'telemetry.ndjson'));
  const close = async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { url: `https://${api}`, token, tenant: 'city', close };
}

async function seed(api: APIRequestContext, telemetry: string) {
  const post = async (path: string, data: unknown) => {
    const answer = await api.post(`api/v1/${path}`, { data });
    if (!answer.ok()) throw new Error(`${path}: ${answer.status()} ${await answer.text()}`);
  };
  await post('tenants', { name: 'city', upstream: `log:${telemetry}` });
  await post('tenants/city/types', { name: 'water-meter' });
  for (let i = 1; i <= DEVICES; i++) {
    await post('tenants/city/devices', { name: `meter-${String(i).padStart(3, '0')}`, type: 'water-meter' });
  }
  await post('tenants/city/devices/meter-007/isolations', { reason: 'Found open in the street', block: false });
  await api.dispose();
}

/** The demo is a feature that a build may leave out. */
export const hasDemo = (bin: string): boolean => spawnSync(bin, ['demo', '--help']).status === 0;

/** The demo, once its machines have isolated something. */
export async function demoTarget(bin: string): Promise<Target> {
  const demo = run(bin, ['demo', ...CITY]);
  let address = '';
  await until('the demo prints the address of its console', async () => {
    if (demo.child.exitCode !== null) throw new Error(`bartizan demo ended:\n${demo.said()}`);
    address = /https:\/\/\S+#token=\S+/.exec(demo.said())?.[0] ?? '';
    return address !== '';
  }, 60_000);
  const [url = '', token = ''] = address.split('#token=');
  return { ...(await runningTarget(url, decodeURIComponent(token))), close: demo.stop };
}

/** A server that somebody else runs; it needs devices that machines isolate. */
export async function runningTarget(url: string, token: string): Promise<Target> {
  const root = url.replace(/\/$/, '');
  const api = await client(root, token);
  const ask = async <T>(path: string) => (await (await api.get(`api/v1/${path}`)).json()) as T;
  const tenant = process.env.BARTIZAN_TENANT ?? (await ask<List<Tenant>>('tenants')).items[0]!.name;
  const wait = Number(process.env.BARTIZAN_WAIT_S ?? 150) * 1000;
  await until('a device is isolated for its behaviour', async () => {
    const { items } = await ask<List<Device>>(`tenants/${tenant}/devices?access=quarantined`);
    return items.length > 0;
  }, wait);
  await api.dispose();
  return { url: root, token, tenant, close: async () => {} };
}

const client = (url: string, token: string) =>
  request.newContext({ baseURL: `${url}/`, ignoreHTTPSErrors: true, extraHTTPHeaders: { authorization: `Bearer ${token}` } });

interface Running {
  child: ChildProcess;
  said(): string;
  stop(): Promise<void>;
}

function run(bin: string, args: string[]): Running {
  const child = spawn(bin, args, { env: { ...process.env, ...FREE_PORTS }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  const stop = async () => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    const hard = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(hard);
  };
  return { child, said: () => said, stop };
}
