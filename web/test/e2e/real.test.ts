// The same operator against a running server:
//   BARTIZAN_URL=https://127.0.0.1:8443 BARTIZAN_TOKEN=… npm run e2e
// It needs a tenant with devices; of a demo it waits for the first device that machines isolate.

import { describe } from 'vitest';
import { chromium } from 'playwright-core';
import type { Page as List, Device, Tenant } from '../../src/api/types.ts';
import { operatorFlows } from './flows.ts';
import { CHROMIUM, hasChromium, NO_CHROMIUM, until, type Target } from './harness.ts';

const url = process.env.BARTIZAN_URL?.replace(/\/$/, '');
const token = process.env.BARTIZAN_TOKEN;
const WAIT_MS = Number(process.env.BARTIZAN_WAIT_S ?? 120) * 1000;
const runs = Boolean(hasChromium && url && token);
const why = hasChromium ? 'skipped: BARTIZAN_URL and BARTIZAN_TOKEN name no running server' : NO_CHROMIUM;

/** Waits until a machine has isolated something, as the operator's flows expect. */
async function realTarget(): Promise<Target> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, extraHTTPHeaders: { authorization: `Bearer ${token}` } });
  const ask = async <T>(path: string) => (await (await context.request.get(`${url}/api/v1/${path}`)).json()) as T;
  const tenant = process.env.BARTIZAN_TENANT ?? (await ask<List<Tenant>>('tenants')).items[0]!.name;
  await until('a device is isolated for its behaviour', async () => {
    const { items } = await ask<List<Device>>(`tenants/${tenant}/devices?access=quarantined&grade=abnormal`);
    return items.length > 0;
  }, WAIT_MS);
  await browser.close();
  return { url: url!, token: token!, tenant, close: async () => {} };
}

describe.skipIf(!runs)(runs ? `an operator, on ${url}` : why, () => {
  operatorFlows(realTarget);
});
