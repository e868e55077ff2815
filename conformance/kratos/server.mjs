// The server that `run` started: where it is, and what it mailed.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';

/** What is changed in each client, and all that is changed. */
export const baseUrl = process.env.COUNTERSIGN_ORIGIN;

/** The same of the operator's listener. */
export const adminUrl = process.env.COUNTERSIGN_ADMIN;

assert.ok(baseUrl && adminUrl, 'COUNTERSIGN_ORIGIN and COUNTERSIGN_ADMIN are set by ./run');

/** Submissions of a code that a flow takes. */
export const GUESSES = 5;

/** An address that nobody has had. */
export function newAddress(name = 'ada') {
  return `${name}.${randomInt(2 ** 47).toString(36)}@example.com`;
}

/** The mails to `address`, the newest first. */
export async function mailsTo(address) {
  const response = await fetch(`${baseUrl}/dev/messages?to=${encodeURIComponent(address)}`);
  assert.equal(response.status, 200);
  return response.json();
}

/** The code of the newest mail to `address`. */
export async function mailedCode(address) {
  const [newest] = await mailsTo(address);
  assert.ok(newest, `a mail went to ${address}`);
  assert.match(newest.code, /^[0-9]{6}$/);
  return newest.code;
}

/** A code that is not `code`, `step` telling them apart. */
export function wrong(code, step = 1) {
  return String((Number(code) + step) % 1_000_000).padStart(6, '0');
}

/** The ids of a flow's messages. */
export function messages(flow) {
  return (flow.ui.messages ?? []).map(({ id }) => id);
}

/** The value of a flow's node. */
export function value(flow, name) {
  return flow.ui.nodes.find(({ attributes }) => attributes.name === name)?.attributes.value;
}
