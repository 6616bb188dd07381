/**
 * The strip at the bottom of a wide screen: lag, and what pgvigil holds.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 */

import { bytes, plural } from '../format.js';
import { h, part, setText } from './dom.js';

export function createFooter() {
  const fields = new Map();

  /** @param {string} name @param {string|null} text  null hides the field */
  const field = (name, text) => {
    let entry = fields.get(name);
    if (!entry) {
      const value = h('b');
      entry = { box: h('span', {}, `${name} `, value), value };
      fields.set(name, entry);
      part('footer').append(entry.box);
    }
    entry.box.hidden = text === null;
    setText(entry.value, text ?? '');
  };

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ connection, feed }, { numbers }) {
    const said = numbers === 'blocked' ? null : connection.status?.said;
    const slot = said?.slot;
    field('lag', said?.lag_bytes == null ? null : bytes(said.lag_bytes));
    field('slot', slot ? `${slot.name}${slot.temporary ? ', temporary' : ''}` : null);
    field('WAL held', slot?.retained_bytes === undefined ? null : held(slot.retained_bytes, slot.budget_bytes));
    field('epoch', said?.epoch ?? null);
    field('kept here', plural(feed.items.length, 'transaction'));
  };
}

/** @param {number} retained @param {number|undefined} budget */
function held(retained, budget) {
  return budget ? `${bytes(retained)} of ${bytes(budget)}` : bytes(retained);
}
