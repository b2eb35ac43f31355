// Addresses of the console live in the fragment, so that any static server can hold it:
//   #/city                     the fleet        #/city/devices?grade=abnormal   the list
//   #/city/findings            all findings     #/city/devices/lock-17          one device
//   #/city/onboarding          who waits for a person

export type RouteName = 'fleet' | 'devices' | 'device' | 'findings' | 'onboarding';
/** What stands behind the tenant. */
export type Section = 'devices' | 'findings' | 'onboarding';

export interface Route {
  name: RouteName;
  tenant: string | null;
  device: string | null;
  query: Record<string, string>;
}

export function parse(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [tenant, section, device] = path.split('/').filter(Boolean).map(decode);
  const query = Object.fromEntries(new URLSearchParams(search));
  if (section === 'devices') return { name: device ? 'device' : 'devices', tenant: tenant ?? null, device: device ?? null, query };
  if (section === 'findings' || section === 'onboarding') return { name: section, tenant: tenant ?? null, device: null, query };
  return { name: 'fleet', tenant: tenant ?? null, device: null, query };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

export function link(tenant: string, section?: Section, device?: string | null, query: Record<string, string> = {}): string {
  const path = [tenant, section, device].filter((part): part is string => Boolean(part)).map(encodeURIComponent).join('/');
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${path}${search ? `?${search}` : ''}`;
}

/** The operator token in `#token=…`, as `bartizan init` and the demo print it. */
export function tokenIn(hash: string): string | null {
  return hash.startsWith('#token=') ? decode(hash.slice('#token='.length)).trim() || null : null;
}
