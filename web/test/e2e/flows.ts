// What an operator does, said once for the mock and for a real server.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, open, signIn, until, type Target } from './harness.ts';

const rows = (page: Page) => page.locator('#devices tbody tr');
const firstName = async (page: Page) => (await rows(page).first().locator('th a').innerText()).trim();

/** `traffic`: devices speak and machines judge them, so that there are sessions, findings and habits to look at. */
export function operatorFlows(start: () => Promise<Target>, { traffic }: { traffic: boolean }) {
  const spoken = traffic ? '&lifecycle=active' : '';
  let target: Target;
  let browser: Browser;

  beforeAll(async () => {
    target = await start();
    browser = await launch();
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    await target?.close();
  });

  async function fresh(path = '', options = {}) {
    const opened = await open(browser, options);
    await signIn(opened.page, target);
    if (path) await opened.page.goto(`${target.url}/#/${target.tenant}${path}`);
    return { ...opened, done: () => opened.page.context().close() };
  }

  test('an isolated device explains itself, is released with a reason, and the timeline says so', async () => {
    const { page, complaints, done } = await fresh('/devices?access=isolated');
    // In the demo devices come and go: the first, since the machines' holds end by themselves.
    await rows(page).first().locator('th a').click({ timeout: 45_000 });
    await page.locator('#explanation').waitFor();
    expect((await page.locator('#explanation').innerText()).length).toBeGreaterThan(20);
    await page.locator('#hold-list li').first().waitFor();
    if (traffic) expect(await page.locator('#finding-sentence').innerText()).toMatch(/failed its attestation|; (its own habit|the habit of its type|the rule|it never|devices of its type|the registry)/);

    const reason = `Checked on site ${Date.now()}`;
    await page.locator('#release').click();
    await page.locator('dialog').waitFor();
    await page.getByRole('button', { name: 'Release the device' }).click();
    await page.getByText('A reason is needed.').waitFor();
    await page.locator('#reason').fill(reason);
    await page.getByRole('button', { name: 'Release the device' }).click();
    await page.locator('dialog').waitFor({ state: 'detached' });
    await page.locator('#timeline-list li[data-kind=release]', { hasText: reason }).waitFor();
    await page.locator('#badges [data-value=full]').waitFor();
    expect(complaints).toEqual([]);
    await done();
  });

  test('a pasted token signs in, a wrong one is explained', async () => {
    const { page, complaints } = await open(browser);
    await page.goto(target.url);
    await page.locator('#token').fill('not the token');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: 'does not know this token' }).waitFor();
    await page.locator('#token').fill(target.token);
    await page.keyboard.press('Enter');
    await page.locator('#rate').waitFor();
    expect(complaints).toEqual([]);
    await page.locator('#sign-out').click();
    await page.locator('#token').waitFor();
    await page.context().close();
  });

  test('a token in the fragment signs in and leaves the address bar', async () => {
    const { page, complaints, done } = await fresh();
    expect(page.url()).not.toContain('token');
    await page.reload();
    await page.locator('#rate').waitFor();
    expect(complaints).toEqual([]);
    await done();
  });

  test('the fleet is live', async () => {
    const { page, done } = await fresh();
    await page.locator('[data-liveness=live]').waitFor();
    expect(Number(await page.locator('[data-count=normal] [data-value]').getAttribute('data-value'))).toBeGreaterThan(0);
    await until('the table beside the chart has rows', async () => (await page.locator('#traffic-table ~ tbody tr').count()) > 0);
    await page.locator('svg[role=img][aria-label^="Messages a second"]').waitFor();
    await done();
  });

  test.skipIf(!traffic)('messages are counted while one looks', async () => {
    const { page, done } = await fresh();
    const total = () => page.locator('[data-total=messages]').innerText();
    const before = await total();
    await until('the number of messages changes', async () => (await total()) !== before, 60_000);
    await done();
  });

  test('a figure leads to its devices, and filters narrow the list', async () => {
    const { page, done } = await fresh();
    await page.locator('[data-count=normal]').click();
    await page.locator('h1', { hasText: 'Devices' }).waitFor();
    expect(await page.locator('#filter-grade').inputValue()).toBe('normal');
    await rows(page).first().waitFor();
    const name = await firstName(page);
    await page.locator('#search').fill(name);
    await until('only that device is listed', async () => (await rows(page).count()) === 1 && (await firstName(page)) === name);
    await page.locator('#search').fill('no-such-device-anywhere');
    await page.getByText('No device matches these filters').waitFor();
    await page.getByRole('button', { name: 'Clear filters' }).last().click();
    await until('the list is back', async () => (await rows(page).count()) > 1);
    await done();
  });

  test('the list turns its pages', async () => {
    const { page, done } = await fresh('/devices');
    await rows(page).first().waitFor();
    const first = await firstName(page);
    await page.getByRole('button', { name: 'Next page' }).click();
    await until('another device comes first', async () => (await firstName(page)) !== first);
    await page.getByRole('button', { name: 'Previous page' }).click();
    await until('the first device is back', async () => (await firstName(page)) === first);
    await done();
  });

  test.skipIf(!traffic)('the chart has a table that says the same', async () => {
    const { page, done } = await fresh('/devices?grade=normal&lifecycle=active');
    await rows(page).first().locator('th a').click();
    await page.locator('#evidence').waitFor();
    await until('observations are drawn', async () => (await page.locator('#evidence-table ~ tbody tr').count()) > 0, 40_000);
    // Both at once: the page goes on living between two questions.
    const [drawn, listed] = await page.evaluate(() => {
      const count = (selector: string) => document.querySelectorAll(`section[aria-labelledby=evidence] ${selector}`).length;
      return [count('svg[role=img] :is(circle, path.outside)'), count('#evidence-table ~ tbody tr')];
    });
    expect(listed).toBe(drawn);
    await done();
  });

  test('a device is isolated and released with the keyboard alone', async () => {
    const { page, done } = await fresh();
    await page.keyboard.press('/');
    await until('the search has the focus', () => page.locator('#search').evaluate((field) => field === document.activeElement));
    await page.locator('#filter-grade').selectOption('normal');
    await page.locator('#filter-lifecycle').selectOption(traffic ? 'active' : 'pending');
    await page.locator('#filter-access').selectOption('full');
    await until('all shown are free', async () => (await rows(page).count()) > 0 && (await page.locator('#devices [data-value=quarantined]').count()) === 0);
    const name = await firstName(page);
    await tabTo(page, name);
    await page.keyboard.press('Enter');
    await page.locator('h1', { hasText: name }).waitFor();
    await until('the heading has the focus', () => page.locator('h1').evaluate((heading) => heading === document.activeElement));

    await tabTo(page, 'Isolate');
    await page.keyboard.press('Enter');
    await page.locator('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
    expect(await focused(page)).toBe('Isolate');

    await page.keyboard.press('Enter');
    await page.locator('dialog').waitFor();
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press('Tab');
      expect(await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest('dialog') !== null)).toBe(true);
    }
    await page.locator('#reason').focus();
    await page.keyboard.type('Isolated from the keyboard');
    await tabTo(page, 'Isolate the device');
    await page.keyboard.press('Enter');
    await page.locator('#badges [data-value=quarantined]').waitFor();
    await page.locator('#timeline-list li[data-kind=hold]', { hasText: 'Isolated from the keyboard' }).waitFor();
    await page.locator('#hold-list').getByText('Only a person ends it').waitFor();

    await tabTo(page, 'Release');
    await page.keyboard.press('Enter');
    await page.locator('#reason').waitFor();
    await page.keyboard.type('It was only a drill');
    await tabTo(page, 'Release the device');
    await page.keyboard.press('Enter');
    await page.locator('#badges [data-value=full]').waitFor();
    await done();
  });

  test('a command is queued and its state shown', async () => {
    const { page, done } = await fresh(`/devices?access=full${spoken}`);
    await rows(page).first().locator('th a').click();
    await page.locator('#path').fill('3/0/4');
    await page.getByRole('button', { name: 'Queue command' }).click();
    await page.getByText('A path is needed').waitFor();
    await page.locator('#path').fill('/3/0/4');
    await page.getByRole('button', { name: 'Queue command' }).click();
    await page.locator('#command-list li', { hasText: '/3/0/4' }).first().locator('[data-value]').waitFor();
    await done();
  });

  test('the language changes and stays', async () => {
    const { page, done } = await fresh();
    await page.locator('#language').selectOption('zh');
    await page.locator('h1', { hasText: '设备群总览' }).waitFor();
    expect(await page.locator('html').getAttribute('lang')).toBe('zh-CN');
    await page.reload();
    await page.locator('h1', { hasText: '设备群总览' }).waitFor();
    await done();
  });

  test('a browser that speaks Chinese gets Chinese', async () => {
    const { page, done } = await fresh('/findings', { locale: 'zh-CN' });
    await page.locator('h1', { hasText: '发现' }).waitFor();
    await done();
  });

  test('nothing is wider than a phone', async () => {
    const { page, done } = await fresh('', { viewport: { width: 360, height: 740 } });
    for (const path of ['', '/devices', '/findings']) {
      await page.goto(`${target.url}/#/${target.tenant}${path}`);
      await page.locator('h1').waitFor();
      await page.waitForTimeout(400);
      expect(await wider(page, 360), path).toEqual([]);
    }
    await page.goto(`${target.url}/#/${target.tenant}/devices`);
    await rows(page).first().locator('th a').click();
    await page.locator('#explanation').waitFor();
    expect(await wider(page, 360)).toEqual([]);
    await done();
  });
}

/** What stands out of a page that is wider than `width`: nothing, if one need not scroll sideways. */
async function wider(page: Page, width: number): Promise<string[]> {
  return page.evaluate((width) => {
    if (document.documentElement.scrollWidth <= width) return [];
    const out = [...document.body.querySelectorAll('*')].filter((element) => element.getBoundingClientRect().right > width);
    return [`${document.documentElement.scrollWidth} px`, ...out.map((element) => `${element.tagName}.${element.className} ${element.textContent?.slice(0, 40)}`)];
  }, width);
}

async function focused(page: Page): Promise<string> {
  return page.evaluate(() => (document.activeElement as HTMLElement | null)?.innerText?.trim() ?? '');
}

/** Presses Tab until the focus is on what reads `label`, and checks that the focus can be seen there. */
async function tabTo(page: Page, label: string) {
  for (let i = 0; i < 60; i++) {
    if ((await focused(page)) === label) {
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
      expect(outline).not.toBe('none');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab never reached "${label}"`);
}
