// Plain HTML forms in a browser with JavaScript off. The pages are the test's: they fetch a flow with the browser's cookies, as a server
// that renders pages does, and show its nodes and messages as they are. Everything else is between the browser and the server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';

import { chromium } from 'playwright-core';

import { GUESSES, adminUrl, baseUrl, mailedCode, mailsTo, newAddress, wrong } from './server.mjs';

const pagesUrl = process.env.COUNTERSIGN_PAGES;
let pages;
let browser;
let context;
let page;

/** What HTML makes of text. */
function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function paragraph({ id, text, type }) {
  return `<p class="${escape(type)}" data-message="${escape(id)}">${escape(text)}</p>`;
}

/** A node as HTML: every attribute that a form knows, and nothing else. */
function element({ type, attributes, messages, meta }) {
  const label = escape(meta.label?.text ?? '');
  const said = messages.map(paragraph).join('');
  if (type === 'a') return `<a id="${escape(attributes.id)}" href="${escape(attributes.href)}">${label}</a>${said}`;
  const given = ['name', 'type', 'value', 'autocomplete']
    .filter((name) => attributes[name] !== undefined)
    .map((name) => `${name}="${escape(attributes[name])}"`);
  // A button that asks for something else must work while the field for the code is empty.
  const isOther = attributes.type === 'submit' && attributes.name !== 'method';
  const flags = [attributes.required && 'required', attributes.disabled && 'disabled', isOther && 'formnovalidate'];
  const all = [...given, ...flags.filter(Boolean)].join(' ');
  if (attributes.type === 'submit') return `<button ${all}>${label}</button>${said}`;
  return `<label>${label} <input ${all}></label>${said}`;
}

function document({ id, state, ui }) {
  const form = `<form action="${escape(ui.action)}" method="${escape(ui.method)}">${ui.nodes.map(element).join('\n')}</form>`;
  const said = (ui.messages ?? []).map(paragraph).join('');
  return `<!doctype html><html lang="en"><title>${escape(state)}</title><body data-flow="${escape(id)}">${said}${form}</body></html>`;
}

