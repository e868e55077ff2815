// @wacht/backend, as a server behind a page uses it: a session becomes a JWT, and the JWT somebody.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { WachtAuthError, authenticateRequest, exchangeSessionForAuthToken, getAuth, verifyAuthToken } from '@wacht/backend';

import { Kit } from './kit.mjs';
import { jar, mailedCode, newAddress, production, staging } from './server.mjs';

for (const [mode, server] of Object.entries({ staging, production })) {
  const options = { publishableKey: server.publishableKey };
  const exchange = (token) => exchangeSessionForAuthToken(token, options, mode === 'staging', { forwardedFor: '192.0.2.7, 10.0.0.1' });

  /** Somebody who is signed in: his kit, his session, and the token a page hands to its server. */
  async function visitor() {
    const fetch = jar();
    const kit = new Kit(server.publishableKey, { fetch });
    const address = newAddress();
    const attempt = await kit.signUp(address);
    await kit.prepare(attempt);
    const session = await kit.verify(attempt, await mailedCode(server, address));
    const token = () => (mode === 'staging' ? kit.developmentSession : fetch.kept.get('__session'));
    return { kit, session, token };
  }

  const bearing = (token) => new Request('https://app.example.com/', { headers: { authorization: `Bearer ${token}` } });

  describe(`@wacht/backend, in ${mode}`, () => {
    test('exchanges a session for a JWT and knows who it is', async () => {
      const { session, token } = await visitor();
      const exchanged = await exchange(token());
      assert.ok(exchanged.authToken);
      const left = exchanged.authTokenExpiresAt - Date.now();
      assert.ok(left > 30_000 && left <= 60_000, String(left));
      // The session is fresh, and its token stays.
      assert.deepEqual([exchanged.nextDevSession, exchanged.upstreamSessionSetCookie], [null, null]);

      const claims = await verifyAuthToken(exchanged.authToken, options);
      assert.equal(claims.iss, server.origin);
      assert.equal(claims.sub, session.active_signin.user_id);
      const auth = await getAuth(bearing(exchanged.authToken), options);
      assert.deepEqual([auth.userId, auth.sessionId], [session.active_signin.user_id, session.id]);
      assert.deepEqual([auth.organizationId, auth.organizationPermissions], [null, []]);
      await auth.protect();
      assert.equal(auth.has({ permission: 'admin' }), false);
      const { headers } = await authenticateRequest(bearing(exchanged.authToken), options);
      assert.equal(JSON.parse(headers.get('x-wacht-auth')).userId, session.active_signin.user_id);
    });

    test('gets nothing for nobody, for what is no session, and after the sign-out', async () => {
      const anonymous = jar();
      const kit = new Kit(server.publishableKey, { fetch: anonymous });
      await kit.deployment();
      const own = mode === 'staging' ? kit.developmentSession : anonymous.kept.get('__session');
      for (const token of [own, 'nonsense', 'a.b.c']) assert.equal((await exchange(token)).authToken, null);
      const renewed = await exchange('nonsense');
      if (mode === 'production') assert.match(renewed.upstreamSessionSetCookie, /^__session=[\w-]+; Path=\/;/);

      const { kit: signedIn, token } = await visitor();
      const before = token();
      assert.ok((await exchange(before)).authToken);
      await signedIn.signOut();
      for (const ended of [before, token()]) assert.equal((await exchange(ended)).authToken, null);
    });

    test('does not take a token that was altered, or another server signed', async () => {
      const { token } = await visitor();
      const { authToken } = await exchange(token());
      const [header, payload, signature] = authToken.split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url'));
      const other = Buffer.from(JSON.stringify({ ...claims, sub: '1' })).toString('base64url');
      const forged = signature[0] === 'A' ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
      for (const bad of [`${header}.${other}.${signature}`, `${header}.${payload}.${forged}`, `${header}.${payload}.`]) {
        assert.equal(await verifyAuthToken(bad, options), null);
        const auth = await getAuth(bearing(bad), options);
        assert.equal(auth.userId, null);
        await assert.rejects(auth.protect(), (error) => error instanceof WachtAuthError && error.status === 401);
      }
      const elsewhere = mode === 'staging' ? production : staging;
      assert.equal(await verifyAuthToken(authToken, { publishableKey: elsewhere.publishableKey }), null);
    });
  });
}
