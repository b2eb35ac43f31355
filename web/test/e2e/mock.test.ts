// The console against the mock: what every operator does, and what only a mock can stage.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Firmware } from '../../dev/firmware.ts';
import { operatorFlows } from './flows.ts';
import { hasChromium, launch, mockTarget, NO_CHROMIUM, open, signIn, until } from './harness.ts';

describe.skipIf(!hasChromium)(hasChromium ? 'an operator, on the mock' : NO_CHROMIUM, () => {
  operatorFlows(mockTarget, { traffic: true });
});

describe.skipIf(!hasChromium)(hasChromium ? 'what only a mock can stage' : NO_CHROMIUM, () => {
  let target: Awaited<ReturnType<typeof mockTarget>>;
  let browser: Browser;
  beforeAll(async () => {
    target = await mockTarget();
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await target?.close();
  });

  test('a finding appears, is said aloud, and the figures and rows follow without a reload', async () => {
    const { page, complaints } = await open(browser);
    await signIn(page, target);
    await page.locator('[data-liveness=live]').waitFor();
    const isolated = () => page.locator('[data-count=isolated] [data-value]').getAttribute('data-value').then(Number);
    const before = await isolated();
    target.mock.world.flood('light-020');
    await page.locator('#findings li', { hasText: 'light-020 sent 212 messages a minute' }).waitFor();
    await until('the figure follows', async () => (await isolated()) === before + 1);
    await until('it is announced', async () => /new finding/.test((await page.locator('#announcement').textContent()) ?? ''));

    await page.goto(`${target.url}/#/city/devices?q=light-02`);
    const row = page.locator('#devices tr', { hasText: 'light-021' });
    await row.locator('[data-value=full]').waitFor();
    target.mock.world.flood('light-021');
    await row.locator('[data-value=quarantined]').waitFor({ timeout: 3_000 });
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('severe findings can be shown alone', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.locator('#findings [data-value=low]').first().waitFor();
    await page.locator('#severe-only').check();
    await until('only severe ones are left', async () => (await page.locator('#findings [data-value=low]').count()) === 0);
    expect(await page.locator('#findings [data-value=high]').count()).toBeGreaterThan(0);
    await page.context().close();
  });

  test('a lost line is shown, comes back, and what was missed is fetched', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.locator('[data-liveness=live]').waitFor();
    await page.context().setOffline(true);
    target.mock.cut();
    await page.locator('[data-liveness=reconnecting]').waitFor();
    target.mock.world.flood('light-030');
    await page.context().setOffline(false);
    await page.locator('[data-liveness=live]').waitFor({ timeout: 30_000 });
    await page.locator('#findings li', { hasText: 'light-030' }).waitFor();
    await page.context().close();
  });

  test('an ended session leads to the sign-in page', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.context().clearCookies();
    target.mock.cut();
    await page.locator('#token').waitFor();
    await page.context().close();
  });

  test('an engaged brake calls for a person', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    expect(await page.locator('#brake').count()).toBe(0);
    target.mock.world.engageBrake(true);
    await page.locator('#brake', { hasText: 'a person is needed' }).waitFor();
    target.mock.world.engageBrake(false);
    await page.locator('#brake').waitFor({ state: 'detached' });
    await page.context().close();
  });

  test('a held command waits for a decision, then goes out', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.goto(`${target.url}/#/city/devices/meter-010`);
    await page.locator('#path').fill('/5/0/1');
    await page.getByRole('button', { name: 'Queue command' }).click();
    const command = page.locator('#command-list li', { hasText: '/5/0/1' });
    await command.locator('[data-value=held]').waitFor();
    await command.getByRole('button', { name: 'Allow' }).click();
    await page.locator('#reason').fill('Planned firmware check');
    await page.locator('dialog button[type=submit]').click();
    await command.locator('[data-value=acknowledged]').waitFor();
    await page.context().close();
  });

  test('a refusal is said in words, with what to do', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.goto(`${target.url}/#/city/devices/no-such-device`);
    await page.locator('h1', { hasText: 'There is no device “no-such-device”' }).waitFor();
    await page.getByRole('alert').filter({ hasText: 'Go back to the list' }).waitFor();
    await page.context().close();
  });

  test('an empty tenant says how to begin', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.locator('#tenant').selectOption('harbour');
    await page.getByText('bartizan device add').first().waitFor();
    await page.goto(`${target.url}/#/harbour/devices`);
    await page.getByText('No devices yet').waitFor();
    await page.context().close();
  });

  test('retiring asks first and cannot be undone from here', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.goto(`${target.url}/#/city/devices/meter-020`);
    await page.locator('#retire').click();
    await page.locator('#reason').fill('Replaced by a new meter');
    await page.getByRole('button', { name: 'Retire for good' }).click();
    await page.locator('#badges [data-value=retired]').waitFor();
    expect(await page.locator('#release, #isolate, #retire').count()).toBe(0);
    await page.context().close();
  });

  test('a changed firmware shows while one looks, measured against what was released', async () => {
    const { page, complaints } = await open(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
    await signIn(page, target);
    target.mock.world.attest('meter-030', Firmware.good('2.4.1'));
    await page.goto(`${target.url}/#/city/devices/meter-030`);
    await page.locator('#attestation-tier [data-value=affirming]').waitFor();
    expect(await page.locator('#layers tbody th').allInnerTexts()).toEqual(['boot-loader', 'firmware']);
    const firmware = page.locator('#layers tbody', { hasText: 'firmware' });
    await firmware.getByText('2.4.1, by CI').waitFor();
    expect(await firmware.getAttribute('data-measured')).toBe('released');

    target.mock.world.attest('meter-030', Firmware.tampered());
    await page.locator('#attestation-tier [data-value=contraindicated]').waitFor({ timeout: 5_000 });
    await page.locator('#attestation-reasons', { hasText: 'it was changed' }).waitFor();
    expect(await firmware.getAttribute('data-measured')).toBe('changed');
    await firmware.locator('[data-value=debug]').waitFor();
    expect(await page.locator('#verdicts li [data-value]').evaluateAll((all) => all.map((one) => one.getAttribute('data-value')))).toEqual(['contraindicated', 'affirming']);
    await page.locator('#hold-list', { hasText: 'Its evidence contradicts what it should run' }).waitFor();
    await page.locator('#finding-sentence', { hasText: 'failed its attestation' }).waitFor();
    await page.locator('#timeline-list li[data-kind=attestation]', { hasText: 'It attested: contraindicated.' }).waitFor();

    const whole = await firmware.locator('button').getAttribute('title');
    expect(whole).toMatch(/^sha-512:[0-9a-f]{128}$/);
    await firmware.locator('button').click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(whole);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('forbidden, unknown and unverifiable firmware are told apart', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.goto(`${target.url}/#/city/devices/meter-005`);
    await page.locator('#attestation-reasons', { hasText: 'The evidence does not hold' }).waitFor();
    await page.locator('#layers caption', { hasText: 'the evidence since then did not hold' }).waitFor();
    await page.locator('#layers [data-value=forbidden]').waitFor();
    await page.goto(`${target.url}/#/city/devices/meter-006`);
    await page.locator('#attestation-tier [data-value=warning]').waitFor();
    await page.locator('#layers [data-value=unknown]').waitFor();
    await page.context().close();
  });

  test('a device that cannot attest says how to change that, one that owes evidence says so', async () => {
    const { page } = await open(browser);
    await signIn(page, target);
    await page.goto(`${target.url}/#/city/devices/meter-004`);
    await page.getByText('meter-004 cannot attest').waitFor();
    await page.getByText('bartizan attest identify meter-004 IDENTITY').waitFor();
    await page.goto(`${target.url}/#/city/devices/meter-008`);
    await page.getByText('No evidence has come yet.').waitFor();
    await page.locator('#hold-list', { hasText: 'It owes evidence' }).getByText('When the device proves its state afresh').waitFor();
    await page.context().close();
  });

  test.each([360, 400, 780, 970, 1200])('verdict and layers fit %i pixels in both languages', async (width) => {
    for (const locale of ['en-GB', 'zh-CN']) {
      const { page } = await open(browser, { locale, viewport: { width, height: 800 } });
      await signIn(page, target);
      for (const name of ['meter-003', 'meter-004', 'meter-005']) {
        await page.goto(`${target.url}/#/city/devices/${name}`);
        const panel = page.locator('section[aria-labelledby=attestation]');
        await panel.filter({ hasText: name === 'meter-004' ? 'bartizan attest' : 'boot-loader' }).waitFor();
        const out = await panel.evaluate((card) => {
          // On a phone the head of the table is there for screen readers alone.
          const seen = [...card.querySelectorAll('*')].filter((part) => part.closest('thead')?.clientWidth !== 1);
          return seen.filter((part) => part.getBoundingClientRect().right > card.getBoundingClientRect().right).map((part) => part.outerHTML.slice(0, 80));
        });
        expect(out, `${name} ${locale}`).toEqual([]);
      }
      await page.context().close();
    }
  });

  test('nothing breaks the content security policy, and nothing is asked of another host', async () => {
    const { page, complaints } = await open(browser, { colorScheme: 'dark', reducedMotion: 'reduce' });
    const hosts = new Set<string>();
    page.on('request', (request) => hosts.add(new URL(request.url()).origin));
    await signIn(page, target);
    for (const path of ['devices', 'devices/meter-042', 'devices/meter-003', 'findings']) {
      await page.goto(`${target.url}/#/city/${path}`);
      await page.locator('h1').waitFor();
      await page.waitForTimeout(300);
    }
    expect(complaints).toEqual([]);
    expect([...hosts]).toEqual([target.url]);
    await page.context().close();
  });
});
