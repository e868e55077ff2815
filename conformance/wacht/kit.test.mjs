// The kit's way of asking, from Node: a form for every post, attempts in the query, in both modes.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Kit, KitError } from './kit.mjs';
import { jar, mailedCode, newAddress, production, staging, wrong } from './server.mjs';

async function refused(status, code, promise) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof KitError, error);
    assert.deepEqual([error.status, error.code], [status, code]);
    assert.ok(error.message.length > 0);
    return true;
  });
}

for (const [mode, server] of Object.entries({ staging, production })) {
  const newKit = () => new Kit(server.publishableKey, { fetch: jar() });

  /** Signs somebody up, and gives his session. */
  async function signedUp(kit, address) {
    const attempt = await kit.signUp(address, { first_name: 'Ada' });
    await kit.prepare(attempt);
    return kit.verify(attempt, await mailedCode(server, address));
  }

  describe(`the kit, in ${mode}`, () => {
    test('finds the deployment first, and a session with it', async () => {
      const kit = newKit();
      const deployment = await kit.deployment();
      assert.equal(deployment.mode, mode);
      assert.equal(deployment.auth_settings.first_factor, 'email_otp');
      assert.deepEqual(deployment.social_connections.filter(({ enabled }) => enabled), []);
      const first = await kit.session();
      assert.equal((await kit.session()).id, first.id);
      assert.equal(first.active_signin, null);
    });

    test('signs up, reads the session, and signs out', async () => {
      const kit = newKit();
      const address = newAddress();
      await kit.deployment();
      const attempt = await kit.signUp(address, { first_name: 'Ada', last_name: 'King' });
      assert.equal(attempt.current_step, 'verify_email');
      const prepared = await kit.prepare(attempt);
      assert.equal(prepared.otp_sent, true);
      await kit.prepare(attempt);
      const code = await mailedCode(server, address);
      assert.equal((await server.mails(address)).length, 1, 'an effect that ran twice mails once');
      await refused(400, 'INVALID_CODE', kit.verify(attempt, wrong(code)));
      const session = await kit.verify(attempt, code);
      const done = session.signup_attempts.at(-1);
      assert.deepEqual([done.id, done.completed], [attempt.id, true]);
      assert.equal(session.active_signin.user.primary_email_address.email, address);
      assert.deepEqual([session.active_signin.user.first_name, session.active_signin.user.last_name], ['Ada', 'King']);
      assert.equal((await kit.session()).active_signin.id, session.active_signin.id);
      assert.equal((await kit.me()).id, session.active_signin.user_id);
      await refused(400, 'INVALID_ATTEMPT', kit.verify(attempt, code));
      await kit.signOut();
      assert.equal((await kit.session()).active_signin, null);
      await refused(401, 'NOT_AUTHENTICATED', kit.me());
    });

    test('signs two people in at one browser, switches, and signs one out', async () => {
      const [first, second] = [newAddress('first'), newAddress('second')];
      const kit = newKit();
      const one = (await signedUp(kit, first)).active_signin;
      const both = await signedUp(kit, second);
      assert.equal(both.signins.length, 2);
      assert.ok(both.signins.every(({ user }) => user.user_email_addresses.length === 1));
      assert.equal((await kit.switchSignIn(one.id)).active_signin.id, one.id);
      const left = await kit.signOut(one.id);
      assert.deepEqual(left.signins.map(({ user }) => user.primary_email_address.email), [second]);
      await refused(400, 'INVALID_SIGNIN', kit.signOut(one.id));
    });

    test('is told the same about an address that nobody has', async () => {
      const [known, unknown] = [newAddress('known'), newAddress('nobody')];
      await signedUp(newKit(), known);
      const seen = [];
      for (const address of [known, unknown]) {
        const kit = newKit();
        const attempt = await kit.signIn(address);
        const { id, session_id, created_at, updated_at, expires_at, ...said } = attempt;
        assert.equal(said.email, address);
        seen.push({ ...said, email: '' });
        await refused(400, 'EXPIRED_CODE', kit.verify(attempt, '123456'));
      }
      assert.deepEqual(seen[0], seen[1]);
    });

    test('cannot use an attempt of another session', async () => {
      const address = newAddress();
      const [kit, thief] = [newKit(), newKit()];
      const attempt = await kit.signUp(address);
      await kit.prepare(attempt);
      const code = await mailedCode(server, address);
      await thief.deployment();
      await refused(400, 'INVALID_ATTEMPT', thief.verify(attempt, code));
      assert.ok((await kit.verify(attempt, code)).active_signin);
    });

    test('has five guesses', async () => {
      const address = newAddress();
      const kit = newKit();
      const attempt = await kit.signUp(address);
      await kit.prepare(attempt);
      const code = await mailedCode(server, address);
      for (let step = 1; step <= 5; step += 1) await refused(400, 'INVALID_CODE', kit.verify(attempt, wrong(code, step)));
      await refused(429, 'TOO_MANY_ATTEMPTS', kit.verify(attempt, code));
    });

    test('is told that text messages are not sent', async () => {
      const kit = newKit();
      await refused(400, 'VALIDATION_ERROR', kit.call('POST', '/auth/signin', { form: { strategy: 'phone_otp', phone: '+4930123456' } }));
    });
  });
}
