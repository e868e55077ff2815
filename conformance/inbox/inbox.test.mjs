// What a developer does with the inbox, done by a browser. Every test ends with a look at the console: an error there, and
// so every breach of the content security policy, fails it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { chromium } from 'playwright-core';

import { Server } from './server.mjs';

const WIDE = { width: 1100, height: 900 };
const PHONE = { width: 375, height: 812 };
const WHOLE_PAGE = 30_000; // bytes of page, style and script together

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core'), 'utf8');
let server;
let browser;
let context;
let complaints;

before(async () => {
  server = await Server.start();
  browser = await chromium.launch({
    executablePath: process.env.COUNTERSIGN_CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  });
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

beforeEach(async () => {
  complaints = [];
  await server.empty();
});

afterEach(async () => {
  // The page asks until the last moment: an answer that is being altered then is nobody's any more.
  for (const page of context?.pages() ?? []) await page.unrouteAll({ behavior: 'ignoreErrors' });
  await context?.close();
  context = undefined;
  assert.deepEqual(complaints, [], 'the console is quiet');
});

/** Waits until `look` answers with something true, and gives that back. */
async function until(what, look) {
  const patience = Date.now() + 10_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < patience, `waited in vain until ${what}`);
    await sleep(50);
  }
}

/** A tab that shows the inbox; `prepare` may act before it is loaded. */
async function inbox({ query = '', prepare, ...options } = {}) {
  context = await browser.newContext({ viewport: WIDE, ...options });
  context.setDefaultTimeout(10_000);
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.origin });
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await prepare?.(page);
  await page.goto(`${server.origin}/dev/inbox${query}`);
  await page.locator('#connection[data-state=live]').waitFor();
  return page;
}

/** Lets `change` alter what the server answers, for what no surface brings about yet. */
async function altered(page, change) {
  await page.route('**/dev/messages', async (route) => {
    if (route.request().method() !== 'GET') return route.continue();
    const response = await route.fetch();
    return route.fulfill({ response, json: change(await response.json()) });
  });
}

const filter = (page) => page.getByRole('combobox', { name: 'Recipient', exact: true });
const cards = (page) => page.locator('.message:visible');
const codes = (page) => page.locator('.message:visible .digits').allTextContents();
const announcement = (page) => page.locator('[role=status]').textContent();
const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

/** When the page asked for messages, by the browser's clock: on a busy machine the news of a request comes here late. */
const askedAt = (page) => page.evaluate(() => performance.getEntriesByType('resource')
  .filter((entry) => entry.name.endsWith('/dev/messages')).map((entry) => entry.startTime));

async function violations(page) {
  await page.evaluate(axe); // through the debugger: the policy of the page forbids it any other way
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
}

