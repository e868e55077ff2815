// The server that `run` started: where it is, and what it mailed.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';

/** What is changed in each client, and all that is changed. */
export const baseUrl = process.env.COUNTERSIGN_ORIGIN;

/** The project that `countersign dev` comes with. */
export const projectId = process.env.COUNTERSIGN_PROJECT;

assert.ok(baseUrl && projectId, 'COUNTERSIGN_ORIGIN and COUNTERSIGN_PROJECT are set by ./run');

/** The lives that Descope documents for a new project, in seconds. */
export const SESSION_LIFE = 600;
export const REFRESH_LIFE = 2_419_200;

/** Wrong guesses that end a flow. */
export const GUESSES = 5;

/** An address that nobody has had. */
export function newAddress(name = 'ada') {
  return `${name}.${randomInt(2 ** 47).toString(36)}@example.com`;
}

/** The code of the newest mail to `address`. */
export async function mailedCode(address) {
  const response = await fetch(`${baseUrl}/dev/messages?to=${encodeURIComponent(address)}`);
  assert.equal(response.status, 200);
  const [newest] = await response.json();
  assert.ok(newest, `a mail went to ${address}`);
  assert.match(newest.code, /^[0-9]{6}$/);
  return newest.code;
}

/** How many mails went to `address`. */
export async function mailsTo(address) {
  const response = await fetch(`${baseUrl}/dev/messages?to=${encodeURIComponent(address)}`);
  return (await response.json()).length;
}

/** A code that is not `code`, `step` telling them apart. */
export function wrong(code, step = 1) {
  return String((Number(code) + step) % 1_000_000).padStart(6, '0');
}

/** The claims of a JWT, unverified. */
export function claims(jwt) {
  return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
}

/** `jwt` with its signature spoilt. */
export function forged(jwt) {
  const [header, payload, signature] = jwt.split('.');
  return [header, payload, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)].join('.');
}
