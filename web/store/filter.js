/**
 * Which changes the feed shows; lives in the page's address, so that a view can be sent to someone.
 *
 * @typedef {import('./state.js').Filter} Filter
 * @typedef {import('./state.js').Item} Item
 * @typedef {import('./state.js').Change} Change
 * @typedef {import('./state.js').Ddl} Ddl
 */

import { qualified } from '../protocol.js';

export const OPERATIONS = /** @type {const} */ (['insert', 'update', 'delete', 'truncate']);

/** @param {string} search  of the page's address @returns {Filter} */
export function filterFrom(search) {
  const query = new URLSearchParams(search);
  const ops = (query.get('op') ?? '').split(',').filter((op) => OPERATIONS.some((known) => known === op));
  return { table: query.get('table') || null, ops };
}

/** @param {Filter} filter @returns {string} */
export function searchOf({ table, ops }) {
  const query = new URLSearchParams();
  if (table !== null) query.set('table', table);
  if (ops.length) query.set('op', ops.join(','));
  const text = query.toString();
  return text && `?${text}`;
}

/** @param {Filter} filter */
export function isActive({ table, ops }) {
  return table !== null || ops.length > 0;
}

/** @param {Filter} filter @param {string} table @returns {Filter} */
export function toggleTable(filter, table) {
  return { ...filter, table: filter.table === table ? null : table };
}

/** @param {Filter} filter @param {string} op @returns {Filter} */
export function toggleOp(filter, op) {
  const ops = OPERATIONS.filter((known) => (known === op) !== filter.ops.includes(known));
  return { ...filter, ops: ops.length === OPERATIONS.length ? [] : ops };
}

/** What could not be shown is never filtered away. @param {Filter} filter @param {Item} item */
export function matchesItem(filter, item) {
  if (item.kind !== 'transaction' || !isActive(filter)) return true;
  return Object.keys(item.touched).some((key) => {
    const space = key.lastIndexOf(' ');
    return matches(filter, key.slice(0, space), key.slice(space + 1));
  });
}

/** @param {Filter} filter @param {Change|Ddl} row */
export function matchesRow(filter, row) {
  // A statement names its object as SQL does, quoted where need be.
  if (row.type === 'ddl') return filter.ops.length === 0 && (filter.table === null || row.object?.replaceAll('"', '') === filter.table);
  return matches(filter, qualified({ schema: row.schema, name: row.table }), row.op);
}

/** @param {Filter} filter @param {string} table @param {string} op */
function matches(filter, table, op) {
  return (filter.table === null || filter.table === table) && (filter.ops.length === 0 || filter.ops.includes(op));
}
