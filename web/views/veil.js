/**
 * Covers the numbers when the page itself has stopped.
 *
 * All else that marks a number as old is done by this page's scripts. Where these do not run (a frozen tab, a sleeping machine, a
 * script that hangs) the browser's own animation clock goes on: a veil that is put off at every painting, and falls when none came.
 * After a sleep it is down in the first frame that is drawn, before any script has run.
 *
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 */

import { SILENCE_MS } from '../store/freshness.js';
import { part } from './dom.js';

export function createVeil() {
  const falling = part('veil').animate([{ opacity: 1 }, { opacity: 1 }], { delay: SILENCE_MS, duration: 1, fill: 'forwards' });

  /** @param {Freshness} freshness */
  return function draw({ numbers }) {
    // Numbers that are marked already, or not shown, need no veil.
    if (numbers === 'plain' || numbers === 'behind') {
      falling.currentTime = 0;
      falling.play();
    } else falling.cancel();
  };
}