/** Shows the flow that the address names, or begins one. */
async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, pagesUrl);
  const kind = pathname.slice(1);
  if (!['login', 'registration', 'verification'].includes(kind)) {
    return response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><title>${escape(kind || 'home')}</title>`);
  }
  const url = `${baseUrl}/self-service/${kind}/flows?id=${encodeURIComponent(searchParams.get('flow') ?? '')}`;
  const flow = await fetch(url, { headers: { accept: 'application/json', cookie: request.headers.cookie ?? '' } });
  if (!flow.ok) {
    return response.writeHead(303, { location: `${baseUrl}/self-service/${kind}/browser` }).end();
  }
  return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(document(await flow.json()));
}

before(async () => {
  pages = createServer((request, response) => {
    answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
  });
  pages.listen(Number(new URL(pagesUrl).port), '127.0.0.1');
  await once(pages, 'listening');
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
  pages?.closeAllConnections();
  pages?.close();
});

beforeEach(async () => {
  await context?.close();
  context = await browser.newContext({ javaScriptEnabled: false });
  page = await context.newPage();
  page.setDefaultTimeout(10_000);
});

async function newPerson(email) {
  const response = await fetch(`${adminUrl}/admin/identities`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ schema_id: 'person', traits: { email } }),
  });
  assert.equal(response.status, 201);
  const { id } = await response.json();
  return async () => {
    const identity = await (await fetch(`${adminUrl}/admin/identities/${id}`)).json();
    return identity.verifiable_addresses[0];
  };
}

/** What is said, by its numbers, in the order in which it is read. */
async function said() {
  const paragraphs = await page.locator('[data-message]').all();
  return Promise.all(paragraphs.map(async (it) => Number(await it.getAttribute('data-message'))));
}

/** The page must be one of ours, and of this state. */
async function shows(kind, state, ...numbers) {
  assert.ok(page.url().startsWith(`${pagesUrl}/${kind}?`), page.url());
  assert.equal(await page.title(), state);
  assert.deepEqual(await said(), numbers);
}

function flowId() {
  return page.locator('body').getAttribute('data-flow');
}

async function begin(kind, query = '') {
  await page.goto(`${baseUrl}/self-service/${kind}/browser${query}`);
}

async function enter(name, value) {
  await page.locator(`input[name="${name}"]`).fill(value);
}

/** Presses a button and waits for the page it leads to. */
async function press(name, value = '') {
  const button = value ? `button[name="${name}"][value="${value}"]` : `button[name="${name}"]`;
  await Promise.all([page.waitForNavigation(), page.locator(button).click()]);
}

async function send(email) {
  await begin('verification');
  await enter('email', email);
  await press('method');
  await shows('verification', 'sent_email', 1080003);
}

async function submit(code) {
  await enter('code', code);
  await press('method');
}

describe('verification', () => {
  test('wrong, then right, then on to where it was to go', async () => {
    const email = newAddress();
    const address = await newPerson(email);
    await begin('verification', `?return_to=${encodeURIComponent(`${pagesUrl}/welcome`)}`);
    await shows('verification', 'choose_method');
    await enter('email', email);
    await press('method');
    await shows('verification', 'sent_email', 1080003);
    assert.equal((await address()).status, 'sent');
    const code = await mailedCode(email);
    await submit(wrong(code));
    await shows('verification', 'sent_email', 4070006);
    await submit(code);
    await shows('verification', 'passed_challenge', 1080002);
    const proved = await address();
    assert.deepEqual([proved.verified, proved.status], [true, 'completed']);
    await Promise.all([page.waitForNavigation(), page.locator('#continue').click()]);
    assert.equal(page.url(), `${pagesUrl}/welcome`);
  });

  test('asked again: the old code is dead and the new one passes', async () => {
    const email = newAddress();
    await newPerson(email);
    await send(email);
    const first = await mailedCode(email);
    await press('email', email);
    await shows('verification', 'sent_email', 1080003);
    assert.equal((await mailsTo(email)).length, 2);
    const second = await mailedCode(email);
    await submit(first);
    await shows('verification', 'sent_email', 4070006);
    await submit(second);
    await shows('verification', 'passed_challenge', 1080002);
  });

  test('one guess too many leads to a new flow, and so does a page that was left open when another passed it', async () => {
    const email = newAddress();
    await newPerson(email);
    await send(email);
    const code = await mailedCode(email);
    const first = await flowId();
    for (let guess = 1; guess <= GUESSES; guess += 1) {
      await submit(wrong(code, guess));
      await shows('verification', 'sent_email', 4070006);
    }
    await submit(code);
    await shows('verification', 'choose_method', 4000001);
    assert.notEqual(await flowId(), first);

    await enter('email', email);
    await press('method');
    const second = await mailedCode(email);
    const left = await context.newPage();
    await left.goto(page.url());
    await submit(second);
    await shows('verification', 'passed_challenge', 1080002);
    page = left;
    await submit(second);
    await shows('verification', 'choose_method', 4070002);
  });

  test('the mailed link fills the code in, and takes nothing', async () => {
    const email = newAddress();
    const address = await newPerson(email);
    await send(email);
    const code = await mailedCode(email);
    const link = `${baseUrl}/self-service/verification?flow=${await flowId()}&code=${code}`;
    await page.goto(link);
    await shows('verification', 'sent_email', 1080003);
    assert.equal(await page.locator('input[name="code"]').inputValue(), code);
    assert.equal((await address()).verified, false);
    await press('method');
    await shows('verification', 'passed_challenge', 1080002);
  });

  test('a form of another page is refused', async () => {
    const email = newAddress();
    await newPerson(email);
    await begin('verification');
    const action = await page.locator('form').getAttribute('action');
    await context.clearCookies();
    await enter('email', email);
    await press('method');
    assert.ok(page.url().startsWith(`${pagesUrl}/error?id=`), page.url());
    const { searchParams } = new URL(page.url());
    const told = await fetch(`${baseUrl}/self-service/errors?id=${searchParams.get('id')}`);
    assert.equal((await told.json()).error.id, 'security_csrf_violation');
    assert.deepEqual(await mailsTo(email), []);
    assert.ok(action.startsWith(`${baseUrl}/self-service/verification?flow=`), action);
  });
});

describe('registration and login', () => {
  test('registers in two steps, signs in, and out', async () => {
    const email = newAddress();
    await begin('registration');
    await shows('registration', 'choose_method');
    await enter('traits.email', email);
    await press('method', 'profile');
    await shows('registration', 'choose_method', 1040009);
    await press('method', 'code');
    await shows('registration', 'sent_email', 1040005);
    const code = await mailedCode(email);
    await submit(wrong(code));
    await shows('registration', 'sent_email', 4040003);
    await submit(code);
    assert.equal(page.url(), `${pagesUrl}/`);

    await begin('login');
    await enter('identifier', email);
    await press('method');
    await shows('login', 'sent_email', 1010014);
    await enter('code', await mailedCode(email));
    await press('method');
    assert.equal(page.url(), `${pagesUrl}/`);
    await begin('login');
    assert.equal(page.url(), `${pagesUrl}/`, 'who is signed in is sent home');

    const cookies = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');
    const headers = { accept: 'application/json', cookie: cookies };
    const session = await (await fetch(`${baseUrl}/sessions/whoami`, { headers })).json();
    assert.equal(session.identity.traits.email, email);
    const logout = await (await fetch(`${baseUrl}/self-service/logout/browser`, { headers })).json();
    await page.goto(logout.logout_url);
    assert.equal(page.url(), `${pagesUrl}/bye`);
    assert.equal((await fetch(`${baseUrl}/sessions/whoami`, { headers })).status, 401);
  });
});
