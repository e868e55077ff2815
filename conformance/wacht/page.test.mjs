// Pages in a browser, on other origins than the servers: what Node cannot show, which is CORS and cookies.
//
// In staging the page's site is localhost and the server's 127.0.0.1, without credentials. In production both are on 127.0.0.1, on
// different ports: another origin and the same site, as a page and an API under one domain are.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';

import { chromium } from 'playwright-core';

import { mailedCode, newAddress, pagePort, production, staging, wrong } from './server.mjs';

const PAGE = `<!doctype html><html lang="en"><title>an app</title><script type="module">
import { Kit } from '/kit.mjs';
const stored = { get: (name) => localStorage.getItem(name), set: (name, value) => localStorage.setItem(name, value) };
window.open_ = (key) => { window.kit = new Kit(key, { storage: stored }); };
window.ready = true;
</script></html>`;

const kit = await readFile(new URL('kit.mjs', import.meta.url));
let site;
let browser;
let context;
let page;
let complaints;

before(async () => {
  site = createServer((request, response) => {
    const [kind, body] = {
      '/': ['text/html; charset=utf-8', PAGE],
      '/kit.mjs': ['text/javascript; charset=utf-8', kit],
    }[request.url] ?? ['text/plain', ''];
    response.writeHead(200, { 'content-type': kind }).end(body);
  });
  site.listen(pagePort, '127.0.0.1');
  await once(site, 'listening');
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
});

/** A page of this visitor at `host`, whose kit asks `server`. */
async function open(host, server) {
  page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`http://${host}:${pagePort}/`);
  await page.waitForFunction(() => window.ready);
  await page.evaluate((key) => window.open_(key), server.publishableKey);
}

/** Calls a method of the page's kit. What it throws comes back as `{ status, code }`. */
async function call(name, ...given) {
  return page.evaluate(
    async ([method, parameters]) => {
      try {
        return await window.kit[method](...parameters);
      } catch (error) {
        return { status: error.status, code: error.code, error: String(error) };
      }
    },
    [name, given],
  );
}

/** Asks with JSON, as documented, from the page. */
async function json(server, path, body, credentials) {
  return page.evaluate(
    async ([url, text, mode, session]) => {
      const headers = { 'Content-Type': 'application/json' };
      if (session) headers['X-Development-Session'] = session;
      const response = await fetch(url, { method: 'POST', headers, body: text, credentials: mode });
      const next = response.headers.get('x-development-session');
      if (next) window.kit.storage.set(window.kit.origin, next);
      return { status: response.status, envelope: await response.json() };
    },
    [server.origin + path, JSON.stringify(body), credentials, credentials === 'omit' ? await page.evaluate(() => window.kit.developmentSession) : ''],
  );
}

async function signedUp(server, address) {
  const attempt = await call('signUp', address, { first_name: 'Ada' });
  await call('prepare', attempt);
  return call('verify', attempt, await mailedCode(server, address));
}

const isRefusal = (complaint) => /^Failed to load resource: the server responded with a status of 40[013]/.test(complaint);

