// The same operator against the real server: one that runs (BARTIZAN_URL, BARTIZAN_TOKEN), or a binary (BARTIZAN_BIN)
// that is started here, once with a fresh registry and once as the demo with its simulated city under attack.

import { describe } from 'vitest';
import { operatorFlows } from './flows.ts';
import { hasChromium, NO_CHROMIUM } from './harness.ts';
import { demoTarget, hasDemo, runningTarget, servedTarget } from './server.ts';

const { BARTIZAN_URL: url, BARTIZAN_TOKEN: token, BARTIZAN_BIN: bin } = process.env;

function against(name: string, needs: string, given: boolean, flows: () => void) {
  const skipped = hasChromium ? `skipped: ${name} needs ${needs}` : NO_CHROMIUM;
  const runs = hasChromium && given;
  if (!runs) console.info(skipped);
  describe.skipIf(!runs)(runs ? `an operator, on ${name}` : skipped, flows);
}

against('a running server', 'BARTIZAN_URL and BARTIZAN_TOKEN', Boolean(url && token), () => {
  operatorFlows(() => runningTarget(url!, token!), { traffic: true });
});

against('a fresh server', 'BARTIZAN_BIN', Boolean(bin), () => {
  operatorFlows(() => servedTarget(bin!), { traffic: false });
});

against('the demo', 'a BARTIZAN_BIN that was built with its demo', Boolean(bin) && hasDemo(bin!), () => {
  operatorFlows(() => demoTarget(bin!), { traffic: true });
});
