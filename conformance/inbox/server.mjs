// `countersign dev` as a user starts it, on a data folder of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export class Server {
  #folder;
  #process;
  origin;

  static async start() {
    const server = new Server();
    server.#folder = await mkdtemp(join(tmpdir(), 'countersign-inbox-'));
    await server.#spawn('127.0.0.1:0');
    return server;
  }

  /** Dies without notice. */
  async kill() {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await ended;
  }

  /** Comes back where it was. */
  async restart() {
    await this.#spawn(new URL(this.origin).host);
  }

  async remove() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Asks for a code; answers with the token of the flow. */
  async login(email) {
    const answer = await this.#post('/v1/login', { email });
    return answer.auth_flow_token;
  }

  async emailCode(token, code) {
    return this.#post('/v1/login/email-code', { auth_flow_token: token, code });
  }

  async messages() {
    return (await fetch(`${this.origin}/dev/messages`)).json();
  }

  async empty() {
    await fetch(`${this.origin}/dev/messages`, { method: 'DELETE' });
  }

  async #post(path, body) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(this.origin + path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  }

  async #spawn(listen) {
    const flags = ['dev', '--listen', listen, '--data', this.#folder];
    this.#process = spawn(process.env.COUNTERSIGN_BINARY, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface(this.#process.stdout)) {
      const origin = line.match(/https?:\/\/[^\s/]+/)?.[0];
      if (origin) {
        this.origin = origin;
        this.#process.stdout.resume(); // what it prints from now on must not fill the pipe
        return;
      }
    }
    throw new Error('countersign dev ended before it named its origin');
  }
}
