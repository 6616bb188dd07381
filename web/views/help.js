/** The keys, and what the signs mean. */

import { h, part } from './dom.js';

const KEYS = [
  ['Space', 'pause the feed, or go on'],
  ['j  k', 'next, previous transaction'],
  ['Enter', 'show its rows whole'],
  ['i', 'investigate it: who, what exactly, and how to bring it back'],
  ['g d', 'the newest delete'],
  ['g a', 'alerts'],
  ['Esc', 'back'],
  ['?', 'this help'],
];

const SIGNS = [
  ['—', 'not known, for the reason given: never an estimate'],
  ['▲3 ▼22', 'rows more or less than a minute ago'],
  ['as of 0/1A2B3F0', 'every count is exact at this position of the database’s log'],
  ['last known', 'not the present: true when last verified, so long ago'],
  ['says user=paul', 'what an application says of itself; nothing else vouches for it'],
  ['▨ gap', 'changes that nobody can show any more'],
];

/** @param {() => void} closed */
export function createHelp(closed) {
  const dialog = /** @type {HTMLDialogElement} */ (part('help'));
  const close = h('button', { class: 'round', type: 'button', 'aria-label': 'Close' }, '×');
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', closed);
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.append(
    h('div', 'help-body', h('div', 'help-head', h('h2', { id: 'help-title' }, 'Keys'), close), list(KEYS, 'kbd'), h('h2', {}, 'Signs'), list(SIGNS, 'b')),
  );

  /** @param {{help: boolean}} state */
  return function draw({ help }) {
    if (help && !dialog.open) dialog.showModal();
    else if (!help && dialog.open) dialog.close();
  };
}

/** @param {string[][]} pairs @param {'kbd'|'b'} tag */
function list(pairs, tag) {
  return h('dl', {}, ...pairs.flatMap(([term, text]) => [h('dt', {}, h(tag, {}, term)), h('dd', {}, text)]));
}
