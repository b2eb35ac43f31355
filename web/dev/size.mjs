// Fails when what a browser loads grows past the budget. Run after `npm run build`.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const BUDGET_BYTES = 90_000;
const dist = join(import.meta.dirname, '..', 'dist');
let total = 0;
for (const name of await readdir(dist, { recursive: true })) {
  if (/\.(js|css|html|svg)$/.test(name)) total += gzipSync(await readFile(join(dist, name))).length;
}
console.log(`${total} of ${BUDGET_BYTES} bytes (gzip)`);
process.exitCode = total > BUDGET_BYTES ? 1 : 0;
