/**
 * The WebSocket to our own server: opened, watched, and opened again with a growing pause, from where the last one ended.
 *
 * One rule keeps a dead line, a stalled proxy and a sleeping tab from passing for live: a socket that was silent for SILENCE_MS is not
 * believed again. What arrives on it after that may have been sent long ago, so it is thrown away, and a new one is opened.
 *
 * @typedef {import('./clock.js').Clock} Clock
 *
 * @typedef {object} Listener
 * @property {() => void} connecting
 * @property {() => void} open
 * @property {(text: string, at: number) => void} message
 * @property {(why: string, retryAt: number) => void} lost
 */

import { SILENCE_MS } from './store/freshness.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

export class Socket {
  /** @type {WebSocket|null} */
  #socket = null;
  /** When it was last heard of, its opening included. */
  #heardAt = 0;
  #failures = 0;
  /** @type {number|null} */
  #retryAt = null;

  /**
   * @param {() => string} address  asked at every attempt: it carries the place to go on from
   * @param {Clock} clock
   * @param {Listener} listener
   */
  constructor(address, clock, listener) {
    this.address = address;
    this.clock = clock;
    this.listener = listener;
  }

  connect() {
    this.#close();
    this.#retryAt = null;
    this.#heardAt = this.clock.now();
    this.listener.connecting();
    const socket = new WebSocket(this.address());
    this.#socket = socket;
    socket.addEventListener('open', () => {
      if (socket === this.#socket) this.listener.open();
    });
    socket.addEventListener('message', (event) => {
      if (socket === this.#socket && this.check()) this.#hear(String(event.data));
    });
    socket.addEventListener('close', (event) => {
      if (socket === this.#socket) this.#lose(event.reason || 'The connection to pgvigil was closed.');
    });
  }

  /** Gives the line up, as before a sleep. */
  leave() {
    if (this.#socket) this.#lose('This page was asleep.');
  }

  /**
   * Looks at the time: drops a line that was silent for too long, opens the next one when it is due. To be called often, and first of
   * all after a sleep.
   *
   * @returns {boolean} whether the line may be believed
   */
  check() {
    const now = this.clock.now();
    if (this.#socket && now - this.#heardAt >= SILENCE_MS) this.#lose('No message came from pgvigil.');
    else if (!this.#socket && this.#retryAt !== null && now >= this.#retryAt) this.connect();
    return this.#socket !== null;
  }

  /** @param {string} text */
  #hear(text) {
    this.#heardAt = this.clock.now();
    this.#failures = 0;
    this.listener.message(text, this.#heardAt);
  }

  /** @param {string} why */
  #lose(why) {
    this.#close();
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
    // Spread out, so that a thousand pages do not return in the same moment.
    this.#retryAt = this.clock.now() + pause * (0.75 + Math.random() / 2);
    this.listener.lost(why, this.#retryAt);
  }

  #close() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }
}
