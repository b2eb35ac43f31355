import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'svelte/compiler';
import { describe, expect, test } from 'vitest';
import * as types from '../../src/api/types.ts';
import { MEASURED } from '../../src/format/attestation.ts';
import { en } from '../../src/i18n/en.ts';
import { zh } from '../../src/i18n/zh.ts';
import { literals } from './literals.ts';

const SOURCE = join(import.meta.dirname, '../../src');
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(svelte|ts)$/.test(name));
const components = files.filter((name) => name.endsWith('.svelte'));
const read = (name: string) => readFileSync(join(SOURCE, name), 'utf8');
const placeholders = (message: string) => [...new Set(message.match(/\{\w+\}/g) ?? [])].sort();

describe('the message catalogue', () => {
  test('has every key in both languages', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  test.each(Object.keys(en) as (keyof typeof en)[])('%s says something and names the same things', (key) => {
    expect(zh[key].trim()).not.toBe('');
    expect(placeholders(zh[key])).toEqual(placeholders(en[key]));
  });

  test('is Chinese where it says so', () => {
    const same = ['app.name', 'app.title', 'app.utc', 'tenants.none.command', 'devices.empty.command', 'onboarding.none.command', 'attest.cannot.command', 'attest.details', 'attest.comma', 'attest.reason', 'measured.provenance', 'seen.unknown', 'finding.sentence', 'finding.full', 'unit.kilobytes', 'unit.what'];
    const latin = Object.entries(zh).filter(([key, message]) => !same.includes(key) && !/\p{Script=Han}/u.test(message));
    expect(latin).toEqual([]);
  });

  const named: [string, readonly string[]][] = [
    ['grade', types.GRADES], ['access', types.ACCESSES], ['lifecycle', types.LIFECYCLES], ['attestation', types.ATTESTATIONS],
    ['update', types.UPDATES], ['hold', types.CAUSES], ['hold.exit', types.EXITS], ['hold.until', types.ACCESSES],
    ['engine', types.ENGINES], ['basis', types.BASES], ['basisName', types.BASES], ['severity', types.SEVERITIES],
    ['state', types.COMMAND_STATES], ['timeline.kind', types.TIMELINE_KINDS], ['feature', types.FEATURES], ['seen', types.FEATURES],
    ['explain', types.ACCESSES], ['layerMode', types.LAYER_MODES], ['measured', MEASURED],
    ['proof', types.PROOFS],
  ];
  test.each(named)('names every %s', (prefix, values) => {
    expect(values.filter((value) => !(`${prefix}.${value}` in en))).toEqual([]);
  });

  test('holds no message that nothing says', () => {
    const code = files.filter((name) => !name.startsWith('i18n/')).map(read).join('\n') + read('i18n/translate.ts') + read('i18n/language.svelte.ts');
    const built = [...code.matchAll(/`([\w.]+\.)\$\{/g)].map(([, prefix]) => prefix!);
    const prefixes = [...named.map(([prefix]) => `${prefix}.`), 'what.', 'reason.', 'claim.', ...built];
    const unused = Object.keys(en).filter((key) => !code.includes(`'${key}'`) && !prefixes.some((prefix) => key.startsWith(prefix)));
    expect(unused).toEqual([]);
  });
});

describe('components say nothing outside the catalogue', () => {
  test.each(components)('%s', (name) => {
    expect(literals(parse(read(name), { modern: true }).fragment)).toEqual([]);
  });

  test('and the check sees what it should', () => {
    const bad = '<p title="Hello there">Some text {open ? "yes" : t("a.b")} {`${n} items`}</p><img alt="a {b} word" src="x.png" />';
    expect(literals(parse(bad, { modern: true }).fragment)).toEqual(['Hello there', 'Some text', 'yes', ' items', 'a', 'word']);
    expect(literals(parse('<p class="small">{t("a.b")} · {n}</p>', { modern: true }).fragment)).toEqual([]);
  });
});
