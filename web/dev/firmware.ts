// Verdicts on a simulated water meter's firmware, and what it is measured against; worded as the verifier words them.

import { createHash } from 'node:crypto';
import type { Layer, ReferenceValue, Verdict } from '../src/api/types.ts';

const LOADER = 'boot-loader';
const CI = 'an image measured by CI';
const MANIFEST = 'tag meter-boot version 1 of manifest acme-2026, signed by Acme Meters';

/** A verdict without its time. */
export class Firmware implements Pick<Verdict, 'tier' | 'text' | 'layers' | 'reasons'> {
  constructor(readonly tier: Verdict['tier'], readonly layers: Layer[], readonly reasons: string[] = []) {}

  get text(): string {
    const worst = this.reasons[0]?.replace(/\.$/, '');
    if (this.tier === 'contraindicated') return `failed its attestation. ${worst}`;
    return this.tier === 'warning' ? `attested with a warning. ${worst}` : 'proved that it runs what was released';
  }

  static digestOf = (what: string) => createHash('sha512').update(what).digest('hex');

  static good = (version: string) => new Firmware('affirming', layers(version, version));

  /** It says 2.4.1, and a byte of it was changed. */
  static tampered() {
    const [seen, expected] = [digest('firmware', '2.4.1, changed'), digest('firmware', '2.4.1')];
    return new Firmware('contraindicated', layers('2.4.1', '2.4.1, changed', 'debug'), [
      `Layer 1 (firmware): The firmware claims a known version and is not that version: it was changed (digest: seen ${seen}, expected ${expected}, by ${CI}).`,
      'Layer 1 (firmware): The layer was started in debug mode; anybody at the device can change it (mode: seen debug).',
    ]);
  }

  static forbidden = () =>
    new Firmware('contraindicated', layers('2.2.0', '2.2.0'), [`Layer 1 (firmware): This version is forbidden (version: seen 2.2.0, by ${CI}).`]);

  static unknown = () =>
    new Firmware('warning', layers('2.5.0', '2.5.0'), [`Layer 1 (firmware): No reference value knows this firmware; it may be new, it need not be tampered with (digest: seen ${digest('firmware', '2.5.0')}).`]);

  static unverified = () => new Firmware('contraindicated', [], ['The evidence does not hold: a signature does not verify.']);

  static references(type: string): ReferenceValue[] {
    const value = (component: string, version: string, status = 'allowed', source = CI): ReferenceValue =>
      ({ type, component, version, security_version: '4', digests: [digest(component, version)], source, status });
    return [
      value(LOADER, '1.0.2', 'allowed', MANIFEST), value('firmware', '2.2.0', 'forbidden'), value('firmware', '2.3.0', 'deprecated'),
      value('firmware', '2.4.0'), value('firmware', '2.4.1'),
    ];
  }
}

const digest = (component: string, image: string) => `sha-512:${Firmware.digestOf(`${component} ${image}`)}`;

function layers(version: string, image: string, mode = 'normal'): Layer[] {
  return [
    { component: LOADER, version: '1.0.2', security_version: 1, digests: [digest(LOADER, '1.0.2')], mode: 'normal' },
    { component: 'firmware', version, security_version: 4, digests: [digest('firmware', image)], mode },
  ];
}
