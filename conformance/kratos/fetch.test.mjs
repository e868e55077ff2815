// @ory/client-fetch, as a native app and as the backend beside it use it: verification, registration and login by code, whoami, logout,
// and the identities of the admin API. Only the base URL is changed; asking for JSON is what its own README of flows says to do.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import ory from '@ory/client-fetch';

import { GUESSES, adminUrl, baseUrl, mailedCode, mailsTo, messages, newAddress, value, wrong } from './server.mjs';

const { Configuration, FrontendApi, IdentityApi, ResponseError } = ory;
const headers = { Accept: 'application/json' };
const frontend = new FrontendApi(new Configuration({ basePath: baseUrl, headers }));
const identities = new IdentityApi(new Configuration({ basePath: adminUrl, headers }));

/** The call must be refused with that status; gives the body. */
async function refused(status, call) {
  const error = await call.then(
    () => assert.fail(`the call passed, and should have been refused with ${status}`),
    (reason) => reason,
  );
  assert.ok(error instanceof ResponseError, String(error));
  const body = await error.response.json();
  assert.equal(error.response.status, status, JSON.stringify(body));
  return body;
}

function verify(flow, body) {
  return frontend.updateVerificationFlow({ flow, updateVerificationFlowBody: { method: 'code', ...body } });
}

function login(flow, body) {
  return frontend.updateLoginFlow({ flow, updateLoginFlowBody: { method: 'code', ...body } });
}

function register(flow, body) {
  return frontend.updateRegistrationFlow({ flow, updateRegistrationFlowBody: { method: 'code', ...body } });
}

/** Somebody whose address is not proved. */
function newPerson(email, more = {}) {
  return identities.createIdentity({ createIdentityBody: { schema_id: 'person', traits: { email }, ...more } });
}

/** Signs somebody in. */
async function signIn(email) {
  const { id } = await frontend.createNativeLoginFlow();
  const sent = await refused(400, login(id, { identifier: email }));
  assert.equal(sent.state, 'sent_email');
  return login(id, { identifier: email, code: await mailedCode(email) });
}

describe('verification', () => {
  test('wrong, right, and over', async () => {
    const email = newAddress();
    const person = await newPerson(email);
    assert.equal(person.verifiable_addresses[0].status, 'pending');
    const flow = await frontend.createNativeVerificationFlow();
    assert.equal(flow.state, 'choose_method');
    assert.ok(flow.expires_at > flow.issued_at, 'times are parsed and ordered');

    const sent = await verify(flow.id, { email });
    assert.equal(sent.id, flow.id);
    assert.equal(sent.state, 'sent_email');
    assert.deepEqual(messages(sent), [1080003]);
    const code = await mailedCode(email);
    const missed = await verify(flow.id, { code: wrong(code) });
    assert.equal(missed.state, 'sent_email');
    assert.deepEqual(messages(missed), [4070006]);
    const passed = await verify(flow.id, { code });
    assert.equal(passed.state, 'passed_challenge');
    assert.deepEqual(messages(passed), [1080002]);
    assert.equal((await frontend.getVerificationFlow({ id: flow.id })).state, 'passed_challenge');

    const replaced = await refused(410, verify(flow.id, { code }));
    assert.equal(replaced.error.id, 'self_service_flow_replaced');
    assert.equal((await frontend.getVerificationFlow({ id: replaced.use_flow_id })).state, 'choose_method');

    const [address] = (await identities.getIdentity({ id: person.id })).verifiable_addresses;
    assert.equal(address.verified, true);
    assert.equal(address.status, 'completed');
    assert.ok(address.verified_at instanceof Date);
  });

  test('asked again: the old code is dead and the new one passes', async () => {
    const email = newAddress();
    await newPerson(email);
    const { id } = await frontend.createNativeVerificationFlow();
    await verify(id, { email });
    const first = await mailedCode(email);
    await verify(id, { email });
    const second = await mailedCode(email);
    assert.equal((await mailsTo(email)).length, 2);
    assert.deepEqual(messages(await verify(id, { code: first })), [4070006]);
    assert.equal((await verify(id, { code: second })).state, 'passed_challenge');
  });

  test('one guess too many ends the flow, and a right code with it', async () => {
    const email = newAddress();
    await newPerson(email);
    const { id } = await frontend.createNativeVerificationFlow();
    await verify(id, { email });
    const code = await mailedCode(email);
    for (let guess = 1; guess <= GUESSES; guess += 1) {
      assert.deepEqual(messages(await verify(id, { code: wrong(code, guess) })), [4070006]);
    }
    const replaced = await refused(410, verify(id, { code }));
    assert.equal(replaced.error.id, 'self_service_flow_replaced');
  });

  test('nobody is told whose address is known', async () => {
    const email = newAddress('nobody');
    const { id } = await frontend.createNativeVerificationFlow();
    assert.deepEqual(messages(await verify(id, { email })), [1080003]);
    assert.deepEqual(await mailsTo(email), []);
    assert.deepEqual(messages(await verify(id, { code: '000000' })), [4070006]);
  });
});

