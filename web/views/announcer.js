/**
 * For those who listen: the loss of the live state at once, and what changed as one sentence at most every 5 s.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 */

import { plural } from '../format.js';
import { part, setText } from './dom.js';

const PAUSE_MS = 5000;

export function createAnnouncer() {
  let saidAt = -Infinity;
  let saidSeq = 1;
  /** @type {Freshness['state']|null} */
  let saidState = null;

  /** @param {State} state @param {Freshness} freshness @param {number} now */
  return function draw({ feed }, { state, reason }, now) {
    if (state !== saidState) {
      const first = saidState === null || (saidState === 'connecting' && state === 'live');
      saidState = state;
      setText(part('assertive'), first ? '' : `${state.replace('_', ' ')}. ${reason}`);
    }
    const fresh = feed.nextSeq - saidSeq;
    if (fresh === 0 || now - saidAt < PAUSE_MS) return;
    saidAt = now;
    saidSeq = feed.nextSeq;
    setText(part('polite'), `${plural(fresh, 'new transaction')}.`);
  };
}
