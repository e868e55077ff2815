// The documented way of asking: JSON, ids in the body; the published request to the byte but for id and code.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { KNOWN, mailedCode, newAddress, production, staging, wrong } from './server.mjs';

const PATH = '/auth/attempt-verification';

/** What carries a session, in each mode. */
const carriers = {
  staging: {
    server: staging,
    send: (token) => (token ? { 'x-development-session': token } : {}),
    take: (response) => response.headers.get('x-development-session'),
  },
  production: {
    server: production,
    send: (token) => (token ? { cookie: `__session=${token}` } : {}),
    take: (response) => response.headers.getSetCookie()[0]?.match(/^__session=([^;]+)/)?.[1],
  },
};

for (const [mode, { server, send, take }] of Object.entries(carriers)) {
  /** Somebody who asks with JSON. */
  function caller() {
    let token;
    const ask = async (path, text) => {
      const headers = { 'Content-Type': 'application/json', ...send(token) };
      const response = await fetch(server.origin + path, { method: 'POST', headers, body: text });
      token = take(response) ?? token;
      return { response, envelope: await response.json() };
    };
    return { ask, post: (path, body) => ask(path, JSON.stringify(body)) };
  }

  async function opened(how, address, { post }) {
    const { envelope } = await post(`/auth/${how}`, { strategy: 'email_otp', email: address });
    const { id } = envelope.data[`${how}_attempts`].at(-1);
    const named = { [`${how}_attempt_id`]: id };
    const { response } = await post('/auth/prepare-verification', { ...named, method: 'email' });
    assert.equal(response.status, 200);
    return { id, named, code: await mailedCode(server, address) };
  }

  describe(`the documented requests, in ${mode}`, () => {
    test('the published request gets the published envelope', async () => {
      let address = KNOWN;
      if (mode === 'staging') {
        address = newAddress();
        const first = caller();
        const { named, code } = await opened('signup', address, first);
        assert.equal((await first.post(PATH, { ...named, code })).response.status, 200);
      }
      const { ask, post } = caller();
      const { id, code } = await opened('signin', address, { post });
      const published = `{
"signin_attempt_id": "123456789",
"code": "123456"
}`;
      const request = published.replace('123456789', id).replace('"123456"', JSON.stringify(code));
      const { response, envelope } = await ask(PATH, request);
      assert.equal(response.status, 200);
      assert.match(response.headers.get('content-type'), /^application\/json/);
      assert.deepEqual([envelope.status, envelope.message, envelope.errors], [200, '', []]);
      assert.deepEqual(envelope.data, envelope.session);
      const { signin_attempts: [attempt], signins: [signin], signup_attempts: ups, active_signin: active } = envelope.data;
      assert.deepEqual([attempt.id, attempt.method, attempt.completed], [id, 'email_otp', true]);
      assert.deepEqual(ups, []);
      assert.deepEqual(active, signin);
      for (const text of [signin.id, signin.user_id, attempt.id]) assert.match(text, /^[1-9][0-9]*$/);
      for (const time of [signin.created_at, attempt.created_at]) assert.match(time, /^[0-9-]{10}T[0-9:]{8}Z$/);
    });

    test('each thing that can be wrong has its code', async () => {
      const { post } = caller();
      const { named, code } = await opened('signup', newAddress(), { post });
      const refusals = [
        [{ ...named, code: wrong(code) }, 'INVALID_CODE'],
        [{ ...named, code: '' }, 'CODE_REQUIRED'],
        [named, 'CODE_REQUIRED'],
        [{ code }, 'INVALID_ATTEMPT'],
        [{ signup_attempt_id: '123456789', code }, 'INVALID_ATTEMPT'],
        [{ signin_attempt_id: named.signup_attempt_id, code }, 'INVALID_ATTEMPT'],
        [{ ...named, signin_attempt_id: '1', code }, 'INVALID_ATTEMPT'],
        [{ ...named, code: [code] }, 'BAD_REQUEST_BODY'],
      ];
      for (const [body, expected] of refusals) {
        const { response, envelope } = await post(PATH, body);
        assert.deepEqual([response.status, envelope.status, envelope.errors[0].code], [400, 400, expected]);
        assert.equal(envelope.data, null);
        assert.equal(envelope.session.signup_attempts.at(-1).completed, false);
      }
      const { envelope } = await post(PATH, { ...named, code });
      assert.equal(envelope.data.signup_attempts.at(-1).completed, true);
    });

    test('a cookie has the attributes it must have, and staging has none', async () => {
      const response = await fetch(`${server.origin}/session`);
      const cookies = response.headers.getSetCookie();
      if (mode === 'staging') {
        assert.deepEqual(cookies, []);
        return;
      }
      assert.equal(cookies.length, 1);
      const [, ...attributes] = cookies[0].split('; ');
      assert.equal(response.headers.get('x-development-session'), null);
      const names = attributes.map((attribute) => attribute.split('=')[0]);
      // On loopback, in clear: no `Secure`, no `Domain`.
      assert.deepEqual(names, ['Path', 'Expires', 'Max-Age', 'HttpOnly', 'SameSite']);
    });
  });
}
