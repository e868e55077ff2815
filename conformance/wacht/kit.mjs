// What Wacht's kit for pages does on the wire, and nothing else of it: written from observation, for Node and for a page.
//
// - The API is where the publishable key says, which is cut at its underscores.
// - In staging each URL ends in `__dev_session__`, empty at first; answers bring the next one in a header; credentials are never sent.
//   In production credentials always are.
// - Bodies are `FormData`, also where they are empty; what an attempt is called stands in the query.
// - After each call the last attempt of the list is the one.

/** An answer that is no success: what the kit shows of it. */
export class KitError extends Error {
  constructor(status, { errors, message }) {
    super(errors?.[0]?.message ?? message);
    this.status = status;
    this.code = errors?.[0]?.code;
  }
}

export class Kit {
  constructor(publishableKey, { fetch = globalThis.fetch.bind(globalThis), storage = new Map() } = {}) {
    const [, environment, base] = publishableKey.split('_');
    this.origin = new URL(atob(base)).origin;
    this.isStaging = environment === 'test';
    this.fetch = fetch;
    this.storage = storage;
  }

  get developmentSession() {
    return this.storage.get(this.origin) ?? '';
  }

  /** Calls the API, and gives the whole envelope. */
  async call(method, path, { query = {}, form } = {}) {
    const url = new URL(path, this.origin);
    for (const [name, value] of Object.entries(query)) url.searchParams.append(name, value);
    if (this.isStaging) url.searchParams.append('__dev_session__', this.developmentSession);
    let body;
    if (method === 'POST') {
      body = new FormData();
      // A parameter that is not given is appended as well, as the word `undefined`.
      for (const [name, value] of Object.entries(form ?? {})) body.append(name, value);
    }
    const response = await this.fetch(url, { method, body, credentials: this.isStaging ? 'omit' : 'include' });
    const next = response.headers.get('x-development-session');
    if (this.isStaging && next) this.storage.set(this.origin, next);
    const envelope = await response.json();
    if (envelope.status !== response.status) throw new Error('the envelope says another status');
    if (!response.ok) throw new KitError(response.status, envelope);
    return envelope;
  }

  async deployment() {
    return (await this.call('GET', '/deployment')).data;
  }

  async session() {
    return (await this.call('GET', '/session')).data;
  }

  async me() {
    return (await this.call('GET', '/me')).data;
  }

  async signIn(email) {
    const form = { strategy: 'email_otp', email, phone: undefined, username: undefined, password: undefined };
    const { data } = await this.call('POST', '/auth/signin', { form });
    return { type: 'signin', ...data.signin_attempts.at(-1) };
  }

  async signUp(email, names = {}) {
    const form = { first_name: undefined, last_name: undefined, ...names, email, username: undefined, password: undefined };
    const { data } = await this.call('POST', '/auth/signup', { form });
    return { type: 'signup', ...data.signup_attempts.at(-1) };
  }

  async prepare({ id, type }) {
    const query = { attempt_identifier: id, strategy: 'email_otp', identifier_type: type };
    return (await this.call('POST', '/auth/prepare-verification', { query })).data;
  }

  async verify({ id, type }, code) {
    const query = { attempt_identifier: id, identifier_type: type };
    const envelope = await this.call('POST', '/auth/attempt-verification', { query, form: { verification_code: code } });
    return envelope.data;
  }

  async switchSignIn(id) {
    return (await this.call('POST', '/session/switch-sign-in', { query: { sign_in_id: id } })).data;
  }

  async signOut(id) {
    return (await this.call('POST', '/session/sign-out', { query: id ? { sign_in_id: id } : {} })).data;
  }
}
