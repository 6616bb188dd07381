/**
 * What the page's address says: the filter, and the transaction that is looked at. So either can be sent to someone, and survives a
 * reload.
 *
 * @typedef {import('./state.js').Filter} Filter
 */

import { searchOf } from './filter.js';

/** @param {Filter} filter @param {string|null} tx */
export function addressOf(filter, tx) {
  const query = new URLSearchParams(searchOf(filter));
  if (tx !== null) query.set('tx', tx);
  const text = query.toString();
  return text && `?${text}`;
}

/** @param {string} search @returns {string|null} */
export function txFrom(search) {
  return new URLSearchParams(search).get('tx') || null;
}