describe('registration and login', () => {
  test('registers, signs in, says who it is, and signs out', async () => {
    const email = newAddress();
    const traits = { email, name: 'Ada' };
    const { id, ui } = await frontend.createNativeRegistrationFlow();
    assert.ok(ui.nodes.some(({ attributes }) => attributes.name === 'traits.email'));
    const sent = await refused(400, register(id, { traits }));
    assert.equal(sent.state, 'sent_email');
    const code = await mailedCode(email);
    assert.deepEqual(messages(await refused(400, register(id, { traits, code: wrong(code) }))), [4040003]);
    const { identity } = await register(id, { traits, code });
    assert.deepEqual(identity.traits, traits);
    assert.equal(identity.verifiable_addresses[0].verified, true);

    const { session_token: token, session } = await signIn(email);
    assert.match(token, /^ory_st_[0-9A-Za-z]{32}$/);
    assert.equal(session.identity.id, identity.id);
    assert.deepEqual(session.authentication_methods.map(({ method }) => method), ['code']);
    const whoami = await frontend.toSession({ xSessionToken: token });
    assert.deepEqual(whoami, session);

    await frontend.performNativeLogout({ performNativeLogoutBody: { session_token: token } });
    await refused(401, frontend.toSession({ xSessionToken: token }));
    await frontend.performNativeLogout({ performNativeLogoutBody: { session_token: token } });
    await refused(403, frontend.performNativeLogout({ performNativeLogoutBody: { session_token: 'nonsense' } }));
  });

  test('a wrong login code does not pass, and a new one replaces the old', async () => {
    const email = newAddress();
    await newPerson(email);
    const { id } = await frontend.createNativeLoginFlow();
    await refused(400, login(id, { identifier: email }));
    const first = await mailedCode(email);
    assert.deepEqual(messages(await refused(400, login(id, { identifier: email, code: wrong(first) }))), [4010008]);
    assert.deepEqual(messages(await refused(400, login(id, { identifier: email, resend: 'code' }))), [1010014]);
    const second = await mailedCode(email);
    assert.deepEqual(messages(await refused(400, login(id, { identifier: email, code: first }))), [4010008]);
    const { session } = await login(id, { identifier: email, code: second });
    assert.equal(session.identity.verifiable_addresses[0].status, 'completed');
  });

  test('in development it is told that an account does not exist', async () => {
    const { id } = await frontend.createNativeLoginFlow();
    const flow = await refused(400, login(id, { identifier: newAddress('nobody') }));
    assert.deepEqual(messages(flow), [4000035]);
  });

  test('other sessions are listed and ended', async () => {
    const email = newAddress();
    await newPerson(email);
    const first = await signIn(email);
    const second = await signIn(email);
    const others = await frontend.listMySessions({ xSessionToken: second.session_token });
    assert.deepEqual(others.map(({ id }) => id), [first.session.id]);
    await frontend.disableMySession({ id: first.session.id, xSessionToken: second.session_token });
    await refused(401, frontend.toSession({ xSessionToken: first.session_token }));
    await refused(400, frontend.disableMySession({ id: second.session.id, xSessionToken: second.session_token }));
    await signIn(email);
    assert.equal((await frontend.disableMyOtherSessions({ xSessionToken: second.session_token })).count, 1);
  });
});

