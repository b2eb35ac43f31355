// "Isolated" is two accesses to the server, quarantined and blocked: one list after the other.

import type { Device, Page } from './types.ts';

type Query = Record<string, string | number | null | undefined>;
const ORDER = ['quarantined', 'blocked'] as const;

/** One page over both lists; a cursor names the list that it goes on in. */
export async function isolatedDevices(list: (query: Query) => Promise<Page<Device>>, query: Query): Promise<Page<Device>> {
  const [access = ORDER[0], cursor] = split(query.cursor);
  const page = await list({ ...query, access, cursor });
  if (page.next_cursor !== null) return { ...page, next_cursor: `${access}:${page.next_cursor}` };
  if (access === ORDER[1]) return page;
  const missing = Number(query.limit ?? 50) - page.items.length;
  if (missing <= 0) return { ...page, next_cursor: `${ORDER[1]}:` };
  const rest = await list({ ...query, access: ORDER[1], cursor: null, limit: missing });
  const next_cursor = rest.next_cursor === null ? null : `${ORDER[1]}:${rest.next_cursor}`;
  return { items: [...page.items, ...rest.items], next_cursor };
}

function split(cursor: Query[string]): [string?, (string | null)?] {
  if (!cursor) return [];
  const [access, ...rest] = String(cursor).split(':');
  return [access, rest.join(':') || null];
}
