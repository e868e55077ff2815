// The server that `run` started, what it mailed, and a person who signs in on its pages with a browser that runs no scripts.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';

/** What a relying party is told of the server, and all that it is told. */
export const issuer = process.env.COUNTERSIGN_ORIGIN;

assert.ok(issuer, 'COUNTERSIGN_ORIGIN is set by ./run');

/** The clients that `countersign dev` comes with. */
export const PUBLIC = 'countersign-dev';
export const CONFIDENTIAL = 'countersign-dev-confidential';
export const SECRET = 'countersign-dev-secret';

/** An address that nobody has had. */
export function newAddress(name = 'ada') {
  return `${name}.${randomInt(2 ** 47).toString(36)}@example.com`;
}

/** The code of the newest mail to `address`. */
export async function mailedCode(address) {
  const response = await fetch(`${issuer}/dev/messages?to=${encodeURIComponent(address)}`);
  assert.equal(response.status, 200);
  const [newest] = await response.json();
  assert.ok(newest, `a mail went to ${address}`);
  assert.match(newest.code, /^[0-9]{6}$/);
  return newest.code;
}

/** Keeps cookies and follows redirects, as far as they stay with the server. */
export class Person {
  #cookies = new Map();

  constructor(address = newAddress()) {
    this.address = address;
  }

  /** Goes to `url`, signs in if a page asks, and comes back with the URL that the application is called at. */
  async goTo(url) {
    let page = await this.#visit(url);
    if (page.name === 'address') {
      page = await this.#send(page, '/sign-in', { email: this.address });
      assert.equal(page.name, 'code', page.text);
      page = await this.#send(page, '/sign-in/code', { code: await mailedCode(this.address) });
    }
    assert.ok(page.left, `expected to be sent to the application, but saw: ${page.text}`);
    return page.left;
  }

  /** Goes to `url` and says what is there. */
  async #visit(url, options = {}) {
    const headers = { ...options.headers, cookie: [...this.#cookies].map((pair) => pair.join('=')).join('; ') };
    const response = await fetch(url, { ...options, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      if (/max-age=0/i.test(line)) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    if (response.status === 303) {
      const next = new URL(response.headers.get('location'), url);
      return next.origin === issuer ? this.#visit(next) : { left: next };
    }
    const text = await response.text();
    const name = text.includes('name="email"') ? 'address' : text.includes('name="code"') ? 'code' : 'message';
    return { name, text };
  }

  async #send({ text }, path, typed) {
    const hidden = [...text.matchAll(/<input type="hidden" name="([a-z]+)" value="([^"]*)">/g)];
    const body = new URLSearchParams({ ...Object.fromEntries(hidden.map(([, name, value]) => [name, value])), ...typed });
    return this.#visit(issuer + path, { method: 'POST', body });
  }
}
