// @descope/node-sdk: every call of email codes, sessions and users that a backend makes.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import DescopeClient from '@descope/node-sdk';

import {
  GUESSES, REFRESH_LIFE, SESSION_LIFE, baseUrl, claims, forged, mailedCode, mailsTo, newAddress, projectId, wrong,
} from './server.mjs';

// It writes every refusal to the console, also those that are wanted here.
const logger = { log() {}, debug() {}, warn() {}, error() {} };
let descope;

before(() => {
  descope = DescopeClient({ projectId, baseUrl, logger });
});

/** Its answer must be a success. */
function good(response) {
  assert.ok(response.ok, `${response.code}: ${JSON.stringify(response.error)}`);
  assert.equal(response.code, 200);
  return response.data;
}

/** Its answer must be that refusal, whole. */
function refused(response, status, errorCode) {
  assert.equal(response.ok, false, `expected ${errorCode}, got ${JSON.stringify(response.data)}`);
  assert.equal(response.error.errorCode, errorCode);
  assert.equal(response.code, status);
  assert.equal(typeof response.error.errorDescription, 'string');
  assert.notEqual(response.error.errorDescription, '');
  assert.equal(typeof response.error.errorMessage, 'string');
  return response.error;
}

/** Sends were answered with a masked address: recognisable, and not the address. */
function masked(response, address) {
  const { maskedEmail } = good(response);
  assert.match(maskedEmail, /\*/);
  assert.ok(maskedEmail.startsWith(address[0]) && maskedEmail.endsWith('@example.com'), maskedEmail);
  assert.notEqual(maskedEmail, address);
}

/** Somebody new, signed up and signed in. */
async function signUp(address = newAddress(), user = undefined) {
  masked(await descope.otp.signUp.email(address, user), address);
  return good(await descope.otp.verify.email(address, await mailedCode(address)));
}

/** A further session of somebody known. */
async function signIn(address) {
  masked(await descope.otp.signIn.email(address), address);
  return good(await descope.otp.verify.email(address, await mailedCode(address)));
}

/** The refresh token to go on with: the new one where tokens rotate. */
function next(refreshed, refreshJwt) {
  return refreshed.refreshJwt || refreshJwt;
}

describe('sign-up, sign-in, and either', () => {
  test('a new user signs up', async () => {
    const address = newAddress();
    const data = await signUp(address, { name: 'Ada Lovelace' });
    assert.equal(data.firstSeen, true);
    assert.equal(data.user.email, address);
    assert.equal(data.user.verifiedEmail, true);
    assert.equal(data.user.status, 'enabled');
    assert.equal(data.user.name, 'Ada Lovelace');
    assert.deepEqual(data.user.loginIds, [address]);
    assert.match(data.user.userId, /^U[0-9A-Za-z]{27}$/);
  });

  test('an existing user signs in and is the same one', async () => {
    const address = newAddress();
    const first = await signUp(address);
    const second = await signIn(address);
    assert.equal(second.firstSeen, false);
    assert.equal(second.user.userId, first.user.userId);
    assert.equal(second.user.createdTime, first.user.createdTime);
    assert.notEqual(second.refreshJwt, first.refreshJwt);
  });

  test('sign-up of an existing user is E062107 and mails nothing', async () => {
    const address = newAddress();
    await signUp(address);
    const before = await mailsTo(address);
    refused(await descope.otp.signUp.email(address), 400, 'E062107');
    assert.equal(await mailsTo(address), before);
  });

  test('sign-up may be asked again until it is completed', async () => {
    const address = newAddress();
    masked(await descope.otp.signUp.email(address), address);
    assert.equal((await signUp(address)).firstSeen, true);
  });

  test('sign-in of an unknown user is E062108 and mails nothing', async () => {
    const address = newAddress();
    const error = refused(await descope.otp.signIn.email(address), 400, 'E062108');
    assert.match(`${error.errorDescription} ${error.errorMessage}`, /user/i);
    assert.equal(await mailsTo(address), 0);
  });

  test('sign-up-or-in does the one, then the other', async () => {
    const address = newAddress();
    const ids = [];
    for (const firstSeen of [true, false]) {
      masked(await descope.otp.signUpOrIn.email(address), address);
      const data = good(await descope.otp.verify.email(address, await mailedCode(address)));
      assert.equal(data.firstSeen, firstSeen);
      assert.equal(data.user.verifiedEmail, true);
      ids.push(data.user.userId);
    }
    assert.equal(ids[0], ids[1]);
  });

  test('an address is the same in capitals', async () => {
    const address = newAddress();
    const { user } = await signUp(address);
    const shouted = address.toUpperCase();
    good(await descope.otp.signIn.email(shouted));
    const data = good(await descope.otp.verify.email(shouted, await mailedCode(address)));
    assert.equal(data.user.userId, user.userId);
  });

  test('a login id that is no address is E011003', async () => {
    refused(await descope.otp.signIn.email('ada'), 400, 'E011003');
  });
});

