// The HTTP API of docs and server, spoken by a simulated fleet: for developing the console and its tests.

import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { World } from './world.ts';

const COOKIE = 'bartizan_session=mock';
/** As strict as the server's or stricter. */
const CSP = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
  "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
].join('; ');
const TYPES: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

class Refusal extends Error {
  constructor(readonly status: number, readonly title: string, readonly detail: string) {
    super(title);
  }
}

/** Answers one request under /api/v1. */
export async function handle(world: World, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    await answer(world, request, response);
  } catch (error) {
    const refusal = error instanceof Refusal ? error : new Refusal(500, 'Internal error', String(error));
    response.writeHead(refusal.status, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ type: 'about:blank', title: refusal.title, status: refusal.status, detail: refusal.detail }));
  }
}

async function answer(world: World, request: IncomingMessage, response: ServerResponse) {
  const url = new URL(request.url ?? '/', 'http://mock');
  const path = url.pathname.replace(/^\/api\/v1\//, '').split('/').map(decodeURIComponent);
  const method = request.method ?? 'GET';
  if (path[0] === 'sessions') return sessions(world, method, path[1], request, response);
  if (!request.headers.cookie?.includes(COOKIE)) throw new Refusal(401, 'Unauthorized', 'Sign in first.');
  if (path[0] !== 'tenants') throw missing('route');
  const tenant = path[1];
  if (tenant === undefined) return json(response, world.page(world.tenants, url.searchParams));
  if (!world.tenants.some(({ name }) => name === tenant)) throw missing('tenant');
  const empty = tenant !== 'city';
  switch (path[2]) {
    case 'summary': return json(response, world.summary(tenant));
    case 'types':
      if (path[4] === 'reference-values') return json(response, empty ? [] : world.references(path[3]!));
      return json(response, world.page(empty ? [] : world.types, url.searchParams));
    case 'onboarding': return json(response, []);
    case 'findings': return json(response, world.page(empty ? [] : world.findings, url.searchParams));
    case 'sources': return json(response, world.page(empty ? [] : world.sources, url.searchParams));
    case 'events': return stream(world, tenant, request, response);
    case 'devices':
      if (path[3] === undefined) return json(response, empty ? world.page([], url.searchParams) : world.list(url.searchParams));
      return device(world, method, path.slice(3), url, request, response);
    default: throw missing('route');
  }
}

async function sessions(world: World, method: string, which: string | undefined, request: IncomingMessage, response: ServerResponse) {
  if (method === 'POST') {
    const { token } = await body<{ token?: string }>(request);
    if (token !== World.TOKEN) throw new Refusal(401, 'Unauthorized', 'This token is not known.');
    response.writeHead(204, { 'set-cookie': `${COOKIE}; HttpOnly; SameSite=Strict; Path=/` }).end();
  } else if (method === 'DELETE' && which === 'current') {
    response.writeHead(204, { 'set-cookie': 'bartizan_session=; Max-Age=0; Path=/' }).end();
  } else {
    if (!request.headers.cookie?.includes(COOKIE)) throw new Refusal(401, 'Unauthorized', 'Sign in first.');
    json(response, { operator: world.operator });
  }
}

async function device(world: World, method: string, path: string[], url: URL, request: IncomingMessage, response: ServerResponse) {
  const member = world.member(path[0]!);
  if (!member) throw missing('device');
  const asked = method === 'POST' ? await body<Record<string, unknown>>(request) : {};
  switch (`${method} ${path[1] ?? ''}${path[3] ? `/${path[3]}` : ''}`) {
    case 'GET ': return json(response, world.shown(member));
    case 'GET timeline': return json(response, world.page(member.timeline, url.searchParams));
    case 'GET attestation': return json(response, world.attestation(member));
    case 'GET profile': return json(response, world.profile(member));
    case 'GET commands': return json(response, world.page(member.commands, url.searchParams));
    case 'POST isolations': world.isolate(member, reason(asked), asked.block === true); break;
    case 'POST releases': world.release(member, reason(asked)); break;
    case 'POST retirements': reason(asked); world.retire(member); break;
    case 'POST commands': return json(response, world.send(member, asked as never), 201);
    case 'POST commands/decision':
      if (!world.decide(member, path[2]!, asked.allow === true, reason(asked))) throw new Refusal(409, 'Conflict', 'The command is not held.');
      break;
    default: throw missing('route');
  }
  json(response, world.shown(member));
}

function reason(asked: Record<string, unknown>): string {
  if (typeof asked.reason !== 'string' || !asked.reason.trim()) throw new Refusal(422, 'A reason is needed', 'reason is empty');
  return asked.reason;
}

const missing = (what: string) => new Refusal(404, 'Not found', `There is no such ${what}.`);

function stream(world: World, tenant: string, request: IncomingMessage, response: ServerResponse) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const write = (type: string, data: unknown) => response.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  write('summary', world.summary(tenant));
  const stop = world.listen((event) => {
    if (event.tenant === tenant) write(event.type, event.data);
    else if (event.type === 'summary') write('summary', world.summary(tenant));
  });
  request.on('close', stop);
}

function json(response: ServerResponse, data: unknown, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(data));
}

async function body<T>(request: IncomingMessage): Promise<T> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return JSON.parse(Buffer.concat(chunks).toString() || '{}') as T;
  } catch {
    throw new Refusal(400, 'Malformed', 'The body is not JSON.');
  }
}

export interface MockServer {
  url: string;
  world: World;
  /** Cuts every open connection, event streams too, as a restarting server would. */
  cut(): void;
  close(): Promise<void>;
}

/** The mock API and the built console in `dist`, on a free port of the loopback interface. */
export async function serve(world: World, dist: string, tickMs = 250): Promise<MockServer> {
  const server = createServer((request, response) => {
    response.setHeader('content-security-policy', CSP);
    if (request.url?.startsWith('/api/')) void handle(world, request, response);
    else void file(dist, request.url ?? '/', response);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const timer = setInterval(() => world.tick(), tickMs);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    world,
    cut: () => server.closeAllConnections(),
    close: () => {
      clearInterval(timer);
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
}

async function file(dist: string, url: string, response: ServerResponse) {
  const path = normalize(new URL(url, 'http://mock').pathname);
  const name = path === '/' ? 'index.html' : path;
  try {
    const content = await readFile(join(dist, name));
    response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'application/octet-stream' }).end(content);
  } catch {
    response.writeHead(404).end();
  }
}
