// What the chart shows: the profile's observations, and those that only findings tell of.

import type { Finding, ProfileFeature } from '../api/types.ts';

/** The profile's features; one that was judged but has no observations of its own shows those of its findings. */
export function withFindings(features: ProfileFeature[], findings: Finding[]): ProfileFeature[] {
  const judged = [...new Set(findings.map(({ feature }) => feature))];
  const missing = judged.filter((name) => !features.some(({ feature }) => feature === name)).map((name) => fromFindings(name, findings));
  return [...features.map((feature) => (feature.recent.length > 0 ? feature : { ...feature, ...observations(feature.feature, findings) })), ...missing];
}

function fromFindings(name: ProfileFeature['feature'], findings: Finding[]): ProfileFeature {
  const newest = findings.find(({ feature }) => feature === name)!;
  return { feature: name, unit: newest.unit, expected: newest.expected, learnt: true, ...observations(name, findings) };
}

function observations(name: ProfileFeature['feature'], findings: Finding[]): Pick<ProfileFeature, 'recent'> {
  const mine = findings.filter(({ feature }) => feature === name);
  return { recent: mine.map(({ at, observed }) => ({ at, value: observed })).reverse() };
}