describe('a single-page app, with a cookie jar of its own', () => {
  /** What a browser does with cookies, for one site. */
  function visitor() {
    const jar = new Map();
    const middleware = {
      pre: async ({ url, init }) => {
        const cookie = [...jar].map(([name, content]) => `${name}=${content}`).join('; ');
        return { url, init: { ...init, headers: { ...init.headers, ...(cookie && { cookie }) } } };
      },
      post: async ({ response }) => {
        for (const line of response.headers.getSetCookie()) {
          const [pair, ...attributes] = line.split('; ');
          const [name, ...content] = pair.split('=');
          const isOver = attributes.some((attribute) => /^max-age=(0|-)/i.test(attribute));
          if (isOver) jar.delete(name);
          else jar.set(name, content.join('='));
        }
        return response;
      },
    };
    return new FrontendApi(new Configuration({ basePath: baseUrl, headers, middleware: [middleware] }));
  }

  test('signs in with the token of its form, and out with its logout token', async () => {
    const email = newAddress();
    await newPerson(email);
    const app = visitor();
    const flow = await app.createBrowserLoginFlow();
    const csrf_token = value(flow, 'csrf_token');
    const send = { method: 'code', identifier: email };
    const submit = (body) => app.updateLoginFlow({ flow: flow.id, updateLoginFlowBody: body });
    const violation = await refused(403, submit(send));
    assert.equal(violation.error.id, 'security_csrf_violation');
    assert.equal((await refused(400, submit({ ...send, csrf_token }))).state, 'sent_email');
    const done = await submit({ ...send, csrf_token, code: await mailedCode(email) });
    assert.equal(done.session_token, undefined);
    assert.equal(done.continue_with[0].action, 'redirect_browser_to');

    assert.equal((await app.toSession()).id, done.session.id);
    await refused(401, visitor().toSession());
    const again = await refused(400, app.createBrowserLoginFlow());
    assert.equal(again.error.id, 'session_already_available');
    const { logout_token: token } = await app.createBrowserLogoutFlow();
    await refused(401, visitor().updateLogoutFlow({ token }));
    await app.updateLogoutFlow({ token });
    await refused(401, app.toSession());
  });
});

describe('the admin API', () => {
  test('creates, finds, patches and deletes', async () => {
    const email = newAddress();
    const person = await newPerson(email, {
      metadata_public: { plan: 'free' },
      metadata_admin: { note: 'vip' },
      verifiable_addresses: [{ value: email, via: 'email', verified: true, status: 'completed' }],
    });
    assert.equal(person.verifiable_addresses[0].verified, true);
    const [found] = await identities.listIdentities({ credentialsIdentifier: email });
    assert.equal(found.id, person.id);
    assert.deepEqual(found.metadata_admin, { note: 'vip' });
    await refused(409, newPerson(email));

    const jsonPatch = [{ op: 'replace', path: '/verifiable_addresses/0/verified', value: false }];
    const patched = await identities.patchIdentity({ id: person.id, jsonPatch });
    assert.equal(patched.verifiable_addresses[0].verified, false);
    const updateIdentityBody = { schema_id: 'person', state: 'inactive', traits: { email, name: 'Ada' } };
    const updated = await identities.updateIdentity({ id: person.id, updateIdentityBody });
    assert.equal(updated.state, 'inactive');
    assert.equal(updated.traits.name, 'Ada');
    await identities.deleteIdentity({ id: person.id });
    await refused(404, identities.getIdentity({ id: person.id }));
    await refused(404, identities.getIdentity({ id: 'nonsense' }));
  });
});
