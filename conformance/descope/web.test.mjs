// @descope/web-js-sdk in a browser, on a page of another site than the server's: the bundle that the package ships, as it
// is. The page's site is localhost, the server's is 127.0.0.1, so every call crosses origins with credentials.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

import { chromium } from 'playwright-core';

import { baseUrl, claims, mailedCode, newAddress, projectId, wrong } from './server.mjs';

const PAGE = '<!doctype html><html lang="en"><title>an app</title><script src="/sdk.js"></script></html>';
const REFRESH_TOKEN = 'DSR';
const SESSION_TOKEN = 'DS';

const packaged = createRequire(import.meta.url).resolve('@descope/web-js-sdk');
const bundle = await readFile(join(dirname(packaged), '..', 'index.umd.js'));
let site;
let origin;
let browser;
let context;
let page;
let complaints;
let strangers;

before(async () => {
  site = createServer((request, response) => {
    const [kind, body] = {
      '/': ['text/html; charset=utf-8', PAGE],
      '/sdk.js': ['text/javascript; charset=utf-8', bundle],
    }[request.url] ?? ['text/plain', ''];
    response.writeHead(200, { 'content-type': kind }).end(body);
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  origin = `http://localhost:${site.address().port}`;
  browser = await chromium.launch({
    executablePath: process.env.COUNTERSIGN_CHROMIUM,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
});

after(async () => {
  await browser?.close();
  site?.closeAllConnections();
  site?.close();
});

beforeEach(async () => {
  await context?.close();
  context = await browser.newContext();
  complaints = [];
  strangers = [];
  page = await newTab();
  await open();
});

/** A page of this visitor, whose complaints and requests are noted. */
async function newTab() {
  const tab = await context.newPage();
  tab.setDefaultTimeout(10_000);
  tab.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} (${message.location().url})`);
  });
  tab.on('pageerror', (error) => complaints.push(String(error)));
  tab.on('request', (request) => {
    const to = new URL(request.url()).origin;
    if (to !== origin && to !== baseUrl) strangers.push(request.url());
  });
  return tab;
}

/** Loads the page anew, as a visitor does who comes back: what the SDK kept is all there is. */
async function open() {
  await page.goto(origin);
  await page.evaluate(
    (options) => {
      window.sdk = window.Descope(options);
    },
    { projectId, baseUrl, persistTokens: true },
  );
}

/** Calls a function of the SDK by its name, `otp.verify.email` say, in the page. */
async function call(name, ...given) {
  return page.evaluate(
    async ([path, parameters]) => {
      const names = path.split('.');
      const last = names.pop();
      const owner = names.reduce((object, key) => object[key], window.sdk);
      const { ok, code, data, error } = await owner[last](...parameters);
      return { ok, code, data, error };
    },
    [name, given],
  );
}

async function good(name, ...given) {
  const response = await call(name, ...given);
  assert.ok(response.ok, `${name}: ${response.code} ${JSON.stringify(response.error)}`);
  return response.data;
}

async function refused(errorCode, name, ...given) {
  const response = await call(name, ...given);
  assert.equal(response.ok, false);
  assert.equal(response.error.errorCode, errorCode);
  assert.equal(response.code, 401);
}

async function kept(token) {
  return page.evaluate((key) => window.localStorage.getItem(key), token);
}

async function signUpOrIn(address) {
  await good('otp.signUpOrIn.email', address);
  return good('otp.verify.email', address, await mailedCode(address));
}

/** The browser's console tells of each answer of 401 by itself; `refusals` are those that were provoked. */
function quiet(refusals = 0) {
  const refusal = /^Failed to load resource: the server responded with a status of 401/;
  assert.deepEqual(complaints.filter((complaint) => !refusal.test(complaint)), []);
  assert.equal(complaints.length, refusals, complaints.join('\n'));
  assert.deepEqual(strangers, [], 'nothing was asked of anybody else');
}

describe('a page of another origin', () => {
  test('signs somebody up, then in, and a wrong code does not', async () => {
    const address = newAddress();
    const { maskedEmail } = await good('otp.signUpOrIn.email', address);
    assert.match(maskedEmail, /\*.*@example\.com$/);
    const code = await mailedCode(address);
    await refused('E061102', 'otp.verify.email', address, wrong(code));
    assert.equal(await kept(REFRESH_TOKEN), null);

    const first = await good('otp.verify.email', address, code);
    assert.equal(first.firstSeen, true);
    assert.equal(first.user.email, address);
    assert.equal(await kept(SESSION_TOKEN), first.sessionJwt);
    assert.equal(await kept(REFRESH_TOKEN), first.refreshJwt);

    const second = await signUpOrIn(address);
    assert.equal(second.firstSeen, false);
    assert.equal(second.user.userId, first.user.userId);
    quiet(1);
  });

  test('keeps the session over a reload: refresh and me', async () => {
    const address = newAddress();
    const { user } = await signUpOrIn(address);
    const refreshJwt = await kept(REFRESH_TOKEN);
    await open();
    const refreshed = await good('refresh');
    assert.equal(claims(refreshed.sessionJwt).sub, user.userId);
    assert.equal(await kept(SESSION_TOKEN), refreshed.sessionJwt);
    assert.equal(await kept(REFRESH_TOKEN), refreshed.refreshJwt || refreshJwt);
    assert.equal(await page.evaluate(() => window.sdk.getSessionToken()), refreshed.sessionJwt);
    assert.deepEqual(await good('me'), user);
    await open();
    await good('refresh');
    quiet();
  });

  test('two tabs refresh at once and both stay signed in', async () => {
    await signUpOrIn(newAddress());
    const first = page;
    page = await newTab();
    await open();
    const refresh = async (tab) =>
      tab.evaluate(async () => {
        const answers = await Promise.all([window.sdk.refresh(), window.sdk.refresh()]);
        return answers.map(({ ok }) => ok);
      });
    const oks = await Promise.all([first, page].map(refresh));
    assert.deepEqual(oks.flat(), [true, true, true, true]);
    for (const tab of [first, page]) {
      page = tab;
      await good('refresh');
    }
    quiet();
  });

  test('tries to refresh, which nobody who is signed out is told off for', async () => {
    await call('refresh', undefined, true);
    assert.equal(await kept(SESSION_TOKEN), null);
    const { user } = await signUpOrIn(newAddress());
    await open();
    const refreshed = await good('refresh', undefined, true);
    assert.equal(claims(refreshed.sessionJwt).sub, user.userId);
    quiet();
  });

  test('takes a new address', async () => {
    const [old, fresh] = [newAddress('old'), newAddress('new')];
    const { user } = await signUpOrIn(old);
    await good('otp.update.email', old, fresh, await kept(REFRESH_TOKEN));
    const updated = await good('otp.verify.email', old, await mailedCode(fresh));
    assert.equal(updated.user.userId, user.userId);
    assert.equal(updated.user.email, fresh);
    assert.equal(await kept(REFRESH_TOKEN), updated.refreshJwt);
    assert.equal((await good('me')).email, fresh);
    quiet();
  });

  test('logs out, and what it kept is worth nothing afterwards', async () => {
    const address = newAddress();
    await signUpOrIn(address);
    const stale = await kept(REFRESH_TOKEN);
    await good('logout');
    assert.equal(await kept(REFRESH_TOKEN), null);
    assert.equal(await kept(SESSION_TOKEN), null);
    await refused('E064001', 'refresh', stale);

    // The SDK sends along what it has kept, dead or not: that must not stand in the way of signing in.
    await page.evaluate(([key, token]) => window.localStorage.setItem(key, token), [REFRESH_TOKEN, stale]);
    await open();
    const { user } = await signUpOrIn(address);
    assert.equal(user.email, address);
    assert.notEqual(await kept(REFRESH_TOKEN), stale);
    await good('refresh');
    await good('logoutAll');
    await refused('E011002', 'refresh');
    quiet(2);
  });

  test('may read why it was refused, and how long to wait', async () => {
    const refusal = await page.evaluate(async (url) => {
      const response = await fetch(url, {
        method: 'POST',
        credentials: 'include',
        headers: { 'content-type': 'application/json', authorization: 'Bearer ' },
        body: '{}',
      });
      const { errorCode } = await response.json();
      return { status: response.status, errorCode };
    }, `${baseUrl}/v1/auth/otp/signin/email`);
    assert.equal(refusal.status, 401);
    assert.match(refusal.errorCode, /^E[0-9]{6}$/);
    const answer = await fetch(`${baseUrl}/v1/auth/otp/signin/email`, { method: 'POST', headers: { origin } });
    assert.match(answer.headers.get('access-control-expose-headers') ?? '', /retry-after/i);
    assert.equal(answer.headers.get('access-control-allow-origin'), origin);
    assert.equal(answer.headers.get('access-control-allow-credentials'), 'true');
    quiet(1);
  });
});
