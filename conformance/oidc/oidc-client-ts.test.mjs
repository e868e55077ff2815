// oidc-client-ts in a browser, as a single-page application on another origin uses it: the bundle that the package ships. The
// application's site is localhost, the server's is 127.0.0.1, so every call of its scripts crosses origins.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { chromium } from 'playwright-core';

import { PUBLIC, issuer, mailedCode, newAddress } from './server.mjs';

const packaged = dirname(createRequire(import.meta.url).resolve('oidc-client-ts'));
const bundle = await readFile(join(packaged, '..', 'browser', 'oidc-client-ts.min.js'));
const PAGE = '<!doctype html><html lang="en"><title>an app</title><link rel="icon" href="data:,"><script src="/oidc.js"></script></html>';

let site;
let origin;
let browser;
let page;
let complaints;

before(async () => {
  site = createServer((request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname;
    const [kind, body] = path === '/oidc.js' ? ['text/javascript; charset=utf-8', bundle] : ['text/html; charset=utf-8', PAGE];
    response.writeHead(200, { 'content-type': kind }).end(body);
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  origin = `http://localhost:${site.address().port}`;
  browser = await chromium.launch({
    executablePath: process.env.COUNTERSIGN_CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
  });
});

after(async () => {
  await browser?.close();
  site?.closeAllConnections();
  site?.close();
});

beforeEach(async () => {
  const context = await browser.newContext();
  complaints = [];
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(origin);
  await manager();
});

/** Makes the application's manager anew, as each of its pages does. */
async function manager() {
  await page.evaluate(
    (settings) => {
      window.manager = new window.oidc.UserManager(settings);
    },
    {
      authority: issuer,
      client_id: PUBLIC,
      redirect_uri: `${origin}/callback`,
      post_logout_redirect_uri: `${origin}/goodbye`,
      scope: 'openid email profile offline_access',
      loadUserInfo: true,
      automaticSilentRenew: false,
      revokeTokensOnSignout: false,
    },
  );
}

/** Leaves for the sign-in pages. */
async function leave(what) {
  await Promise.all([page.waitForURL((url) => url.origin !== origin), page.evaluate(what)]);
}

async function signIn(address) {
  await leave('void window.manager.signinRedirect({ state: { kept: "x" } })');
  await page.getByLabel('Your e-mail address').fill(address);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('Code from the mail').fill(await mailedCode(address));
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL((url) => url.origin === origin);
  await manager();
  return page.evaluate(async () => {
    const user = await window.manager.signinRedirectCallback();
    return { profile: user.profile, state: user.state, refresh: user.refresh_token, scope: user.scope };
  });
}

test('signs in, refreshes, and signs out', async () => {
  const address = newAddress();
  const user = await signIn(address);
  assert.equal(user.profile.email, address);
  assert.equal(user.profile.email_verified, true);
  assert.deepEqual(user.state, { kept: 'x' });

  const fresh = await page.evaluate(async () => {
    const user = await window.manager.signinSilent();
    return { refresh: user.refresh_token, sub: user.profile.sub };
  });
  assert.equal(fresh.sub, user.profile.sub);
  assert.notEqual(fresh.refresh, user.refresh);

  await Promise.all([
    page.waitForURL((url) => url.pathname === '/goodbye'),
    page.evaluate('void window.manager.signoutRedirect({ state: "bye" })'),
  ]);
  await manager();
  await page.evaluate(() => window.manager.signoutRedirectCallback());
  assert.equal(new URL(page.url()).origin, origin);
  assert.deepEqual(complaints, []);
});

test('a second sign-in in the same browser needs no page', async () => {
  const address = newAddress();
  const first = await signIn(address);
  const before = page.url();
  await Promise.all([
    page.waitForURL((url) => url.origin === origin && String(url) !== before),
    page.evaluate('void window.manager.signinRedirect()'),
  ]);
  assert.ok(new URL(page.url()).searchParams.has('code'));
  await manager();
  const sub = await page.evaluate(async () => (await window.manager.signinRedirectCallback()).profile.sub);
  assert.equal(sub, first.profile.sub);
  assert.deepEqual(complaints, []);
});

test('its tokens are taken back by revocation, called from the page', async () => {
  await signIn(newAddress());
  await page.evaluate(() => window.manager.revokeTokens());
  const failed = await page.evaluate(async () => {
    const user = await window.manager.getUser();
    const answer = await fetch(window.manager.settings.authority + '/oidc/v1/userinfo', {
      headers: { authorization: `Bearer ${user.access_token}` },
    });
    return answer.status;
  });
  assert.equal(failed, 401);
  // The browser notes the refusal; nothing else may be there.
  assert.equal(complaints.filter((complaint) => !complaint.includes('401')).length, 0, complaints.join('\n'));
});

test('who does not want to is sent back with an error', async () => {
  await leave('void window.manager.signinRedirect()');
  await page.getByRole('link', { name: /Back to/ }).click();
  await page.waitForURL((url) => url.origin === origin);
  assert.equal(new URL(page.url()).searchParams.get('error'), 'access_denied');
  await manager();
  const error = await page.evaluate(() => window.manager.signinRedirectCallback().catch((error) => error.error));
  assert.equal(error, 'access_denied');
  assert.deepEqual(complaints, []);
});
