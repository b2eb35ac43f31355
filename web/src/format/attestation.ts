// What a device proved, in the reader's language. The server writes reasons in English; those that it is known to write
// are said again from the catalogue, any other stays as it came.

import type { Layer, ReferenceValue } from '../api/types.ts';
import { en, type Key } from '../i18n/en.ts';
import { keyOf, translate, type Language } from '../i18n/translate.ts';

/** How a layer's measurement compares with the reference values of its device's type. */
export const MEASURED = ['released', 'deprecated', 'withdrawn', 'renamed', 'forbidden', 'changed', 'unknown', 'unmeasured'] as const;
export type Measured = (typeof MEASURED)[number];

export interface Comparison {
  measured: Measured;
  /** The reference value that it was compared with, if there is one. */
  reference: ReferenceValue | null;
}

/** One word per layer; the verdict is the verifier's, this only shows where the layer stands. */
export function compare(layer: Layer, references: ReferenceValue[]): Comparison {
  const mine = references.filter(({ component }) => layer.component === null || component === layer.component);
  const equal = mine.filter(({ digests }) => digests.some((digest) => layer.digests.includes(digest)));
  if (equal.length > 0) return known(layer, equal);
  if (layer.digests.length === 0) return { measured: 'unmeasured', reference: null };
  const claimed = mine.find(({ version, status }) => version !== null && version === layer.version && status !== 'withdrawn');
  return claimed ? { measured: 'changed', reference: claimed } : { measured: 'unknown', reference: null };
}

/** Forbidden by one is forbidden; else somebody who still vouches for it outweighs whoever no longer does. */
function known(layer: Layer, equal: ReferenceValue[]): Comparison {
  const named = equal.filter(({ version }) => version === null || layer.version === null || version === layer.version);
  const found = (measured: Measured, status: string, among: ReferenceValue[]) => {
    const reference = among.find((value) => value.status.startsWith(status));
    return reference ? { measured, reference } : null;
  };
  return (
    found('forbidden', 'forbidden', equal) ??
    (named.length === 0 ? { measured: 'renamed' as const, reference: equal[0]! } : null) ??
    found('released', 'allowed', named) ??
    found('deprecated', 'deprecated', named) ??
    found('withdrawn', 'withdrawn', named) ?? { measured: 'unknown', reference: named[0]! }
  );
}

/** "2.4.1, by CI": what the layer is, and who says so. */
export function provenance(language: Language, { version, source }: ReferenceValue): string {
  const by = sourceIn(language, source);
  return version === null ? by : translate(language, 'measured.provenance', { version, by });
}

const MANIFEST = /^tag (?<tag>.+) version (?<number>\d+) of manifest (?<manifest>.+), signed by (?<signer>.+)$/s;

function sourceIn(language: Language, source: string): string {
  const measured = /^an image measured by (?<by>.+)$/s.exec(source);
  if (measured) return translate(language, 'measured.by', { by: measured.groups!.by! });
  const manifest = MANIFEST.exec(source);
  return manifest ? translate(language, 'measured.manifest', manifest.groups as Record<string, string>) : source;
}

// --- reasons

/** The verifier's sentences by their English words. */
const SENTENCES = new Map<string, Key>((Object.keys(en) as Key[]).filter((key) => key.startsWith('reason.')).map((key) => [en[key], key]));
const DETAILS = /^(?<whole>.+) \((?<claim>[a-z ]+): (?<details>(?:seen|expected|by) .+)\)$/s;
const DETAIL = /^(?:seen (?<seen>.+?))?(?:(?:^|, )expected (?<expected>.+?))?(?:(?:^|, )by (?<by>.+))?$/s;
const UNVERIFIED = /^The evidence does not hold: (?<error>.+)$/s;
const ENDING = /\.$/;

/** A reason without its full stop: "Layer “firmware”: The firmware claims a known version … (digest: seen …)". */
export function reason(language: Language, text: string): string {
  const bare = text.replace(ENDING, '');
  return readable(language === 'en' ? named(bare) : saidAgain(language, bare));
}

/** The server counts layers from zero, the table not at all: names are enough. */
function named(bare: string): string {
  const found = /^Layer \d+ \((?<layer>.+?)\): (?<words>[A-Z].*)$/s.exec(bare)?.groups;
  return found ? translate('en', 'attest.ofLayer', found as Record<string, string>) : bare;
}

function saidAgain(language: Language, bare: string): string {
  const unverified = UNVERIFIED.exec(bare);
  if (unverified) return translate(language, 'attest.unverified', unverified.groups as Record<string, string>);
  const { whole = bare, claim, details } = DETAILS.exec(bare)?.groups ?? {};
  const known = [...SENTENCES].find(([sentence]) => whole === sentence || whole.endsWith(`: ${sentence}`));
  if (!known) return bare;
  const [sentence, key] = known;
  const place = whole.slice(0, -sentence.length - 2);
  const layer = /^Layer \d+ \((?<component>.+)\)$/s.exec(place)?.groups?.component ?? place;
  const words = translate(language, key) + (claim ? detailsIn(language, claim, details!) : '');
  return layer ? translate(language, 'attest.ofLayer', { layer, words }) : words;
}

function detailsIn(language: Language, claim: string, details: string): string {
  const { seen, expected, by } = DETAIL.exec(details)?.groups ?? {};
  const parts = [
    seen && translate(language, 'attest.seen', { seen }),
    expected && translate(language, 'attest.expected', { expected }),
    by && translate(language, 'attest.by', { by: sourceIn(language, by) }),
  ].filter((part) => part !== undefined && part !== '');
  const key = keyOf('claim', claim.replaceAll(' ', '_'));
  return translate(language, 'attest.details', { claim: key ? translate(language, key) : claim, parts: parts.join(translate(language, 'attest.comma')) });
}

const FAILED = /^failed its attestation\. (?<reason>.+)$/s;
const WARNED = /^attested with a warning\. (?<reason>.+)$/s;

/** A verdict's phrase, without subject and full stop: "failed its attestation. Layer “firmware”: …". */
export function verdictPhrase(language: Language, text: string): string {
  for (const [pattern, key] of [[FAILED, 'attest.failed'], [WARNED, 'attest.warned']] as const) {
    const found = pattern.exec(text);
    if (found) return translate(language, key, { reason: reason(language, found.groups!.reason!) });
  }
  return text.startsWith('proved that it runs what was released') ? translate(language, 'attest.proved') : text.replace(ENDING, '');
}

// --- digests

/** A sentence whose digests can be read past. */
export const readable = (words: string): string => words.replace(/(?:sha-\d+:)?[0-9a-f]{24,}/g, shortened);

/** `sha-512:0123456789…` → "01234567…89abcdef". */
export function shortened(digest: string): string {
  const hex = digest.slice(digest.indexOf(':') + 1);
  return hex.length > 20 ? `${hex.slice(0, 8)}…${hex.slice(-6)}` : hex;
}
