/** A private PostgreSQL in a temporary folder, with a publication for all tables. */

import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

import { until } from './wait.js';

const NOBODY = 65534;
/** PostgreSQL does not run as root. */
const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

function programs() {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [process.env.PGVIGIL_PG_BIN ?? '', ...versions.map((v) => `${debian}/${v}/bin`), ...(process.env.PATH ?? '').split(':')];
  const found = folders.find((folder) => ['initdb', 'postgres', 'psql'].every((program) => folder && existsSync(path.join(folder, program))));
  if (!found) throw new Error('no PostgreSQL programs: install postgresql, or name their folder with PGVIGIL_PG_BIN');
  return found;
}

/** A port of the loopback that nobody uses. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

export class Postgres {
  /** @param {Record<string, string|number>} [more]  settings beside the usual ones */
  static async start(more = {}) {
    const bin = programs();
    const folder = mkdtempSync(path.join(os.tmpdir(), 'pgvigil-viewer-'));
    if (account.uid) chownSync(folder, account.uid, account.gid);
    const data = path.join(folder, 'data');
    const options = { ...account, cwd: folder };
    execFileSync(path.join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'], { ...options, stdio: 'pipe' });
    const port = await freePort();
    const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: '', wal_level: 'logical', fsync: 'off', max_replication_slots: 8, ...more };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = spawn(path.join(bin, 'postgres'), ['-D', data, ...flags], { ...options, stdio: 'ignore' });
    const postgres = new Postgres(bin, folder, port, server);
    // Also when a test never comes to its end.
    process.once('exit', () => postgres.#remove());
    await until('PostgreSQL accepts connections', () => postgres.accepts());
    return postgres;
  }

  /** @param {string} bin @param {string} folder @param {number} port @param {import('node:child_process').ChildProcess} server */
  constructor(bin, folder, port, server) {
    Object.assign(this, { bin, folder, port, server });
  }

  accepts() {
    try {
      return this.sql('SELECT 1') === '1';
    } catch {
      return false;
    }
  }

  url(database = 'postgres', role = 'postgres') {
    return `postgres://${role}@127.0.0.1:${this.port}/${database}`;
  }

  /** Runs SQL by psql and gives what it prints, unaligned. @param {string} text */
  sql(text, { database = 'postgres', role = 'postgres' } = {}) {
    const args = ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', this.url(database, role), '-f', '-'];
    return execFileSync(path.join(this.bin, 'psql'), args, { input: text, encoding: 'utf8', stdio: 'pipe' }).trim();
  }

  /** A psql that stays open; what is written to it runs at once, and `end` closes it. @param {string} role */
  session(role = 'postgres') {
    return spawn(path.join(this.bin, 'psql'), ['-X', '-q', '-d', this.url('postgres', role)], { stdio: ['pipe', 'ignore', 'ignore'] }).stdin;
  }

  async stop() {
    const ended = new Promise((resolve) => this.server.once('exit', resolve));
    this.server.kill('SIGQUIT');
    await ended;
    this.#remove();
  }

  #remove() {
    this.server.kill('SIGQUIT');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