for (const [mode, { server, host, credentials }] of Object.entries({
  staging: { server: staging, host: 'localhost', credentials: 'omit' },
  production: { server: production, host: '127.0.0.1', credentials: 'include' },
})) {
  describe(`a page of another origin, in ${mode}`, () => {
    test('signs up with forms, stays signed in over a reload, and signs out', async () => {
      await open(host, server);
      assert.equal((await call('deployment')).mode, mode);
      const address = newAddress();
      const attempt = await call('signUp', address);
      await call('prepare', attempt);
      const code = await mailedCode(server, address);
      assert.equal((await call('verify', attempt, wrong(code))).code, 'INVALID_CODE');
      const session = await call('verify', attempt, code);
      assert.equal(session.active_signin.user.primary_email_address.email, address);
      await open(host, server);
      assert.equal((await call('me')).id, session.active_signin.user_id);
      assert.equal((await call('signOut')).active_signin, null);
      assert.equal((await call('me')).code, 'NOT_AUTHENTICATED');
      assert.deepEqual(complaints.filter((complaint) => !isRefusal(complaint)), []);
    });

    test('signs up with JSON, as documented, after a preflight', async () => {
      await open(host, server);
      await call('session');
      const address = newAddress();
      const begun = await json(server, '/auth/signup', { email: address }, credentials);
      assert.equal(begun.status, 200);
      const named = { signup_attempt_id: begun.envelope.data.signup_attempts.at(-1).id };
      await json(server, '/auth/prepare-verification', { ...named, method: 'email' }, credentials);
      const code = await mailedCode(server, address);
      const { status, envelope } = await json(server, '/auth/attempt-verification', { ...named, code }, credentials);
      assert.equal(status, 200);
      assert.equal(envelope.data.active_signin.user.primary_email_address.email, address);
      assert.equal((await call('me')).primary_email_address.email, address);
      assert.deepEqual(complaints, []);
    });

    test('polls in parallel with its verification, and nobody is logged out', async () => {
      await open(host, server);
      for (let round = 0; round < 3; round += 1) {
        const address = newAddress(`round${round}`);
        const attempt = await call('signUp', address);
        await call('prepare', attempt);
        const code = await mailedCode(server, address);
        const seen = await page.evaluate(
          async ([named, typed]) => {
            const poll = () => window.kit.session().then(({ active_signin: active }) => active?.id ?? null);
            const polls = [poll(), poll()];
            const verified = window.kit.verify(named, typed);
            polls.push(poll(), poll());
            await Promise.all(polls);
            return (await verified).active_signin.id;
          },
          [attempt, code],
        );
        const after = await call('session');
        assert.equal(after.active_signin.id, seen);
        await open(host, server);
        assert.equal((await call('session')).active_signin.id, seen, 'also after a reload');
      }
      assert.deepEqual(complaints, []);
    });

    test('two tabs share one session', async () => {
      await open(host, server);
      const address = newAddress();
      await signedUp(server, address);
      const first = page;
      await open(host, server);
      assert.equal((await call('me')).primary_email_address.email, address);
      await call('signOut');
      page = first;
      assert.equal((await call('me')).code, 'NOT_AUTHENTICATED');
    });
  });
}

describe('the cookie of production', () => {
  test('is kept from scripts and other sites, and changes at the sign-in', async () => {
    await open('127.0.0.1', production);
    await call('session');
    const cookies = async () => (await context.cookies()).filter(({ name }) => name === '__session');
    const [before] = await cookies();
    assert.deepEqual([before.httpOnly, before.sameSite, before.path, before.domain], [true, 'Lax', '/', '127.0.0.1']);
    const week = before.expires - Date.now() / 1000;
    assert.ok(week > 6.9 * 86_400 && week < 7.1 * 86_400, String(week));
    assert.equal(await page.evaluate(() => document.cookie), '');
    await signedUp(production, newAddress());
    const after = await cookies();
    assert.equal(after.length, 1);
    assert.notEqual(after[0].value, before.value);
  });

  test('is worth nothing to a page that is not listed, which cannot take it away either', async () => {
    await open('127.0.0.1', production);
    const address = newAddress();
    await signedUp(production, address);
    const mine = page;
    // The same server under another name: an origin that nobody listed.
    await open('localhost', production);
    assert.match((await call('session')).error, /Failed to fetch/);
    assert.match((await call('signOut')).error, /Failed to fetch/);
    // A form that a page of another site submits by itself, which no CORS stops: it arrives without the cookie, and must not get another.
    await page.evaluate((url) => {
      const form = Object.assign(document.createElement('form'), { method: 'POST', action: `${url}/session/sign-out` });
      document.body.append(form);
      form.submit();
    }, production.origin);
    await page.waitForURL(`${production.origin}/**`);
    assert.match(await page.content(), /UNAUTHORIZED/);
    page = mine;
    assert.equal((await call('me')).primary_email_address.email, address);
  });
});
