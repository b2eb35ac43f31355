import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Firmware } from '../../dev/firmware.ts';
import type { Finding, Layer, ReferenceValue } from '../../src/api/types.ts';
import { compare, provenance, reason, shortened, verdictPhrase } from '../../src/format/attestation.ts';
import { sentence } from '../../src/format/finding.ts';
import { historyLine } from '../../src/format/history.ts';
import { en } from '../../src/i18n/en.ts';

const layer = (fields: Partial<Layer> = {}): Layer => ({
  component: 'firmware', version: '2.4.1', security_version: 4, digests: ['sha-512:aa'], mode: 'normal', ...fields,
});
const value = (fields: Partial<ReferenceValue> = {}): ReferenceValue => ({
  type: 'water-meter', component: 'firmware', version: '2.4.1', security_version: '4', digests: ['sha-512:aa'],
  source: 'an image measured by CI', status: 'allowed', ...fields,
});

describe('a layer against the reference values of its type', () => {
  test.each([
    ['released', layer(), [value({ version: '2.4.0', digests: ['sha-512:bb'] }), value()]],
    ['forbidden', layer(), [value(), value({ status: 'forbidden' })]],
    ['forbidden', layer({ version: '9' }), [value({ status: 'forbidden' })]],
    ['deprecated', layer(), [value({ status: 'deprecated until 2026-12-01' })]],
    ['released', layer(), [value({ status: 'withdrawn' }), value()]],
    ['withdrawn', layer(), [value({ status: 'withdrawn' })]],
    ['renamed', layer({ version: '2.5.0' }), [value()]],
    ['changed', layer({ digests: ['sha-512:cc'] }), [value()]],
    ['unknown', layer({ digests: ['sha-512:cc'], version: '3.0.0' }), [value()]],
    ['unknown', layer({ digests: ['sha-512:cc'] }), [value({ status: 'withdrawn' })]],
    ['unknown', layer(), [value({ component: 'boot-loader' })]],
    ['unknown', layer(), []],
    ['unknown', layer(), [value({ status: 'a status of a newer server' })]],
    ['unmeasured', layer({ digests: [] }), [value()]],
    ['released', layer({ component: null, version: null }), [value()]],
    ['unknown', layer({ digests: ['sha-256:aa'], version: null }), [value()]],
  ] as const)('is %s', (measured, mine, references) => {
    expect(compare(mine, [...references]).measured).toBe(measured);
  });

  test('says which release, and by whom', () => {
    expect(provenance('en', compare(layer(), [value()]).reference!)).toBe('2.4.1, by CI');
    const signed = value({ source: 'tag boot version 3 of manifest acme-2026, signed by Acme Meters' });
    expect(provenance('en', signed)).toBe('2.4.1, by Acme Meters (tag boot, version 3, of acme-2026)');
    expect(provenance('zh', value())).toBe('2.4.1，由 CI 提供');
    expect(provenance('en', value({ version: null, source: 'somebody new' }))).toBe('somebody new');
  });
});

