// What a person does on the sign-in pages, done by a browser. Every test ends with a look at the console: an error there, and so every
// breach of the content security policy, fails it.

import assert from 'node:assert/strict';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { chromium } from 'playwright-core';

import { Serving } from './serving.mjs';

const origin = process.env.COUNTERSIGN_ORIGIN;
const folder = process.env.COUNTERSIGN_SCREENSHOTS;
const WIDE = { width: 1100, height: 800 };
const PHONE = { width: 360, height: 740 };
const REPEAT = 2_100; // a repeat within two seconds owes nothing, and is answered as the send was
const WHOLE_PAGE = 30_000; // bytes of both pages of a sign-in, style and script included

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core'), 'utf8');
const kinds = {
  'with scripts, wide': { viewport: WIDE },
  'without scripts, wide': { viewport: WIDE, javaScriptEnabled: false },
  'with scripts, on a phone, in the dark': { viewport: PHONE, colorScheme: 'dark', hasTouch: true, isMobile: true },
  'without scripts, on a phone': { viewport: PHONE, javaScriptEnabled: false, hasTouch: true, isMobile: true },
};

let site;
let callback;
let browser;
let context;
let complaints;
let strangers;
let weight;

before(async () => {
  site = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><html lang="en"><title>app</title><link rel="icon" href="data:,">back'));
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  callback = `http://localhost:${site.address().port}/callback`;
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

beforeEach(() => {
  [complaints, strangers, weight] = [[], [], 0];
});

afterEach(async () => {
  await context?.close();
  context = undefined;
  assert.deepEqual(complaints, [], 'the console is quiet');
  assert.deepEqual(strangers, [], 'nobody else is asked for anything');
});

function newAddress(name = 'ada') {
  return `${name}.${randomInt(2 ** 47).toString(36)}@example.com`;
}

async function mails(address) {
  return (await fetch(`${origin}/dev/messages?to=${encodeURIComponent(address)}`)).json();
}

async function mailedCode(address) {
  const [newest] = await mails(address);
  return newest.code;
}

function wrong(code, step = 1) {
  return String((Number(code) + step) % 1_000_000).padStart(6, '0');
}

/** An application's link to sign in. */
function link(more = {}, at = origin) {
  const challenge = createHash('sha256').update(randomBytes(32)).digest('base64url');
  const parameters = {
    client_id: 'countersign-dev', redirect_uri: callback, response_type: 'code', scope: 'openid', state: 'x',
    code_challenge: challenge, code_challenge_method: 'S256', ...more,
  };
  return `${at}/oauth/v2/authorize?${new URLSearchParams(parameters)}`;
}

/** A browser of that kind, on the page that asks for an address. */
async function begun(kind, more, at = origin) {
  context = await browser.newContext(kind);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on('console', (message) => {
    // A form that is answered with an error status is what a test is about, and the browser says so.
    const isAnswer = /status of (400|403|429)/.test(message.text());
    if (['error', 'warning'].includes(message.type()) && !isAnswer) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (to.protocol !== 'data:' && ![origin, at, new URL(callback).origin].includes(to.origin)) strangers.push(request.url());
  });
  page.on('response', async (response) => {
    if (new URL(response.url()).pathname.startsWith('/sign-in') && response.status() === 200) {
      weight += (await response.body().catch(() => '')).length;
    }
  });
  await page.goto(link(more, at));
  return page;
}

async function askFor(page, address) {
  await page.getByLabel('Your e-mail address').fill(address);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('Code from the mail').waitFor();
}

async function type(page, code) {
  await page.getByLabel('Code from the mail').fill(code);
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** Where the browser ends up at the application. */
async function came(page) {
  await page.waitForURL((url) => url.origin === new URL(callback).origin);
  return new URL(page.url()).searchParams;
}

async function shot(page, name) {
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/** Nothing that axe complains of, and nothing that hangs over the edge. */
async function isSound(page, kind) {
  if (kind.javaScriptEnabled === false) return;
  // The policy of the page lets no script in from outside; a tool may be evaluated.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`), []);
  const overhang = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overhang <= 0, `the page hangs over by ${overhang} pixels`);
}

for (const [name, kind] of Object.entries(kinds)) {
  const file = name.replaceAll(/[^a-z]+/g, '-');
  describe(name, () => {
    test('address, wrong code, right code', async () => {
      const address = newAddress();
      const page = await begun(kind);
      await shot(page, `${file}-1-address`);
      await isSound(page, kind);
      await askFor(page, address);
      await shot(page, `${file}-2-code`);
      await isSound(page, kind);
      assert.ok((await page.textContent('main')).includes('a***@example.com'));
      assert.ok(weight > 1000 && weight < WHOLE_PAGE, `both pages together have ${weight} bytes`);

      await type(page, wrong(await mailedCode(address)));
      await page.getByRole('alert').waitFor();
      assert.match(await page.getByRole('alert').textContent(), /4 more tries/);
      await shot(page, `${file}-3-wrong`);
      await isSound(page, kind);

      const code = await mailedCode(address);
      await type(page, ` ${code.slice(0, 3)} - ${code.slice(3)} `);
      const parameters = await came(page);
      assert.ok(parameters.get('code'));
      assert.equal(parameters.get('state'), 'x');
      assert.equal(parameters.get('iss'), origin);
    });

    test('the link in the mail fills the code in where it was begun, and nothing more', async () => {
      const address = newAddress();
      const page = await begun(kind);
      await askFor(page, address);
      const [mail] = await mails(address);
      await page.goto(mail.link);
      assert.equal(await page.getByLabel('Code from the mail').inputValue(), mail.code);
      await shot(page, `${file}-4-link`);
      await isSound(page, kind);
      await page.getByRole('button', { name: 'Continue' }).click();
      assert.ok((await came(page)).get('code'));
    });

    test('too many wrong codes end it, and the page says how to go on', async () => {
      const address = newAddress();
      const page = await begun(kind);
      await askFor(page, address);
      const code = await mailedCode(address);
      for (let guess = 1; guess <= 5; guess += 1) await type(page, wrong(code, guess));
      await page.getByRole('heading', { name: 'Please start again' }).waitFor();
      await shot(page, `${file}-5-exhausted`);
      await isSound(page, kind);
      await page.getByRole('link', { name: 'Start again' }).click();
      await askFor(page, address);
      await type(page, await mailedCode(address));
      assert.ok((await came(page)).get('code'));
    });

    test('signing out asks first where nobody vouches for it', async () => {
      const address = newAddress();
      const page = await begun(kind);
      await askFor(page, address);
      await type(page, await mailedCode(address));
      await came(page);
      await page.goto(`${origin}/oidc/v1/end_session`);
      await page.getByRole('heading', { name: 'Sign out?' }).waitFor();
      await shot(page, `${file}-6-sign-out`);
      await isSound(page, kind);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
      await shot(page, `${file}-7-signed-out`);
      await isSound(page, kind);
      await page.goto(link({ prompt: 'none' }));
      assert.equal((await came(page)).get('error'), 'login_required');
    });

    test('a request that names no application gets a page and no redirect', async () => {
      const page = await begun(kind, { client_id: 'nobody' });
      await page.getByRole('heading', { name: 'This link does not work' }).waitFor();
      assert.equal(new URL(page.url()).origin, origin);
      await shot(page, `${file}-8-error`);
      await isSound(page, kind);
    });
  });
}

describe('besides', () => {
  test('what is no address is said so, and what was typed stays', async () => {
    const page = await begun({ viewport: WIDE });
    await page.evaluate(() => document.querySelector('form').noValidate = true);
    await page.getByLabel('Your e-mail address').fill('ada@');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('alert').waitFor();
    assert.equal(await page.getByLabel('Your e-mail address').inputValue(), 'ada@');
    await shot(page, 'besides-malformed');
    await isSound(page, {});
  });

  test('the code can be sent again, and is the same', async () => {
    const address = newAddress();
    const page = await begun({ viewport: WIDE });
    await askFor(page, address);
    const code = await mailedCode(address);
    await sleep(REPEAT);
    await page.getByRole('button', { name: 'Send the code again' }).click();
    await page.getByRole('status').waitFor();
    assert.equal((await mails(address)).length, 2);
    assert.equal(await mailedCode(address), code);
    await shot(page, 'besides-sent-again');
    await isSound(page, {});
  });

  test('st_38 a scanner that follows the mailed link and presses every button gets nowhere, and spoils nothing', async () => {
    const address = newAddress();
    const page = await begun({ viewport: WIDE });
    await askFor(page, address);
    const [mail] = await mails(address);
    const scanner = await browser.newContext();
    const tab = await scanner.newPage();
    await tab.goto(mail.link);
    await tab.getByRole('heading', { name: 'Almost there' }).waitFor();
    for (const button of await tab.getByRole('button').all()) await button.click();
    for (const method of ['GET', 'HEAD', 'OPTIONS']) await scanner.request.fetch(mail.link, { method });
    assert.equal((await scanner.cookies()).length, 0);
    await shot(tab, 'besides-scanner');
    await scanner.close();
    await type(page, mail.code);
    assert.ok((await came(page)).get('code'));
  });

  test('the keyboard suffices: the input is in focus, and Enter goes on', async () => {
    const address = newAddress();
    const page = await begun({ viewport: WIDE });
    await page.locator('#email:focus').waitFor();
    await page.keyboard.type(address);
    await page.keyboard.press('Enter');
    await page.getByLabel('Code from the mail').waitFor();
    const input = page.getByLabel('Code from the mail');
    assert.equal(await input.getAttribute('autocomplete'), 'one-time-code');
    assert.equal(await input.getAttribute('inputmode'), 'numeric');
    await page.locator('#code:focus').waitFor();
    await page.keyboard.type(await mailedCode(address));
    await page.keyboard.press('Enter');
    assert.ok((await came(page)).get('code'));
  });
});

describe('where messages are limited, as under `serve`', () => {
  let serving;
  before(async () => {
    serving = await Serving.start(callback);
  });
  after(async () => {
    await serving?.stop();
  });

  test('a countdown says when another code may be asked for', async () => {
    const page = await begun({ viewport: WIDE }, { client_id: 'app' }, serving.origin);
    await page.clock.install();
    await askFor(page, newAddress());
    const again = page.getByRole('button', { name: 'Send the code again' });
    const wait = page.getByText('You can ask for another one in');
    assert.ok(await again.isDisabled());
    assert.match(await wait.textContent(), /in (29|30) seconds/);
    await shot(page, 'serve-countdown');
    await isSound(page, {});
    await page.clock.runFor(5_000);
    assert.match(await wait.textContent(), /in 2[45] seconds/);
    await page.clock.runFor(26_000);
    assert.ok(await again.isEnabled());
    assert.ok(await wait.isHidden());
    // Only the page's clock was put forward: the server goes by its own.
    await sleep(REPEAT);
    await again.click();
    await page.getByRole('alert').waitFor();
    assert.match(await page.getByRole('alert').textContent(), /wait (29|2[0-8]) seconds/);
    assert.ok(await again.isDisabled());
  });

  test('without scripts the page says so once, and the server decides', async () => {
    const page = await begun({ viewport: PHONE, javaScriptEnabled: false }, { client_id: 'app' }, serving.origin);
    await askFor(page, newAddress());
    await page.getByText(/in (29|30) seconds/).waitFor();
    await sleep(REPEAT);
    await page.getByRole('button', { name: 'Send the code again' }).click();
    await page.getByRole('alert').waitFor();
    await shot(page, 'serve-too-soon');
  });

  test('st_34 a known and an unknown address see the same pages', async () => {
    await serving.add('known@example.com');
    const seen = [];
    for (const address of ['known@example.com', 'knobody@example.com']) {
      const page = await begun({ viewport: WIDE }, { client_id: 'app' }, serving.origin);
      await askFor(page, address);
      const first = await page.textContent('main');
      await type(page, '000000');
      await page.getByRole('alert').waitFor();
      seen.push([first, await page.textContent('main')].map((text) => text.replace(/\d+ seconds/g, 'n seconds')));
      await context.close();
    }
    assert.match(seen[0][0], /If k\*\*\*@example.com may sign in here/);
    assert.deepEqual(seen[0], seen[1]);
  });
});