describe('codes', () => {
  const flows = {
    'sign-up': async (address) => good(await descope.otp.signUp.email(address)),
    'sign-in': async (address) => {
      await signUp(address);
      good(await descope.otp.signIn.email(address));
    },
    'sign-up-or-in': async (address) => good(await descope.otp.signUpOrIn.email(address)),
  };

  for (const [flow, start] of Object.entries(flows)) {
    test(`${flow}: a wrong code is E061102, then the right one passes, once`, async () => {
      const address = newAddress();
      await start(address);
      const code = await mailedCode(address);
      refused(await descope.otp.verify.email(address, wrong(code)), 401, 'E061102');
      good(await descope.otp.verify.email(address, code));
      refused(await descope.otp.verify.email(address, code), 401, 'E061102');
    });

    test(`${flow}: after too many wrong codes the right one is E061103`, async () => {
      const address = newAddress();
      await start(address);
      const code = await mailedCode(address);
      for (let guess = 1; guess < GUESSES; guess += 1) {
        refused(await descope.otp.verify.email(address, wrong(code, guess)), 401, 'E061102');
      }
      const last = await descope.otp.verify.email(address, wrong(code, GUESSES));
      refused(last, 401, last.error?.errorCode === 'E061103' ? 'E061103' : 'E061102');
      refused(await descope.otp.verify.email(address, code), 401, 'E061103');
    });
  }

  test('a code of somebody else is E061102', async () => {
    const [ada, bob] = [newAddress('ada'), newAddress('bob')];
    good(await descope.otp.signUp.email(ada));
    good(await descope.otp.signUp.email(bob));
    const [hers, his] = [await mailedCode(ada), await mailedCode(bob)];
    if (hers !== his) refused(await descope.otp.verify.email(ada, his), 401, 'E061102');
    good(await descope.otp.verify.email(ada, hers));
  });

  test('a code of nobody is E061102', async () => {
    refused(await descope.otp.verify.email(newAddress(), '123456'), 401, 'E061102');
  });

  test('sixteen right answers at once: one success', async () => {
    const address = newAddress();
    good(await descope.otp.signUpOrIn.email(address));
    const code = await mailedCode(address);
    const answers = await Promise.all(Array.from({ length: 16 }, () => descope.otp.verify.email(address, code)));
    const [winners, losers] = [answers.filter(({ ok }) => ok), answers.filter(({ ok }) => !ok)];
    assert.equal(winners.length, 1);
    for (const loser of losers) refused(loser, 401, 'E061102');
  });
});