describe("the verifier's words", () => {
  const [tampered = '', debug = ''] = Firmware.tampered().reasons;

  test('stay in English, with digests that can be read', () => {
    expect(reason('en', tampered)).toMatch(
      /^Layer “firmware”: The firmware claims a known version and is not that version: it was changed \(digest: seen \w{8}…\w{6}, expected \w{8}…\w{6}, by an image measured by CI\)$/,
    );
  });

  test('are said again in Chinese from their parts', () => {
    expect(reason('zh', tampered)).toMatch(/^firmware 层：固件自称是已知版本，实际并不是：它被改动过（摘要：实测 \w{8}…\w{6}，应为 \w{8}…\w{6}，依据参考值：由 CI 提供）$/);
    expect(reason('zh', debug)).toBe('firmware 层：该层以调试模式启动，任何接触到设备的人都能更改它（模式：实测 debug）');
    expect(reason('zh', 'This is not the registered device.')).toBe('这不是已登记的设备');
    expect(reason('zh', 'loader: The layer does not say what it measured.')).toBe('loader 层：该层没有说明度量结果');
    expect(reason('zh', 'The evidence does not hold: the chain is too long.')).toBe('证据不成立：the chain is too long');
  });

  test('that are new stay as they came', () => {
    expect(reason('zh', 'Layer 1 (firmware): Something new (digest: seen x).')).toBe('Layer 1 (firmware): Something new (digest: seen x)');
    expect(verdictPhrase('zh', 'thought about it.')).toBe('thought about it');
  });

  test.each((Object.keys(en) as (keyof typeof en)[]).filter((key) => key.startsWith('reason.')))('%s is Chinese at every place', (key) => {
    for (const place of ['', 'Layer 0 (a: b (c)): ', 'firmware: ']) {
      const said = reason('zh', `${place}${en[key]} (boot count: seen 3, expected at least 7).`);
      expect(said).toContain('（启动次数：实测 3，应为 at least 7）');
      expect(said).not.toContain(en[key]);
    }
  });

  test('make a verdict a phrase', () => {
    expect(verdictPhrase('en', Firmware.good('2.4.1').text)).toBe('proved that it runs what was released');
    expect(verdictPhrase('zh', Firmware.good('2.4.1').text)).toBe('证明了它运行的是发布版本');
    expect(verdictPhrase('en', Firmware.forbidden().text)).toMatch(/^failed its attestation\. Layer “firmware”: This version is forbidden/);
    expect(verdictPhrase('zh', Firmware.unknown().text)).toMatch(/^通过了远程证明，但有警告：firmware 层：没有参考值认识这份固件/);
  });

  const source = join(import.meta.dirname, '../../../crates/trust/src/appraisal/reason.rs');
  test.skipIf(!existsSync(source))(existsSync(source) ? 'are those of the verifier, all of them' : `skipped: there is no ${source}`, () => {
    const faults = [...readFileSync(source, 'utf8').matchAll(/^ {4}\w+ \w+ "([\w-]+)" "([a-z ]+)"\s+"(.+)",$/gm)];
    expect(faults.length).toBeGreaterThan(20);
    for (const [, code = '', claim = '', words] of faults) {
      expect(en[`reason.${code.replaceAll('-', '_')}` as keyof typeof en]).toBe(words);
      expect(en).toHaveProperty([`claim.${claim.replaceAll(' ', '_')}`]);
    }
  });
});

describe('attestation elsewhere', () => {
  const finding = {
    id: 1, at: '2026-11-23T08:00:00.000Z', device: 'meter-3', engine: 'verifier', feature: 'evidence', observed: 2, unit: 'count',
    expected: { low: 0, high: 0, basis: 'rule' }, text: Firmware.forbidden().text,
  } as Finding;

  test('a finding says which claim failed; without its text, how many', () => {
    expect(sentence('en', finding)).toMatch(/^failed its attestation\. Layer “firmware”: This version is forbidden \(version: seen 2\.2\.0/);
    expect(sentence('zh', finding)).toBe('未通过远程证明：firmware 层：该版本已被禁止（版本：实测 2.2.0，依据参考值：由 CI 提供）');
    expect(sentence('en', { ...finding, text: '' })).toBe('brought evidence of which 2 claims did not hold; it must prove what it runs');
    expect(sentence('zh', { ...finding, text: '' })).toBe('提供的证据中有 2 项声明不成立；它必须证明自己运行的内容');
  });

  test('digests in the history are shortened in English too', () => {
    expect(historyLine('en', { at: '', kind: 'hold', text: Firmware.tampered().text }, [])).toMatch(/seen \w{8}…\w{6}, expected/);
  });

  test.each([
    ['attestation', 'It attested: contraindicated.', '远程证明结果：否定。'],
    ['attestation', 'It attested: affirming as before.', '远程证明结果：肯定，与之前相同。'],
    ['key', `Its attestation identity is ${'0a1b2c3d'.repeat(8)}.`, '其远程证明身份为 0a1b2c3d…1b2c3d。'],
    ['hold', `Set to quarantined because it ${finding.text}.`, `设为“检疫”，因为它${sentence('zh', finding)}。`],
  ])('a line of history: %s', (kind, text, chinese) => {
    expect(historyLine('zh', { at: finding.at, kind: kind as never, text }, [finding])).toBe(chinese);
  });

  test('a digest keeps its ends, a short one all of it', () => {
    expect(shortened(`sha-256:${'0123456789abcdef'.repeat(4)}`)).toBe('01234567…abcdef');
    expect(shortened('sha-256:abcd')).toBe('abcd');
  });
});
