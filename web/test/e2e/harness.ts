// One browser, one page, and the server that the console is tested against: the mock, or a real one.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { serve, type MockServer } from '../../dev/mock.ts';
import { World } from '../../dev/world.ts';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const hasChromium = existsSync(CHROMIUM);
export const NO_CHROMIUM = `skipped: there is no ${CHROMIUM}; apt-get install chromium, or name one in CHROMIUM`;

const DIST = join(import.meta.dirname, '../../dist');
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

/** Where the console runs. */
export interface Target {
  url: string;
  token: string;
  tenant: string;
  close(): Promise<void>;
}

export async function mockTarget(): Promise<Target & { mock: MockServer }> {
  const mock = await serve(new World({ seed: 7 }), DIST);
  return { mock, url: mock.url, token: World.TOKEN, tenant: 'city', close: () => mock.close() };
}

export const launch = (): Promise<Browser> => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

/** A fresh profile; what the page complains about is kept in `complaints`. */
export async function open(browser: Browser, options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) complaints.push(message.text());
  });
  return { page, complaints };
}

export async function signIn(page: Page, target: Target) {
  await page.goto(`${target.url}/#token=${encodeURIComponent(target.token)}`);
  await page.locator('#rate').waitFor();
}

/** Until `probe` says yes; what is awaited stands in the failure. */
export async function until(what: string, probe: () => Promise<boolean>, ms = 20_000) {
  const end = Date.now() + ms;
  while (!(await probe())) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain until ${what}`);
    await new Promise((done) => setTimeout(done, 150));
  }
}