describe('tokens and sessions', () => {
  test('both tokens are what the SDK and Descope say they are', async () => {
    const { sessionJwt, refreshJwt, user, ...rest } = await signUp();
    const now = Date.now() / 1000;
    for (const [jwt, drn, life] of [[sessionJwt, 'DS', SESSION_LIFE], [refreshJwt, 'DSR', REFRESH_LIFE]]) {
      const { token } = await descope.validateJwt(jwt);
      assert.equal(token.iss, projectId);
      assert.equal(token.sub, user.userId);
      assert.equal(token.drn, drn);
      assert.deepEqual(token.amr, ['email']);
      assert.equal(token.aud, undefined);
      assert.equal(token.nbf, undefined);
      assert.ok(token.iat <= now && now - token.iat < 30, `issued at ${token.iat}, now ${now}`);
      assert.ok(Math.abs(token.exp - token.iat - life) <= 1, `lives ${token.exp - token.iat} s`);
    }
    assert.equal(Date.parse(claims(sessionJwt).rexp), claims(refreshJwt).exp * 1000);
    assert.equal(rest.sessionExpiration, claims(sessionJwt).exp);
    assert.equal(rest.cookieExpiration, claims(refreshJwt).exp);
    assert.ok(rest.cookieMaxAge <= REFRESH_LIFE && rest.cookieMaxAge > REFRESH_LIFE - 30);
    assert.equal(rest.cookiePath, '/');
  });

  test('validateSession takes the session and no forgery', async () => {
    const { sessionJwt, user } = await signUp();
    const { jwt, token } = await descope.validateSession(sessionJwt);
    assert.equal(jwt, sessionJwt);
    assert.equal(token.sub, user.userId);
    await assert.rejects(descope.validateSession(forged(sessionJwt)), /session validation failed/);
  });

  test('the server validates the session too, and no forgery', async () => {
    const { sessionJwt, refreshJwt, user } = await signUp();
    const validate = (jwt) => descope.httpClient.post('/v1/auth/validate', {}, { token: jwt });
    const answer = await validate(sessionJwt);
    assert.equal(answer.status, 200);
    assert.equal((await answer.json()).parsedJWT.sub, user.userId);
    for (const jwt of [forged(sessionJwt), refreshJwt]) assert.equal((await validate(jwt)).status, 401);
  });

  test('refreshSession gives a new session of the same user', async () => {
    const { refreshJwt, user } = await signUp();
    const refreshed = await descope.refreshSession(refreshJwt);
    assert.equal(refreshed.token.sub, user.userId);
    assert.equal(refreshed.token.drn, 'DS');
    assert.deepEqual(refreshed.token.amr, ['email']);
    await descope.validateSession(refreshed.jwt);
    const again = await descope.refreshSession(next(refreshed, refreshJwt));
    assert.equal(again.token.sub, user.userId);
  });

  test('a refresh carries the user', async () => {
    const { refreshJwt, user } = await signUp();
    const data = good(await descope.refresh(refreshJwt));
    assert.equal(typeof data.refreshJwt, 'string');
    assert.equal(data.firstSeen, false);
    assert.deepEqual(data.user, user);
  });

  test('four refreshes at once keep the session', async () => {
    const { refreshJwt } = await signUp();
    const answers = await Promise.all(Array.from({ length: 4 }, () => descope.refreshSession(refreshJwt)));
    for (const answer of answers) await descope.refreshSession(next(answer, refreshJwt));
  });

  test('a session token does not refresh, a forged one neither', async () => {
    const { sessionJwt, refreshJwt } = await signUp();
    refused(await descope.refresh(sessionJwt), 401, 'E064001');
    refused(await descope.refresh(forged(refreshJwt)), 401, 'E064001');
    refused(await descope.refresh(''), 401, 'E011002');
    await descope.refreshSession(refreshJwt);
  });

  test('validateAndRefreshSession keeps a good session and renews a bad one', async () => {
    const { sessionJwt, refreshJwt, user } = await signUp();
    assert.equal((await descope.validateAndRefreshSession(sessionJwt, refreshJwt)).jwt, sessionJwt);
    const renewed = await descope.validateAndRefreshSession(forged(sessionJwt), refreshJwt);
    assert.equal(renewed.token.drn, 'DS');
    assert.equal(renewed.token.sub, user.userId);
    const only = await descope.validateAndRefreshSession('', next(renewed, refreshJwt));
    assert.equal(only.token.sub, user.userId);
  });

  test('claims of who signs in come as unsecured ones, and stay over a refresh', async () => {
    const address = newAddress();
    await signUp(address);
    good(await descope.otp.signIn.email(address, { customClaims: { theme: 'dark' } }));
    const data = good(await descope.otp.verify.email(address, await mailedCode(address)));
    const { token } = await descope.validateSession(data.sessionJwt);
    assert.deepEqual(token.nsec, { theme: 'dark' });
    assert.equal(token.theme, undefined);
    assert.deepEqual((await descope.refreshSession(data.refreshJwt)).token.nsec, { theme: 'dark' });
  });

  test('me is the user', async () => {
    const { refreshJwt, user } = await signUp();
    assert.deepEqual(good(await descope.me(refreshJwt)), user);
    refused(await descope.me(forged(refreshJwt)), 401, 'E064001');
  });

  test('logout ends that session and no other', async () => {
    const address = newAddress();
    const [here, there] = [await signUp(address), await signIn(address)];
    good(await descope.logout(here.refreshJwt));
    const error = refused(await descope.refresh(here.refreshJwt), 401, 'E064001');
    assert.match(`${error.errorDescription} ${error.errorMessage}`, /Expired due to logout/);
    await assert.rejects(descope.refreshSession(here.refreshJwt), /refresh token validation failed/);
    refused(await descope.me(here.refreshJwt), 401, 'E064001');
    await descope.refreshSession(there.refreshJwt);
  });

  test('logoutAll ends all of them', async () => {
    const address = newAddress();
    const [here, there, bystander] = [await signUp(address), await signIn(address), await signUp()];
    good(await descope.logoutAll(here.refreshJwt));
    for (const { refreshJwt } of [here, there]) refused(await descope.refresh(refreshJwt), 401, 'E064001');
    await descope.refreshSession(bystander.refreshJwt);
    await signIn(address);
  });

  test('another project is not served', async () => {
    const elsewhere = DescopeClient({ projectId: 'P2countersignelsewhere000000', baseUrl, logger });
    refused(await elsewhere.otp.signUpOrIn.email(newAddress()), 401, 'E011008');
  });
});