describe('the development inbox', () => {
  test('the page is small, and asks nobody but its server', async () => {
    const asked = [];
    const page = await inbox({ prepare: (page) => page.on('response', (response) => asked.push(response)) });
    const foreign = asked.map((response) => response.url()).filter((url) => !/^data:/.test(url) && !url.startsWith(server.origin));
    assert.deepEqual(foreign, []);
    let bytes = 0;
    for (const path of ['/dev/inbox', '/dev/inbox.css', '/dev/inbox.js']) {
      const response = asked.find((response) => new URL(response.url()).pathname === path);
      assert.equal(response?.status(), 200, path);
      assert.match(response.headers()['content-security-policy'], /^default-src 'none';/);
      bytes += (await response.body()).length;
    }
    assert.ok(bytes < WHOLE_PAGE, `${bytes} bytes`);
    assert.equal(await page.title(), 'Inbox · countersign');
  });

  test('an empty inbox tells how to get a first message, and the line it gives does just that', async () => {
    const page = await inbox();
    await page.getByRole('heading', { name: 'No mail yet' }).waitFor();
    await page.getByRole('button', { name: 'Copy the command' }).click();
    await page.getByRole('button', { name: 'Copied the command' }).waitFor();
    const command = await clipboard(page);
    assert.equal(command, (await page.locator('#command').textContent()).trim());
    await promisify(execFile)('bash', ['-c', command]);
    await cards(page).waitFor();
    assert.equal(await page.locator('.to').textContent(), 'ada@example.com');
    assert.equal(await page.locator('#nothing').isVisible(), false);
  });

  test('a code appears by itself: newest first, large, marked, announced and in the title', async () => {
    await server.login('first@example.com');
    const page = await inbox();
    await page.evaluate(() => { globalThis.isSamePage = true; });
    assert.equal(await announcement(page), '', 'what was there before is no news');
    assert.equal(await page.locator('.fresh').count(), 0);

    await server.login('second@example.com');
    await until('the second message is shown', async () => (await cards(page).count()) === 2);
    assert.equal(await page.evaluate(() => globalThis.isSamePage), true);
    const [newest, older] = await server.messages();
    assert.equal(newest.to, 'second@example.com');
    assert.deepEqual(await codes(page), [newest.code, older.code]);
    assert.equal(await page.locator('.message.fresh.newest .digits').textContent(), newest.code);
    assert.match(await page.title(), new RegExp(`^${newest.code.slice(0, 3)} ${newest.code.slice(3)} `));
    assert.equal(await announcement(page), `New code ${[...newest.code].join(' ')} for second@example.com.`);
    assert.equal(await page.locator('#count').textContent(), '2 messages');
    const sizes = await page.locator('.digits').evaluateAll((all) => all.map((digits) => parseFloat(getComputedStyle(digits).fontSize)));
    assert.ok(sizes[0] >= 60 && sizes[1] >= 24, `${sizes} pixels`);
    await until('the mark is gone', async () => (await page.locator('.fresh').count()) === 0);
  });

  test('one click copies the code that signs in, and shows that it did', async () => {
    const token = await server.login('ada@example.com');
    const page = await inbox();
    const button = page.locator('.code');
    assert.match(await button.innerText(), /Copy/);
    await button.click();
    await page.locator('.code.copied').waitFor();
    assert.match(await button.innerText(), /Copied/);
    assert.equal(await announcement(page), 'Copied.');
    const { success } = await server.emailCode(token, await clipboard(page));
    assert.equal(success.token.split('.').length, 3);
    await until('the button can be used again', async () => /Copy\b/.test(await button.innerText()));
  });

  test('the keyboard reaches the code, shows where it is, and copies', async () => {
    await server.login('ada@example.com');
    const page = await inbox();
    await page.locator('#recipient').focus();
    await page.keyboard.press('Tab'); // the button that empties
    await page.keyboard.press('Tab');
    const focused = page.locator('.code:focus-visible');
    assert.equal(await focused.evaluate((button) => getComputedStyle(button).outlineStyle), 'solid');
    await page.keyboard.press('Enter');
    await page.locator('.code.copied:focus').waitFor();
    assert.equal(await clipboard(page), (await server.messages())[0].code);
  });

  test('without a clipboard, as on plain HTTP under a name, it copies all the same', async () => {
    await server.login('ada@example.com');
    const prepare = (page) => page.addInitScript(() => Object.defineProperty(navigator, 'clipboard', { value: undefined }));
    const page = await inbox({ prepare });
    await page.locator('.code').click();
    await page.locator('.code.copied:focus').waitFor();
    await page.locator('#recipient').press('Control+V');
    assert.equal(await page.locator('#recipient').inputValue(), (await server.messages())[0].code);
  });

  test('the filter keeps one recipient, and is part of the address', async () => {
    for (const to of ['ada@example.com', 'grace@example.com', 'ada@example.com']) await server.login(to);
    const page = await inbox();
    assert.equal(await cards(page).count(), 3);
    await filter(page).fill('GRACE');
    assert.deepEqual(await page.locator('.to:visible').allTextContents(), ['grace@example.com']);
    assert.equal(await page.locator('#count').textContent(), '1 of 3 messages');
    assert.equal(new URL(page.url()).searchParams.get('to'), 'GRACE');

    await server.login('ada@example.com');
    await until('the count grows', async () => (await page.locator('#count').textContent()) === '1 of 4 messages');
    assert.equal(await announcement(page), '', 'what is filtered out is not announced');

    await filter(page).fill('nobody');
    await page.getByRole('button', { name: 'Show everybody’s mail' }).click();
    assert.equal(await cards(page).count(), 4);
    await page.getByRole('button', { name: 'ada@example.com', exact: true }).first().click();
    assert.equal(await cards(page).count(), 3);
    await page.reload();
    await until('the filter is back', async () => (await cards(page).count()) === 3);
  });

  test('an opened mail shows both parts as sent, and news leave it and a selection alone', async () => {
    await server.login('ada@example.com');
    const page = await inbox();
    await page.locator('summary').click();
    const [message] = await server.messages();
    await until('the text is shown', async () => (await page.locator('pre').textContent()) === message.text);
    const frame = page.locator('iframe');
    assert.equal(await frame.getAttribute('sandbox'), '');
    assert.equal(await frame.getAttribute('srcdoc'), message.html);
    const mail = page.frameLocator('iframe');
    await mail.getByText(message.code).waitFor();
    assert.equal(await mail.locator('main').evaluate((main) => getComputedStyle(main).maxWidth), '480px', 'inline styles apply');

    await frame.evaluate((frame) => {
      frame.isSameFrame = true;
      frame.addEventListener('load', () => { frame.isSameFrame = false; });
      getSelection().selectAllChildren(document.querySelector('pre'));
    });
    await server.login('grace@example.com');
    await until('the new message is shown', async () => (await cards(page).count()) === 2);
    assert.equal(await page.locator('.message').nth(1).locator('details').evaluate((details) => details.open), true);
    assert.equal(await frame.evaluate((frame) => frame.isSameFrame), true);
    assert.equal((await page.evaluate(() => String(getSelection()))).trim(), message.text.trim());
  });

  test('what a mail contains stays harmless', async (t) => {
    // What counts is what arrives elsewhere. The browser also lists requests that it then blocks, and for a frame within the
    // mail it opens a connection before it looks at the policy; but it sends nothing on it.
    const arrived = [];
    const elsewhere = createServer((request, response) => {
      arrived.push(request.url);
      response.end();
    });
    elsewhere.listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    t.after(() => {
      elsewhere.closeAllConnections();
      elsewhere.close();
    });
    const origin = `http://127.0.0.1:${elsewhere.address().port}`;
    await (await fetch(`${origin}/control`)).text();

    await server.login('ada@example.com');
    const attack = `<img src="${origin}/image" onerror="top.isHurt = true">`;
    const html = `<script>top.isHurt = true</script><script src="${origin}/script"></script>${attack}
      <link rel="stylesheet" href="${origin}/style"><style>p { background: url(${origin}/background) }</style>
      <iframe src="${origin}/frame"></iframe><form action="${origin}/form"><button>press</button></form>
      <a href="${origin}/link">follow</a><p>the end</p>`;
    const hostile = (message) => ({ ...message, subject: attack, to: attack, html, link: 'javascript:alert(1)' });
    const page = await inbox({ prepare: (page) => altered(page, (messages) => messages.map(hostile)) });
    await page.locator('summary').click();
    const mail = page.frameLocator('iframe');
    await mail.getByText('the end').waitFor();
    await mail.getByRole('button').click();
    await mail.getByRole('link').click();
    await sleep(500);
    assert.equal(await page.locator('.subject').textContent(), attack);
    assert.equal(await page.locator('.link').isVisible(), false);
    assert.equal(await page.evaluate(() => globalThis.isHurt), undefined);
    assert.deepEqual(arrived, ['/control']);
    assert.ok(complaints.length > 0, 'the browser says what it has refused');
    complaints = [];
  });

  test('a message whose code was replaced says so, also while one looks', async () => {
    await server.login('ada@example.com');
    await server.login('grace@example.com');
    let isReplaced = false;
    const replace = (message) => (isReplaced || message.to.startsWith('ada') ? { ...message, code: null } : message);
    const page = await inbox({ prepare: (page) => altered(page, (messages) => messages.map(replace)) });
    const [newest, older] = await cards(page).all();
    assert.match(await older.innerText(), /replaced/);
    assert.equal(await older.locator('.code').isVisible(), false);
    assert.equal(await newest.locator('.replaced').isVisible(), false);
    isReplaced = true;
    await newest.locator('.replaced').waitFor();
    assert.equal(await newest.locator('.code').isVisible(), false);
    assert.match(await page.title(), /^\(2\) /);
    assert.equal(await page.locator('.fresh').count(), 0);
  });

  test('one button empties the inbox', async () => {
    await server.login('ada@example.com');
    const page = await inbox();
    const button = page.getByRole('button', { name: 'Empty inbox' });
    await button.click();
    await page.getByRole('heading', { name: 'No mail yet' }).waitFor();
    assert.deepEqual(await server.messages(), []);
    assert.equal(await cards(page).count(), 0);
    assert.equal(await button.getAttribute('aria-disabled'), 'true');
    assert.equal(await page.title(), 'Inbox · countersign');
    await server.login('grace@example.com');
    await until('the next message is shown', async () => (await cards(page).count()) === 1);
  });

  test('the age of a message goes on by itself', async () => {
    await server.login('ada@example.com');
    const page = await inbox();
    const age = await page.locator('time').textContent();
    await until('it is older', async () => {
      const older = await page.locator('time').textContent();
      return older !== age && /^\d+ s ago$/.test(older);
    });
  });

  test('it asks once a second, and not at all while nobody looks', async () => {
    const page = await inbox();
    const times = await until('it has asked four times', async () => {
      const times = await askedAt(page);
      return times.length >= 4 && times;
    });
    const pauses = times.slice(1).map((time, index) => time - times[index]);
    assert.ok(pauses.every((pause) => pause > 900), `${pauses} ms from one to the next`);
    const look = (isHidden) => page.evaluate((isHidden) => {
      const now = performance.now();
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden });
      document.dispatchEvent(new Event('visibilitychange'));
      return now;
    }, isHidden);
    const hiddenAt = await look(true);
    await sleep(2500);
    assert.deepEqual((await askedAt(page)).filter((time) => time >= hiddenAt), []);
    await server.login('ada@example.com');
    await look(false);
    await cards(page).waitFor();
  });

  test('a tab opened in the background asks once', async () => {
    const prepare = (page) => page.addInitScript(() => Object.defineProperty(document, 'hidden', { get: () => true }));
    const page = await inbox({ prepare });
    await sleep(2500);
    assert.equal((await askedAt(page)).length, 1);
  });

  test('it says that the server is gone, and goes on when it is back', async () => {
    await server.login('ada@example.com');
    const page = await inbox();
    await server.kill();
    await page.getByRole('alert').filter({ hasText: 'cannot be reached' }).waitFor();
    assert.equal(await page.locator('#connection').innerText(), 'Not reachable');
    assert.equal(await cards(page).count(), 1, 'what it has it keeps');
    assert.deepEqual(await violations(page), []);
    await server.restart();
    await page.locator('#connection[data-state=live]').waitFor();
    assert.equal(await page.getByRole('alert').isVisible(), false);
    await server.login('grace@example.com');
    await until('the next message is shown', async () => (await cards(page).count()) === 2);
    assert.ok(complaints.every((text) => /net::ERR_/.test(text)), complaints.join('\n'));
    complaints = [];
  });

  test('a thousand messages do not hold it up', async () => {
    await server.login('ada@example.com');
    const many = ([message]) => Array.from({ length: 1000 }, (_, index) => ({ ...message, id: `${message.id}-${index}`, to: `user${index % 50}@example.com` }));
    const page = await inbox({ prepare: (page) => altered(page, many) });
    assert.equal(await page.locator('#count').textContent(), '1000 messages');
    const began = Date.now();
    await filter(page).fill('user7@');
    assert.equal(await cards(page).count(), 20);
    assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
  });

  test('who wants no motion sees none', async () => {
    const page = await inbox({ reducedMotion: 'reduce' });
    await server.login('ada@example.com');
    await page.locator('.fresh').waitFor();
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  });

  for (const colorScheme of ['light', 'dark']) {
    for (const [width, viewport] of [['wide', WIDE], ['on a phone', PHONE]]) {
      test(`axe finds nothing: ${colorScheme}, ${width}`, async () => {
        const page = await inbox({
          colorScheme,
          viewport,
          reducedMotion: 'reduce', // colours in transition have no contrast to speak of
          prepare: (page) => altered(page, (messages) => messages.map((message) => ({ ...message, code: message.to.startsWith('gone') ? null : message.code }))),
        });
        const fits = async () => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is cut off');
        assert.deepEqual(await violations(page), [], 'empty');
        await fits();
        const long = `${'long.'.repeat(11)}name@department.university.example.com`;
        for (const to of ['gone@example.com', long, 'ada@example.com']) await server.login(to);
        await page.locator('.fresh').first().waitFor();
        assert.deepEqual(await violations(page), [], 'new messages');
        await page.locator('summary').first().click();
        await page.locator('.code').first().click();
        await page.locator('.copied').waitFor();
        assert.deepEqual(await violations(page), [], 'opened and copied');
        await fits();
        await filter(page).fill('nobody');
        assert.deepEqual(await violations(page), [], 'filtered away');
      });
    }
  }
});
