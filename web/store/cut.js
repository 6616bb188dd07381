/**
 * Values that are too long to be kept: the stream leaves them out of the rows, and tells how long they are.
 *
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Row} Row
 */

/** Stands for such a value. */
export class Cut {
  /** @param {number} bytes  of its text */
  constructor(bytes) {
    this.bytes = bytes;
  }
}

/**
 * The change with all that its rows have, be it known or not.
 *
 * @param {Change} change
 * @param {string|undefined} identity  the table's replica identity
 * @returns {Change}
 */
export function withCut(change, identity) {
  const { cut } = change;
  if (!cut) return change;
  const complete = change.old_complete || (Object.keys(cut.old).length > 0 && identity === 'full');
  return { ...change, old: fill(change.old, cut.old), new: fill(change.new, cut.new), old_complete: complete };
}

/** @param {Row|null} row @param {Record<string, number>} cut @returns {Row|null} */
function fill(row, cut) {
  if (!row) return null;
  return { ...row, ...Object.fromEntries(Object.entries(cut).map(([column, bytes]) => [column, new Cut(bytes)])) };
}
