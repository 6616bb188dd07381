/**
 * What the socket received and the page has not looked at yet. Bounded: when more row changes come between two looks than LIMIT, the
 * rest of them are counted and passed over unread. Counts, states and gaps are never passed over, so the numbers stay exact.
 *
 * @typedef {import('./protocol.js').Frame} Frame
 *
 * @typedef {object} Received  A frame, and when it came.
 * @property {'frame'} kind
 * @property {Frame} frame
 * @property {number} at
 * @property {number} size  characters of its JSON
 *
 * @typedef {object} Skipped  Row changes that were passed over here.
 * @property {'skipped'} kind
 * @property {number} changes
 * @property {number} commits
 * @property {string|null} lastId  the last event that is no longer owed to us
 *
 * @typedef {Received|Skipped} Delivery
 */

import { bulkKind, parseFrame } from './protocol.js';

const LIMIT = 2000;

export class Inbox {
  /** @type {({text: string, at: number} | {changes: number, commits: number, last: string})[]} */
  #waiting = [];
  #bulk = 0;

  /** @param {string} text @param {number} at */
  put(text, at) {
    const kind = bulkKind(text);
    if (kind === null || ++this.#bulk <= LIMIT) {
      this.#waiting.push({ text, at });
      return;
    }
    let tail = this.#waiting[this.#waiting.length - 1];
    if (!tail || 'text' in tail) {
      tail = { changes: 0, commits: 0, last: text };
      this.#waiting.push(tail);
    }
    if (kind === 'change') tail.changes += 1;
    else tail.commits += 1;
    tail.last = text;
  }

  /** What waits, read; leaves the inbox empty. @returns {Delivery[]} */
  take() {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#bulk = 0;
    /** @type {Delivery[]} */
    const deliveries = [];
    for (const item of waiting) {
      if ('text' in item) {
        const frame = parseFrame(item.text);
        if (frame) deliveries.push({ kind: 'frame', frame, at: item.at, size: item.text.length });
      } else {
        const last = parseFrame(item.last);
        const lastId = last && 'id' in last && last.id ? last.id : null;
        deliveries.push({ kind: 'skipped', changes: item.changes, commits: item.commits, lastId });
      }
    }
    return deliveries;
  }

  get empty() {
    return this.#waiting.length === 0;
  }

  clear() {
    this.#waiting = [];
    this.#bulk = 0;
  }
}
