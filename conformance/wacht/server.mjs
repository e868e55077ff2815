// The two servers that `run` started, one in each mode: where they are, and what they mailed.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

const { COUNTERSIGN_STAGING, COUNTERSIGN_PRODUCTION, COUNTERSIGN_MAIL, COUNTERSIGN_PAGE_PORT } = process.env;
assert.ok(
  COUNTERSIGN_STAGING && COUNTERSIGN_PRODUCTION && COUNTERSIGN_MAIL && COUNTERSIGN_PAGE_PORT,
  'the environment is set by ./run',
);

/** The port of the page that may ask in production. */
export const pagePort = Number(COUNTERSIGN_PAGE_PORT);

/** How the kit and Wacht's package for servers are told where the API is. */
function publishableKey(prefix, origin) {
  return prefix + Buffer.from(origin).toString('base64');
}

/** `countersign dev`: everything mailed is in its inbox. */
export const staging = {
  origin: COUNTERSIGN_STAGING,
  publishableKey: publishableKey('pk_test_', COUNTERSIGN_STAGING),
  async mails(address) {
    const response = await fetch(`${COUNTERSIGN_STAGING}/dev/messages?to=${encodeURIComponent(address)}`);
    assert.equal(response.status, 200);
    const messages = await response.json();
    return messages.map(({ code }) => code).reverse();
  },
};

/** `countersign serve`: everything mailed went to a relay. */
export const production = {
  origin: COUNTERSIGN_PRODUCTION,
  publishableKey: publishableKey('pk_live_', COUNTERSIGN_PRODUCTION),
  async mails(address) {
    const lines = (await readFile(COUNTERSIGN_MAIL, 'utf8').catch(() => '')).split('\n').filter(Boolean);
    const own = lines.map((line) => JSON.parse(line)).filter(({ to }) => to === address);
    return own.map(({ text }) => /(?<![0-9])[0-9]{6}(?![0-9])/.exec(text)?.[0]);
  },
};

/** Somebody whom the operator added in production: nobody has mailed to him yet. */
export const KNOWN = 'known@example.com';

/** `fetch` with a jar for the one cookie there is. */
export function jar() {
  const kept = new Map();
  const asked = async (url, options) => {
    const headers = new Headers(options.headers);
    if (kept.size > 0) headers.set('cookie', [...kept].map((pair) => pair.join('=')).join('; '));
    const response = await fetch(url, { ...options, headers });
    for (const cookie of response.headers.getSetCookie()) {
      const [name, value] = cookie.split(';')[0].split('=');
      kept.set(name, value);
    }
    return response;
  };
  return Object.assign(asked, { kept });
}

/** The code of the newest mail to `address`, which may take a moment. */
export async function mailedCode(server, address) {
  for (let wait = 0; wait < 100; wait += 1) {
    const code = (await server.mails(address)).at(-1);
    if (code) {
      assert.match(code, /^[0-9]{6}$/);
      return code;
    }
    await setTimeout(100);
  }
  return assert.fail(`no mail went to ${address}`);
}

/** An address that nobody has had. */
export function newAddress(name = 'ada') {
  return `${name}.${randomInt(2 ** 47).toString(36)}@example.com`;
}

/** A code that is not `code`, `step` telling them apart. */
export function wrong(code, step = 1) {
  return String((Number(code) + step) % 1_000_000).padStart(6, '0');
}