describe('a new address', () => {
  test('is taken when its code comes back, and not before', async () => {
    const [old, fresh] = [newAddress('old'), newAddress('new')];
    const { refreshJwt, user } = await signUp(old);
    masked(await descope.otp.update.email(old, fresh, refreshJwt), fresh);
    assert.equal(good(await descope.me(refreshJwt)).email, old);
    const code = await mailedCode(fresh);
    refused(await descope.otp.verify.email(old, wrong(code)), 401, 'E061102');
    assert.equal(good(await descope.me(refreshJwt)).email, old);

    const data = good(await descope.otp.verify.email(old, code));
    assert.equal(data.firstSeen, false);
    assert.equal(data.user.userId, user.userId);
    assert.equal(data.user.email, fresh);
    assert.equal(data.user.verifiedEmail, true);
    assert.deepEqual(data.user.loginIds, [fresh]);
    assert.equal((await descope.validateSession(data.sessionJwt)).token.sub, user.userId);
    assert.equal(good(await descope.me(data.refreshJwt)).email, fresh);

    refused(await descope.otp.verify.email(old, code), 401, 'E061102');
    refused(await descope.otp.signIn.email(old), 400, 'E062108');
    assert.equal((await signIn(fresh)).user.userId, user.userId);
  });

  test('can be one login id more', async () => {
    const [old, fresh] = [newAddress('old'), newAddress('new')];
    const { refreshJwt, user } = await signUp(old);
    masked(await descope.otp.update.email(old, fresh, refreshJwt, { addToLoginIDs: true }), fresh);
    const data = good(await descope.otp.verify.email(old, await mailedCode(fresh)));
    assert.equal(data.user.userId, user.userId);
    assert.equal(data.user.email, fresh);
    assert.ok(data.user.loginIds.includes(fresh), data.user.loginIds.join());
    assert.equal((await signIn(fresh)).user.userId, user.userId);
  });

  test('is not given away by a guess: after too many the right code is E061103', async () => {
    const [old, fresh] = [newAddress('old'), newAddress('new')];
    const { refreshJwt } = await signUp(old);
    good(await descope.otp.update.email(old, fresh, refreshJwt));
    const code = await mailedCode(fresh);
    for (let guess = 1; guess <= GUESSES; guess += 1) {
      assert.equal((await descope.otp.verify.email(old, wrong(code, guess))).ok, false);
    }
    refused(await descope.otp.verify.email(old, code), 401, 'E061103');
    assert.equal(good(await descope.me(refreshJwt)).email, old);
  });

  test('is for its own user to take: the code signs nobody in by the new address', async () => {
    const [old, fresh] = [newAddress('old'), newAddress('new')];
    const { refreshJwt } = await signUp(old);
    good(await descope.otp.update.email(old, fresh, refreshJwt));
    refused(await descope.otp.verify.email(fresh, await mailedCode(fresh)), 401, 'E061102');
  });

  test('needs the user signed in, and as that user', async () => {
    const [ada, bob] = [newAddress('ada'), newAddress('bob')];
    const { refreshJwt } = await signUp(ada);
    await signUp(bob);
    const target = newAddress('new');
    for (const [loginId, token] of [[ada, undefined], [ada, forged(refreshJwt)], [bob, refreshJwt]]) {
      const answer = await descope.otp.update.email(loginId, target, token);
      assert.equal(answer.ok, false);
      assert.equal(answer.code, 401);
    }
    assert.equal(await mailsTo(target), 0);
  });

  test('is not asked for after logout', async () => {
    const address = newAddress();
    const { refreshJwt } = await signUp(address);
    good(await descope.logout(refreshJwt));
    refused(await descope.otp.update.email(address, newAddress('new'), refreshJwt), 401, 'E064001');
  });

  test('that is somebody else\'s stays somebody else\'s', async () => {
    const [ada, bob] = [newAddress('ada'), newAddress('bob')];
    const [hers, his] = [await signUp(ada), await signUp(bob)];
    const started = await descope.otp.update.email(ada, bob, hers.refreshJwt);
    if (started.ok) {
      refused(await descope.otp.verify.email(ada, await mailedCode(bob)), 400, 'E062107');
    } else {
      refused(started, 400, 'E062107');
    }
    assert.equal(good(await descope.me(hers.refreshJwt)).email, ada);
    assert.equal(good(await descope.me(his.refreshJwt)).email, bob);
    assert.equal((await signIn(bob)).user.userId, his.user.userId);
  });
});
