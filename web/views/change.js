/**
 * One change of a transaction: what was done, to which row, and which columns it touched. Where the log does not hold the old values,
 * the row says so and why.
 *
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Ddl} Ddl
 * @typedef {import('../protocol.js').Row} Row
 * @typedef {import('../protocol.js').Table} Table
 */

import { plural, value as textOf } from '../format.js';
import { Cut, withCut } from '../store/cut.js';
import { h } from './dom.js';
import { valueNode } from './value.js';

/** The signs and letters of the operations. */
const OPERATION = {
  insert: { sign: '+', letters: 'INS' },
  update: { sign: '~', letters: 'UPD' },
  delete: { sign: '−', letters: 'DEL' },
  truncate: { sign: '∅', letters: 'TRUNC' },
};

/** @param {keyof typeof OPERATION} op */
export function operationNode(op) {
  const { sign, letters } = OPERATION[op];
  return h('span', `op ${op}`, h('span', 'sign', sign), ` ${letters}`);
}

/**
 * @param {Change|Ddl} event
 * @param {Table|undefined} table  as it is now, if it still is
 * @param {boolean} brief          on one line
 */
export function changeNode(event, table, brief) {
  if (event.type === 'ddl') {
    const subject = h('span', 'subject', h('b', {}, event.object ?? ''));
    const what = h('span', 'what', h('span', 'ddl-command', event.command), ' ', valueNode(event.sql ?? '', 'sql', brief));
    return h('li', 'row', h('span', 'op ddl', h('span', 'sign', '◇'), ' DDL'), subject, what);
  }
  const change = withCut(event, table?.replica_identity);
  const key = keyOf(change, table);
  const schema = event.schema === 'public' ? '' : `${event.schema}.`;
  const subject = h('span', 'subject', h('span', 'schema', schema), h('b', {}, event.table), ...keyNodes(key, brief));
  return h('li', 'row', operationNode(event.op), subject, h('span', 'what', ...whatNodes({ ...change, key }, table, brief).flatMap((node) => [node, ' '])));
}

/**
 * What names the row: the key that the log gave, else the primary key's columns in what it gave of the row.
 *
 * @param {Change} change
 * @param {Table|undefined} table
 * @returns {Row|null}
 */
function keyOf({ key, old, new: row }, table) {
  if (key) return key;
  const columns = row ?? old ?? {};
  const known = (table?.key ?? []).filter((column) => column in columns);
  return known.length ? Object.fromEntries(known.map((column) => [column, columns[column]])) : null;
}

/** @param {Row|null} key @param {boolean} brief */
function keyNodes(key, brief) {
  return Object.entries(key ?? {}).map(([column, value]) => h('span', 'key', ` ${column}=`, valueNode(value, '', brief)));
}

/** @param {Change} change @param {Table|undefined} table @param {boolean} brief @returns {(Node|string)[]} */
function whatNodes(change, table, brief) {
  const { op, old, new: row, key, old_complete: complete } = change;
  if (op === 'truncate') return truncateNodes(change, brief);
  if (op === 'insert') return columns(without(row, key), 'plain', brief);
  if (op === 'delete') {
    if (complete) return columns(without(old, key), 'gone', brief);
    return [note(`what the row held is not in the log: ${because(table?.replica_identity)}`)];
  }
  return updateNodes(change, table, brief);
}

/** @param {Change} change @param {boolean} brief @returns {(Node|string)[]} */
function truncateNodes({ rows_lost: lost, old_rows: rows }, brief) {
  const gone = h('span', 'lost', lost === null || lost === undefined ? 'all rows, nobody counted them' : `${plural(lost, 'row')} gone`);
  if (!rows) return [gone, note('the log does not hold them: TRUNCATE writes no rows')];
  if (brief) return [gone];
  const list = h('ol', 'falls', ...rows.map((row) => h('li', {}, ...columns(row, 'gone', false).flatMap((node) => [node, ' ']))));
  const more = (lost ?? 0) - rows.length;
  return more > 0 ? [gone, list, note(`and ${plural(more, 'row')} more, which the JSON of this change has`)] : [gone, list];
}

/** @param {Change} change @param {Table|undefined} table @param {boolean} brief @returns {(Node|string)[]} */
function updateNodes({ old, new: row, key, old_complete: complete, unchanged }, table, brief) {
  const unsent = unchanged.filter((column) => !(row && column in row));
  const kept = unsent.length ? [note(`${unsent.join(', ')}: large and not changed, so not sent`)] : [];
  // Two values of one length that are too long to be kept may differ all the same.
  const same = (/** @type {string} */ column, /** @type {import('../protocol.js').Value} */ value) =>
    textOf(old?.[column]) === textOf(value) && !(value instanceof Cut && !unchanged.includes(column));
  const changed = Object.entries(row ?? {}).filter(([column, value]) => old && column in old && !same(column, value));
  const pairs = changed.map(([column, value]) => pair(column, old?.[column], value, brief));
  if (complete) return pairs.length || kept.length ? [...pairs, ...kept] : [note('written again, no column changed')];
  // Only the key is known of the old row: which of the other columns changed cannot be told.
  const others = without(without(row, key), Object.fromEntries(changed));
  return [...pairs, ...columns(others, 'plain', brief), ...kept, note(`old values are not in the log: ${because(table?.replica_identity)}`)];
}

/** @param {string} column @param {import('../protocol.js').Value|undefined} from @param {import('../protocol.js').Value} to @param {boolean} brief */
function pair(column, from, to, brief) {
  const arrow = h('span', { class: 'arrow' }, h('span', 'unseen', ' became '), h('span', { 'aria-hidden': 'true' }, ' → '));
  return h('span', 'column', h('span', 'column-name', column), ' ', valueNode(from, 'old', brief), arrow, valueNode(to, 'new', brief));
}

/** @param {Row} row @param {'plain'|'gone'} className @param {boolean} brief */
function columns(row, className, brief) {
  return Object.entries(row).map(([column, value]) => h('span', 'column', h('span', 'column-name', column), ' ', valueNode(value, className, brief)));
}

/** @param {Row|null} row @param {Row|null} left @returns {Row} */
function without(row, left) {
  return Object.fromEntries(Object.entries(row ?? {}).filter(([column]) => !(left && column in left)));
}

/** @param {string} text */
function note(text) {
  return h('span', 'note', text);
}

/** @param {string|undefined} identity */
function because(identity) {
  switch (identity) {
    case 'default':
      return 'replica identity DEFAULT records the key only';
    case 'index':
      return 'replica identity USING INDEX records that index only';
    case 'nothing':
      return 'replica identity NOTHING records none of them';
    default:
      return 'the replica identity does not record them';
  }
}
