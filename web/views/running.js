/**
 * Large transactions that are still running: what they have done so far, and that none of it is committed. They go with their end.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../protocol.js').RunningTransaction} RunningTransaction
 */

import { count, plural } from '../format.js';
import { whoNode } from './actor.js';
import { h, part, set } from './dom.js';

/** Transactions named. */
const SHOWN = 3;

export function createRunning() {
  /** @type {readonly RunningTransaction[]} */
  let drawn = [];

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ running }, { numbers }) {
    // One that is committed has its card in the feed.
    const told = running.filter(({ state }) => state !== 'committed');
    const current = numbers === 'plain' || numbers === 'behind';
    set(part('running'), { hidden: !current || told.length === 0 });
    if (running === drawn) return;
    drawn = running;
    const hidden = told.length - SHOWN;
    part('running').replaceChildren(
      ...told.slice(0, SHOWN).map(node),
      ...(hidden > 0 ? [h('li', {}, h('span', {}, `and ${plural(hidden, 'further transaction')}`))] : []),
    );
  };
}

/** @param {RunningTransaction} transaction */
function node(transaction) {
  const { xid, state, actor } = transaction;
  if (state === 'rolled_back') return h('li', {}, h('span', {}, `tx ${xid} was rolled back: nothing of it happened`));
  return h('li', {}, h('span', {}, h('b', {}, `tx ${xid}`), ` is ${doing(transaction)}, `, h('b', {}, 'not committed'), actor ? ' · ' : '', whoNode(actor)));
}

/** `deleting from Order: 48,000 rows so far`. @param {RunningTransaction} transaction */
function doing({ tables, changes, exact }) {
  const [most, ...others] = tables;
  const also = others.length ? ` and ${plural(others.length, 'other table')}` : '';
  const extent = `${exact ? '' : 'at most '}${count(changes)} ${changes === 1 ? 'row' : 'rows'} so far`;
  if (!most) return `changing ${extent}`;
  const { inserts, updates, deletes, truncates } = most;
  const verb = truncates ? 'truncating' : deletes >= Math.max(inserts, updates) ? 'deleting from' : inserts >= updates ? 'inserting into' : 'updating';
  return `${verb} ${most.name ?? 'a table of its own'}${also}: ${extent}`;
}
