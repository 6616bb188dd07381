/** The real program, serving a database at an address that stays the same over restarts. */

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { until } from './wait.js';

const BINARY = process.env.PGVIGIL_BIN ?? path.join(import.meta.dirname, '../../../../target/debug/pgvigil');

export class Pgvigil {
  /** @type {import('node:child_process').ChildProcess|null} */
  #process = null;

  /** @param {number} port @param {string[]} origins  by which pages may come, beside its own @param {string[]} options  of `serve` */
  constructor(port, origins = [], options = []) {
    this.port = port;
    this.options = [...origins.flatMap((origin) => ['--allow-origin', origin]), ...options];
    this.url = `http://127.0.0.1:${port}/`;
  }

  /** Starts it and waits until it is live. @param {string} database  a connection string */
  async start(database) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: cargo build, or name it with PGVIGIL_BIN`);
    let said = '';
    const child = spawn(BINARY, ['serve', '--listen', `127.0.0.1:${this.port}`, ...this.options], { env: { ...process.env, DATABASE_URL: database } });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
    this.#process = child;
    process.once('exit', () => child.kill('SIGKILL'));
    await until('pgvigil is live', async () => {
      if (child.exitCode !== null) throw new Error(`pgvigil ended with ${child.exitCode}:\n${said}`);
      return (await fetch(`${this.url}readyz`).catch(() => null))?.ok;
    }).catch((error) => {
      throw new Error(`${error.message}\n${said}`);
    });
  }

  /** Runs another of its commands to the end, and gives what it prints. @param {string[]} args @param {string} database */
  run(args, database) {
    return execFileSync(BINARY, args, { env: { ...process.env, DATABASE_URL: database }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** @param {NodeJS.Signals} signal */
  signal(signal) {
    this.#process?.kill(signal);
  }

  async kill() {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}
