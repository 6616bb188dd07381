/** A TCP proxy that can be made to fail in the ways a network does. */

import net from 'node:net';

const TRICKLE_MS = 2000;

export class Proxy {
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  /** @type {'pass'|'silent'|'trickle'} */
  #mode = 'pass';

  /** @param {number} port @param {number} target */
  constructor(port, target) {
    this.url = `http://127.0.0.1:${port}/`;
    this.server = net.createServer((client) => {
      const upstream = net.connect(target, '127.0.0.1');
      this.#join(client, upstream);
      this.#join(upstream, client);
    });
    this.server.listen(port, '127.0.0.1');
  }

  /** @param {net.Socket} from @param {net.Socket} to */
  #join(from, to) {
    this.#sockets.add(from);
    /** @type {Buffer[]} */
    const held = [];
    const release = setInterval(() => {
      const bytes = held.shift();
      if (bytes) to.write(bytes);
    }, TRICKLE_MS);
    from.on('data', (bytes) => {
      if (this.#mode === 'pass') to.write(bytes);
      else if (this.#mode === 'trickle') held.push(bytes);
    });
    from.on('error', () => from.destroy());
    from.on('close', () => {
      clearInterval(release);
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  /** What comes is swallowed; nobody is told. */
  silence() {
    this.#mode = 'silent';
  }

  /** What comes is passed on, but ever later: half as fast as pgvigil speaks. */
  trickle() {
    this.#mode = 'trickle';
  }

  /** New connections pass again; those that lost bytes are of no use to anyone. */
  heal() {
    this.#mode = 'pass';
    this.reset();
  }

  reset() {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  stop() {
    this.server.close();
    this.reset();
  }
}
