// Runs the block that the README's row on this surface leads to, as it is printed: a newcomer who pastes it must end with
// the node SDK signed in. Only the port is another one, because the one that is printed may be taken.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { baseUrl } from './server.mjs';

const PRINTED = 'http://127.0.0.1:8080';
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');

async function text(path) {
  return readFile(join(root, path), 'utf8');
}

const readme = await text('README.md');
assert.ok(/^\| .*\(dialects\/descope\)/m.test(readme), 'the README has a row for this surface');
const pages = [readme, await text('dialects/descope/README.md')];
const blocks = pages.flatMap((page) => Array.from(page.matchAll(/^```(?:js|javascript|mjs)\n(.*?)^```/gms), ([, block]) => block));
const block = blocks.find((candidate) => candidate.includes("'@descope/node-sdk'"));
assert.ok(block, 'README.md or dialects/descope/README.md has a js block that imports @descope/node-sdk');
assert.ok(block.includes(PRINTED), `the block talks to ${PRINTED}`);

// In this folder, so that the packages are found as they are after `npm install @descope/node-sdk`.
const folder = await mkdtemp(join(here, 'node_modules', '.readme-'));
try {
  const script = join(folder, 'signin.mjs');
  await writeFile(script, block.replaceAll(PRINTED, baseUrl));
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 30_000 });
  process.stdout.write(stdout);
  assert.match(stdout, /@example\.com/, 'it shows who is signed in');
} finally {
  await rm(folder, { recursive: true, force: true });
}
