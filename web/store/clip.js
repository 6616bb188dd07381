/**
 * Keeps one giant value from filling the page's memory: beyond a limit only its beginning is kept, and the cut is said. So are the rows
 * that a truncate took.
 *
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Row} Row
 * @typedef {import('../protocol.js').Value} Value
 */

/** Characters kept of one value. */
export const VALUE_KEPT = 256 * 1024;

/** Rows kept of those that a truncate took. */
export const ROWS_KEPT = 100;

/**
 * @param {Change} change
 * @param {number} length  characters of its JSON
 * @returns {Change}
 */
export function clipRow(change, length) {
  const rows = change.old_rows?.slice(0, ROWS_KEPT);
  const few = rows ? { ...change, old_rows: rows } : change;
  if (length <= VALUE_KEPT) return few;
  const clipped = { ...few, key: clip(few.key), old: clip(few.old), new: clip(few.new) };
  return rows ? { ...clipped, old_rows: rows.map((row) => clip(row) ?? row) } : clipped;
}

/** @param {Row|null} row @returns {Row|null} */
function clip(row) {
  return row && Object.fromEntries(Object.entries(row).map(([column, value]) => [column, clipValue(value)]));
}

/** @param {Value} value @returns {Value} */
function clipValue(value) {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (text.length <= VALUE_KEPT) return value;
  return `${text.slice(0, VALUE_KEPT)}… (cut here: ${text.length.toLocaleString('en')} characters in all)`;
}
