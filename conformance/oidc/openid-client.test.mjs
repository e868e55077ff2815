// npm's openid-client: a relying party that checks everything the standards let it check.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import * as oidc from 'openid-client';

import { CONFIDENTIAL, PUBLIC, Person, SECRET, issuer } from './server.mjs';

const CALLBACK = 'http://127.0.0.1:7357/callback';
const GOODBYE = 'http://127.0.0.1:7357/goodbye';
const SCOPE = 'openid email profile offline_access';
const options = { execute: [oidc.allowInsecureRequests] }; // the issuer of `dev` is plain http

const clients = {
  'a public client': () => oidc.discovery(new URL(issuer), PUBLIC, undefined, oidc.None(), options),
  'a client with a secret, Basic': () =>
    oidc.discovery(new URL(issuer), CONFIDENTIAL, SECRET, oidc.ClientSecretBasic(SECRET), options),
  'a client with a secret, in the form': () =>
    oidc.discovery(new URL(issuer), CONFIDENTIAL, SECRET, oidc.ClientSecretPost(SECRET), options),
};

/** Sends `person` to sign in; answers with where he comes back, and with what is needed to go on. */
async function authorized(config, person = new Person(), more = {}) {
  const verifier = oidc.randomPKCECodeVerifier();
  const [state, nonce] = [oidc.randomState(), oidc.randomNonce()];
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: CALLBACK,
    scope: SCOPE,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...more,
  });
  const came = await person.goTo(url);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
  return { came, checks, person };
}

/** `call` is refused with that OAuth error and status. */
async function refused(call, error, status = 400) {
  await assert.rejects(call, (thrown) => {
    assert.equal(thrown.error, error, thrown);
    assert.equal(thrown.status, status);
    return true;
  });
}

for (const [name, discover] of Object.entries(clients)) {
  describe(name, () => {
    let config;
    before(async () => {
      config = await discover();
    });

    test('signs somebody in, asks who it is, refreshes, and signs out', async () => {
      const { came, checks, person } = await authorized(config);
      assert.equal(came.searchParams.get('iss'), issuer);
      const tokens = await oidc.authorizationCodeGrant(config, came, checks);
      const claims = tokens.claims();
      assert.equal(tokens.token_type, 'bearer');
      assert.equal(tokens.scope, SCOPE);
      assert.deepEqual(claims.amr, ['otp']);
      assert.match(claims.sub, /^[0-9]+$/);

      const info = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
      assert.equal(info.email, person.address);
      assert.equal(info.email_verified, true);

      const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token);
      assert.notEqual(fresh.refresh_token, tokens.refresh_token);
      assert.equal(fresh.claims().sub, claims.sub);
      assert.equal(fresh.claims().auth_time, claims.auth_time);
      await oidc.fetchUserInfo(config, fresh.access_token, claims.sub);

      const goodbye = oidc.buildEndSessionUrl(config, {
        id_token_hint: fresh.id_token,
        post_logout_redirect_uri: GOODBYE,
        state: 'bye',
      });
      assert.equal(String(await person.goTo(goodbye)), `${GOODBYE}?state=bye`);
      await assert.rejects(oidc.fetchUserInfo(config, fresh.access_token, claims.sub), (thrown) => {
        assert.equal(thrown.status, 401);
        assert.equal(thrown.cause[0].parameters.error, 'invalid_token');
        return true;
      });
      await refused(oidc.refreshTokenGrant(config, fresh.refresh_token), 'invalid_grant');
      const again = await authorized(config, person, { prompt: 'none' });
      assert.equal(again.came.searchParams.get('error'), 'login_required');
    });

    test('a code is good once, and what it brought is taken back when it is brought again', async () => {
      const { came, checks } = await authorized(config);
      const tokens = await oidc.authorizationCodeGrant(config, came, checks);
      await refused(oidc.authorizationCodeGrant(config, came, checks), 'invalid_grant');
      await refused(oidc.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant');
    });

    test('a wrong verifier is refused, and the code with it', async () => {
      const { came, checks } = await authorized(config);
      const wrong = { ...checks, pkceCodeVerifier: oidc.randomPKCECodeVerifier() };
      await refused(oidc.authorizationCodeGrant(config, came, wrong), 'invalid_grant');
      await refused(oidc.authorizationCodeGrant(config, came, checks), 'invalid_grant');
    });

    test('a code belongs to where it was sent', async () => {
      const { came, checks } = await authorized(config);
      const elsewhere = new URL(came);
      elsewhere.pathname = '/elsewhere';
      await refused(oidc.authorizationCodeGrant(config, elsewhere, checks), 'invalid_grant');
    });

    test('what is given back is worth nothing', async () => {
      const { came, checks } = await authorized(config);
      const tokens = await oidc.authorizationCodeGrant(config, came, checks);
      await oidc.tokenRevocation(config, tokens.refresh_token);
      await refused(oidc.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant');
    });

    test('whoever is signed in is not asked again, unless the application wants it', async () => {
      const { came, checks, person } = await authorized(config);
      const first = await oidc.authorizationCodeGrant(config, came, checks);
      const silent = await authorized(config, person, { prompt: 'none' });
      const second = await oidc.authorizationCodeGrant(config, silent.came, silent.checks);
      assert.equal(second.claims().sub, first.claims().sub);
      assert.equal(second.claims().auth_time, first.claims().auth_time);
      const asked = await authorized(config, person, { max_age: '0' });
      const third = await oidc.authorizationCodeGrant(config, asked.came, { ...asked.checks, maxAge: 60 });
      assert.ok(third.claims().auth_time >= first.claims().auth_time);
    });
  });
}

describe('two clients', () => {
  let own;
  let foreign;
  before(async () => {
    own = await clients['a public client']();
    foreign = await clients['a client with a secret, Basic']();
  });

  test("one client's code is worth nothing to another, and then to nobody", async () => {
    const { came, checks } = await authorized(own);
    await refused(oidc.authorizationCodeGrant(foreign, came, checks), 'invalid_grant');
    await refused(oidc.authorizationCodeGrant(own, came, checks), 'invalid_grant');
  });

  test("one client's refresh token is worth nothing to another, who cannot give it back either", async () => {
    const { came, checks } = await authorized(own);
    const tokens = await oidc.authorizationCodeGrant(own, came, checks);
    await refused(oidc.refreshTokenGrant(foreign, tokens.refresh_token), 'invalid_grant');
    await refused(oidc.tokenRevocation(foreign, tokens.refresh_token), 'invalid_grant');
    await oidc.refreshTokenGrant(own, tokens.refresh_token);
  });

  test('a wrong secret is refused', async () => {
    const wrong = await oidc.discovery(new URL(issuer), CONFIDENTIAL, 'x', oidc.ClientSecretBasic('x'), options);
    await assert.rejects(oidc.refreshTokenGrant(wrong, 'x'), (thrown) => {
      assert.equal(thrown.status, 401);
      assert.equal(thrown.cause[0].scheme, 'basic');
      return true;
    });
  });

  test('parallel refreshes of one token, as of two tabs, keep the session', async () => {
    const { came, checks } = await authorized(own);
    const tokens = await oidc.authorizationCodeGrant(own, came, checks);
    const all = await Promise.all([1, 2, 3, 4].map(() => oidc.refreshTokenGrant(own, tokens.refresh_token)));
    for (const { refresh_token } of all) await oidc.refreshTokenGrant(own, refresh_token);
  });
});
