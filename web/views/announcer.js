/**
 * For those who listen: the loss of the live state and a new alert at once, and what changed as one sentence at most every 5 s.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 */

import { plural } from '../format.js';
import { pressing } from '../store/alerts.js';
import { shortText } from './alert.js';
import { part, setText } from './dom.js';

const PAUSE_MS = 5000;

export function createAnnouncer() {
  let saidAt = -Infinity;
  let saidSeq = 1;
  /** @type {Freshness['state']|null} */
  let saidState = null;
  let saidAlert = '';

  /** @param {State} state @param {Freshness} freshness @param {number} now */
  return function draw({ feed, alerts }, { state, reason, numbers }, now) {
    drawAlert(numbers === 'blocked' ? [] : pressing(alerts));
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

  /** @param {import('../protocol.js').Alert[]} alerts */
  function drawAlert([worst]) {
    const text = worst ? `${worst.severity} alert: ${worst.text ?? shortText(worst)}` : '';
    if (text === saidAlert) return;
    saidAlert = text;
    setText(part('alarm'), text);
  }
}
