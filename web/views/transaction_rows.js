/**
 * The rows of a transaction, a page at a time: what each of them held, and below it what a foreign key took along.
 *
 * @typedef {import('../store/state.js').Investigation} Investigation
 * @typedef {import('../store/state.js').Cascade} Cascade
 * @typedef {import('../store/cascade.js').Fall} Fall
 * @typedef {import('../store/cascade.js').Taken} Taken
 * @typedef {import('../protocol.js').Table} Table
 * @typedef {(oid: number) => Table|undefined} TableOf
 */

import { count, plural } from '../format.js';
import { group, takenBy } from '../store/cascade.js';
import { lastOrdinal, missingRows } from '../store/investigation.js';
import { changeNode } from './change.js';
import { h } from './dom.js';

/** So few rows in all are shown unfolded. */
const UNFOLDED = 25;

/**
 * @param {Investigation} investigation
 * @param {Cascade[]} cascades
 * @param {TableOf} tableOf
 * @param {(from: number) => void} turn
 */
export function rowsNodes(investigation, cascades, tableOf, turn) {
  const { rows, commit, problem } = investigation;
  if (rows === null) return commit && !problem ? [h('h3', {}, 'Rows'), h('p', 'note', 'Asking the history …')] : [];
  const { falls, orphans } = group(rows, cascades);
  const unfolded = rows.length <= UNFOLDED;
  const missing = missingRows(investigation);
  const list = h('ol', 'falls', ...falls.map((fall) => fallNode(fall, tableOf, unfolded)), ...orphans.map((taken) => orphanNode(taken, tableOf, unfolded)));
  const lost = missing > 0 && h('p', 'missing', `${plural(missing, 'row')} of this page ${missing === 1 ? 'is' : 'are'} no longer in the history.`);
  return [h('h3', {}, 'Rows, as they were'), lost, list, pagesNode(investigation, turn)].filter((node) => node !== null && node !== false);
}

/** @param {Fall} fall @param {TableOf} tableOf @param {boolean} unfolded */
function fallNode(fall, tableOf, unfolded) {
  const { row, taken } = fall;
  const node = changeNode(row, 'oid' in row ? tableOf(row.oid) : undefined, false);
  if (taken.length) {
    const tables = [...takenBy(fall)].map(([table, rows]) => `${count(rows)} ${table}`).join(', ');
    node.append(foldedNode(`took along by foreign key: ${tables}`, taken, tableOf, unfolded));
  }
  return node;
}

/** @param {Taken} taken @param {TableOf} tableOf @param {boolean} unfolded */
function orphanNode(taken, tableOf, unfolded) {
  const { cascade, falls } = taken;
  const cause = cascade.parent === null ? 'of a row that is not known' : 'of a row on another page';
  return h('li', 'row', foldedNode(`${plural(falls.length, 'row')} of ${cascade.table}, taken along by a foreign key ${cause}`, [taken], tableOf, unfolded));
}

/** Made when it is opened. @param {string} text @param {Taken[]} taken @param {TableOf} tableOf @param {boolean} unfolded */
function foldedNode(text, taken, tableOf, unfolded) {
  const details = h('details', { class: 'taken', open: unfolded }, h('summary', {}, text));
  let made = false;
  const make = () => {
    if (made || !details.open) return;
    made = true;
    for (const { cascade, falls, elsewhere } of taken) {
      const note = h('p', 'note', `${cascade.table} by ${cascade.foreign_key}${elsewhere ? `; ${plural(elsewhere, 'row')} on other pages` : ''}`);
      details.append(note, h('ol', 'falls', ...falls.map((fall) => fallNode(fall, tableOf, unfolded))));
    }
  };
  make();
  details.addEventListener('toggle', make);
  return details;
}

/** @param {Investigation} investigation @param {(from: number) => void} turn */
function pagesNode(investigation, turn) {
  const { from, to } = investigation;
  const last = lastOrdinal(investigation);
  const size = to - from + 1;
  if (from === 1 && to >= last) return null;
  const button = (/** @type {string} */ text, /** @type {number} */ start, /** @type {boolean} */ possible) => {
    const element = h('button', { class: 'action', type: 'button', disabled: !possible }, text);
    element.addEventListener('click', () => turn(start));
    return element;
  };
  return h(
    'nav',
    { class: 'pages', 'aria-label': 'Pages of rows' },
    button('First', 1, from > 1),
    button('Previous', Math.max(1, from - size), from > 1),
    h('span', 'extent', `Events ${count(from)} to ${count(Math.min(to, last))} of ${count(last)}`),
    button('Next', to + 1, to < last),
    button('Last', Math.max(1, last - size + 1), to < last),
  );
}
