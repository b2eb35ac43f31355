// A finding in words, made of its fields, in the reader's language.

import { FEATURES, type Basis, type Feature, type Finding } from '../api/types.ts';
import type { Key } from '../i18n/en.ts';
import { keyOf, translate, type Language } from '../i18n/translate.ts';
import { verdictPhrase } from './attestation.ts';
import { between, ends, quantity, quantityOf, range } from './units.ts';

/** Features where the news is that it happened at all: a band says nothing. */
export const NOVEL: Feature[] = ['message_kind', 'peer', 'endpoint_name', 'evidence'];

type Judged = Pick<Finding, 'feature' | 'observed' | 'expected' | 'unit'> & Partial<Pick<Finding, 'text'>>;

/** "reported again after 72 s; its own habit is every 55 to 65 min" */
export function sentence(language: Language, finding: Judged): string {
  // The verifier's text says which claim of which layer failed; a count of claims would not.
  if (finding.feature === 'evidence' && finding.text) return verdictPhrase(language, finding.text);
  const words = translate(language, 'finding.sentence', {
    seen: seen(language, finding),
    basis: expectation(language, finding),
  });
  return language === 'zh' ? spaced(words) : words;
}

/** Chinese sets a space between a Han character and a number. */
function spaced(words: string): string {
  return words.replace(/(\p{Script=Han})(\d)/gu, '$1 $2').replace(/(\d)(\p{Script=Han})/gu, '$1 $2');
}

/** "meter-42 reported again after 72 s; its own habit is every 55 to 65 min." */
export function fullSentence(language: Language, finding: Finding): string {
  return translate(language, 'finding.full', { subject: subject(language, finding), sentence: sentence(language, finding) });
}

export function subject(language: Language, finding: Pick<Finding, 'device' | 'source'>): string {
  return finding.device ?? translate(language, 'finding.source', { source: finding.source ?? '?' });
}

/** What was seen, as a verb phrase. */
export function seen(language: Language, { feature, observed, expected, unit }: Judged): string {
  if (!FEATURES.includes(feature)) {
    return translate(language, 'seen.unknown', { feature, observed: quantity(language, observed, unit) });
  }
  if (feature === 'report_interval' && observed > (ends(expected).high ?? Infinity)) {
    return translate(language, 'seen.report_interval.silent', { observed: quantity(language, observed, unit) });
  }
  return translate(language, `seen.${feature}`, { observed: observedIn(language, feature, observed, unit) });
}

export function observedIn(language: Language, feature: Feature, observed: number, unit: Finding['unit']): string {
  const what = keyOf('what', feature);
  return what ? quantityOf(language, observed, unit, what) : quantity(language, observed, unit);
}

/** What was expected and whose habit that is. */
function expectation(language: Language, finding: Judged): string {
  const basis = finding.expected.basis;
  if (finding.feature === 'evidence') return translate(language, 'basis.evidence');
  if (NOVEL.includes(finding.feature)) return translate(language, basisKey(basis, true));
  return translate(language, basisKey(basis, false), { expected: expectedIn(language, finding) });
}

function basisKey(basis: Basis, none: boolean): Key {
  return keyOf('basis', none ? `${basis}.none` : basis) ?? 'basis.rule';
}

/** The band as it is said of this feature: "every 55 to 65 min", "at most 5 a minute". */
export function expectedIn(language: Language, { feature, expected, unit }: Omit<Judged, 'observed'>): string {
  if (feature !== 'report_interval') return range(language, expected, unit);
  const { low, high } = ends(expected);
  if (low === null && high === null) return translate(language, 'range.any');
  if (low === null) return translate(language, 'every.atMost', { high: quantity(language, high!, unit) });
  if (high === null) return translate(language, 'every.atLeast', { low: quantity(language, low, unit) });
  return translate(language, 'every.between', { range: between(language, low, high, unit) });
}
