/**
 * A column's value on the page: as text, whatever it holds.
 *
 * @typedef {import('../protocol.js').Value} Value
 */

import { bytes, value as textOf } from '../format.js';
import { Cut } from '../store/cut.js';
import { h } from './dom.js';

/** Characters of a value in a row of one line. */
const BRIEF = 80;
/** A longer value is collapsed, also where a transaction is opened. */
const COLLAPSED = 2048;

/**
 * @param {Value|undefined} value
 * @param {string} className
 * @param {boolean} brief  as part of one line
 */
export function valueNode(value, className, brief) {
  if (value === null || value === undefined) return h('span', `value null ${className}`, 'NULL');
  if (value instanceof Cut) return h('span', `value cut ${className}`, `${bytes(value.bytes)}, too long to be kept`);
  const text = textOf(value);
  if (text === '') return h('span', `value empty-text ${className}`, 'empty text');
  if (brief) return h('span', `value ${className}`, text.length > BRIEF ? `${text.slice(0, BRIEF)}…` : text);
  if (text.length <= COLLAPSED) return h('span', `value ${className}`, text);
  return collapsed(text, className);
}

/** @param {string} text @param {string} className */
function collapsed(text, className) {
  const whole = h('pre');
  const size = bytes(new Blob([text]).size);
  const details = h('details', `value long ${className}`, h('summary', {}, `${text.slice(0, BRIEF)}… `, h('b', {}, size)), whole);
  details.addEventListener('toggle', () => (whole.textContent = details.open ? text : ''));
  return details;
}
