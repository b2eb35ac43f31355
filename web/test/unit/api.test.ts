import { afterEach, describe, expect, test, vi } from 'vitest';
import * as api from '../../src/api/client.ts';
import { isolatedDevices } from '../../src/api/isolated.ts';
import { adviceFor, asProblem, Problem, problemOf } from '../../src/api/problem.ts';
import type { Device, Page } from '../../src/api/types.ts';
import { link, parse, tokenIn } from '../../src/state/route.ts';

afterEach(() => vi.unstubAllGlobals());

describe('addresses of the API', () => {
  test('encode what people name things', () => {
    expect(api.address(['tenants', 'a/b', 'devices', 'x y'], { q: '50 %', type: '', cursor: null })).toBe('/api/v1/tenants/a%2Fb/devices/x%20y?q=50+%25');
  });
});

describe('requests', () => {
  test('a POST carries a fresh idempotency key', async () => {
    const fetch = vi.fn(async (_url: string, _init: RequestInit) => new Response('{}', { status: 200 }));
    vi.stubGlobal('fetch', fetch);
    await api.isolate('city', 'm-1', 'because', true);
    await api.isolate('city', 'm-1', 'because', true);
    const keys = fetch.mock.calls.map(([, init]) => (init.headers as Record<string, string>)['idempotency-key']);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(keys[0]).not.toBe(keys[1]);
    expect(fetch.mock.calls[0]![1].body).toBe('{"reason":"because","block":true}');
  });

  test('an ended session is reported once and thrown as a problem', async () => {
    const gone = vi.fn();
    api.whenSignedOut(gone);
    vi.stubGlobal('fetch', async () => new Response('{"title":"No","detail":"Sign in first."}', { status: 401 }));
    await expect(api.tenants()).rejects.toMatchObject({ status: 401, detail: 'Sign in first.' });
    expect(gone).toHaveBeenCalledOnce();
  });

  test('no answer is a problem too', async () => {
    vi.stubGlobal('fetch', async () => { throw new TypeError('Failed to fetch'); });
    await expect(api.tenants()).rejects.toMatchObject({ status: 0 });
  });
});

describe('problems', () => {
  test('keep the words of the server, and survive a page that is no problem document', async () => {
    expect((await problemOf(new Response('{"title":"Too long","detail":"reason: at most 500"}', { status: 422 }))).detail).toBe('reason: at most 500');
    expect((await problemOf(new Response('<h1>Bad gateway</h1>', { status: 502, statusText: 'Bad Gateway' }))).detail).toBe('Bad Gateway');
  });

  test('say what to do, whatever the status', () => {
    for (const status of [-1, 0, 400, 401, 403, 404, 409, 412, 418, 422, 429, 500, 502, 503]) {
      const { what, todo } = adviceFor(status);
      expect(todo).toBe(`${what}.todo`);
    }
    expect(asProblem(new Error('x')).status).toBe(-1);
    expect(asProblem(new Problem({ status: 404 })).status).toBe(404);
  });
});

describe('the list of isolated devices', () => {
  const lists: Record<string, string[]> = { quarantined: ['q1', 'q2', 'q3'], blocked: ['b1', 'b2'] };
  const list = async (query: Record<string, unknown>): Promise<Page<Device>> => {
    const from = Number(query.cursor ?? 0);
    const to = from + Number(query.limit);
    const all = lists[String(query.access)]!;
    return { items: all.slice(from, to).map((name) => ({ name }) as Device), next_cursor: to < all.length ? String(to) : null };
  };

  test.each([1, 2, 3, 4, 5, 9])('shows each once, %d a page', async (limit) => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Page<Device> = await isolatedDevices(list, { access: 'isolated', limit, cursor });
      expect(page.items.length).toBeLessThanOrEqual(limit);
      seen.push(...page.items.map(({ name }) => name));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(seen).toEqual(['q1', 'q2', 'q3', 'b1', 'b2']);
  });
});

describe('routes', () => {
  test.each(['#/city', '#/city/devices?grade=abnormal&q=a%26b', '#/city/devices/lock%2F7', '#/city/findings'])('%s is read as it was written', (hash) => {
    const { tenant, name, device, query } = parse(hash);
    const section = name === 'fleet' ? undefined : name === 'findings' ? 'findings' : 'devices';
    expect(link(tenant!, section, device, query)).toBe(hash);
  });

  test('nonsense leads to the fleet', () => {
    expect(parse('')).toMatchObject({ name: 'fleet', tenant: null });
    expect(parse('#/%E0%A4%A/nowhere')).toMatchObject({ name: 'fleet', tenant: '%E0%A4%A' });
  });

  test('a token in the fragment', () => {
    expect(tokenIn('#token=abc%2Bd')).toBe('abc+d');
    expect(tokenIn('#token=')).toBeNull();
    expect(tokenIn('#/city')).toBeNull();
  });
});
