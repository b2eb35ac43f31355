// A line of a device's history in the reader's language. The server writes English sentences; those that it is
// known to write are said again from the catalogue, any other stays as it came.

import type { Finding, TimelineEntry } from '../api/types.ts';
import type { Key } from '../i18n/en.ts';
import { keyOf, translate, type Language, type Params } from '../i18n/translate.ts';
import { readable } from './attestation.ts';
import { sentence } from './finding.ts';

const SENTENCES: [RegExp, Key][] = [
  [/^Access changed from (?<from>\w+) to (?<to>\w+)\.$/, 'history.access'],
  [/^Its behaviour changed from (?<from>\w+) to (?<to>\w+)\.$/, 'history.grade'],
  [/^It connected for the first time and is active\.$/, 'history.activated'],
  [/^Taken out of service for good; its key is refused from now on\.$/, 'history.retired'],
  [/^Added; it has not connected yet\.$/, 'history.added'],
  [/^Its key was replaced; it must connect with the new one\.$/, 'history.keyReplaced'],
  [/^It was handed a new key; until it connects with it, both keys are good\.$/, 'history.keyHanded'],
  [/^It connected with its new key; the old one is not valid any more\.$/, 'history.keyUsed'],
  [/^Its pre-shared key was voided: it comes back with its certificate\.$/, 'history.keyVoided'],
  [/^Asked to take another key within (?<hours>\d+) h\.$/, 'history.keyAsked'],
  [/^A person set it to (?<access>\w+)\.$/, 'history.personSet'],
  [/^A person set it to (?<access>\w+): (?<reason>.+)$/s, 'history.personSetBecause'],
  [/^Set to (?<access>\w+) because it (?<finding>.+)\.$/s, 'history.machineSet'],
  [/^It behaves normally again; if that lasts, it is let in at a limited rate\.$/, 'history.dwelling'],
  [/^On probation: let in at a limited rate\.$/, 'history.probation'],
  [/^On probation: let in at a limited rate; it is to take a new key\.$/, 'history.probationKey'],
  [/^The hold is over\.$/, 'history.holdOver'],
  [/^A hold of [^:]+ ended: (?<reason>.+)$/s, 'history.holdEnded'],
  [/^Released by (?<actor>[^:]+): (?<reason>.+)$/s, 'history.released'],
  [/^Connected from (?<address>\S+) with (?<suite>\w+) with Connection ID\.$/, 'history.connectedCid'],
  [/^Connected from (?<address>\S+) with (?<suite>\w+) without Connection ID\.$/, 'history.connected'],
  [/^Disconnected\.$/, 'history.disconnected'],
  [/^Command (?<command>.+) of (?<issuer>.+) is (?<state>\w+)\.$/, 'history.command'],
  [/^Command (?<command>\S+ \S+) is (?<state>\w+): (?<detail>.+)\.$/s, 'history.commandDetail'],
  [/^It attested: (?<tier>\w+)\.$/, 'history.attested'],
  [/^It attested: (?<tier>\w+) as before\.$/, 'history.attestedBefore'],
  [/^Its attestation identity is (?<identity>\w+)\.$/, 'history.identity'],
  [/^From here on it may be asked for evidence of what it runs\.$/, 'history.owesCurrent'],
  [/^It gave cause to be asked for evidence of what it runs\.$/, 'history.owesOwed'],
  [/^It owes evidence of what it runs, and its grace begins\.$/, 'history.owesStale'],
  [/^It owes evidence and has been silent since: it is out of reach\./, 'history.owesUnreachable'],
  [/^It was heard, but brought no evidence all through its grace\.$/, 'history.owesEvading'],
  [/^Its reports since (?<time>.+) are not to be trusted\.$/, 'history.doubted'],
  [/^What it reports from now on is to be trusted again; what it reported since (?<time>.+) is not\.$/, 'history.trusted'],
  [/^Machines have isolated as many devices/, 'history.braked'],
];

/** `findings` are those of the device, newest first: a machine's reason is one of them. */
export function historyLine(language: Language, entry: Pick<TimelineEntry, 'at' | 'kind' | 'text'>, findings: Finding[]): string {
  if (language === 'en') return readable(entry.text);
  for (const [pattern, key] of SENTENCES) {
    const found = pattern.exec(entry.text);
    if (found) return readable(translate(language, key, named(language, entry, found.groups ?? {}, findings)));
  }
  return readable(entry.text);
}

function named(language: Language, entry: Pick<TimelineEntry, 'at' | 'kind'>, groups: Record<string, string>, findings: Finding[]): Params {
  const params: Params = { ...groups };
  for (const name of ['from', 'to', 'access', 'state', 'tier']) {
    const key = keyOf(prefixOf(name, entry.kind), groups[name] ?? '');
    if (key) params[name] = translate(language, key);
  }
  for (const name of ['finding', 'reason']) {
    const because = groups[name] ? findingAt(entry.at, groups[name], findings) : null;
    if (because) params[name] = sentence(language, because);
  }
  return params;
}

function prefixOf(name: string, kind: string): string {
  if (name === 'state') return 'state';
  if (name === 'tier') return 'attestation';
  return kind === 'grade' ? 'grade' : 'access';
}

/** The finding whose English words the server gave as the reason. */
function findingAt(at: string, words: string, findings: Finding[]): Finding | null {
  const before = findings.filter((finding) => Date.parse(finding.at) <= Date.parse(at) + 1_000);
  return before.find(({ text }) => text && words.startsWith(text.replace(/\.$/, ''))) ?? null;
}
