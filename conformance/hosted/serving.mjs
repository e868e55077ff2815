// `countersign serve` as an operator starts it: messages are limited, nobody signs up, and one application is declared. Its relay does not
// answer: what is looked at here needs no mail.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const binary = process.env.COUNTERSIGN_BINARY;
const run = promisify(execFile);

export class Serving {
  #folder;
  #process;
  origin;

  /** Starts it with an application called `app`, which is answered at `callback`. */
  static async start(callback) {
    const serving = new Serving();
    serving.#folder = await mkdtemp(join(tmpdir(), 'countersign-hosted-'));
    const port = await freePort();
    serving.origin = `http://127.0.0.1:${port}`;
    const { stdout: key } = await run(binary, ['key', 'new']);
    await writeFile(join(serving.#folder, 'master.key'), key, { mode: 0o600 });
    await writeFile(serving.#config, `
      origin = "${serving.origin}"
      server.listen = "127.0.0.1:${port}"
      database.path = "countersign.db"
      keys.master_key_file = "master.key"
      [mail]
      from = "Example <login@example.com>"
      [[mail.relays]]
      url = "smtp+plain://127.0.0.1:1"
      [[projects]]
      id = "main"
      name = "Example"
      [[dialects.oidc.clients]]
      id = "app"
      name = "The App"
      redirect_uris = ["${callback}"]
    `);
    serving.#process = spawn(binary, ['serve', '--config', serving.#config], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    serving.#process.stderr.on('data', (data) => { said += data; });
    for (let tries = 0; tries < 200; tries += 1) {
      const answer = await fetch(`${serving.origin}/.well-known/openid-configuration`).catch(() => undefined);
      if (answer?.ok) return serving;
      assert.equal(serving.#process.exitCode, null, said);
      await sleep(50);
    }
    throw new Error(`countersign serve does not answer: ${said}`);
  }

  /** Adds somebody who may sign in. */
  async add(email) {
    await run(binary, ['identity', 'add', '--config', this.#config, email]);
  }

  async stop() {
    const ended = once(this.#process, 'exit');
    this.#process.kill();
    await ended;
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #config() {
    return join(this.#folder, 'countersign.toml');
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
