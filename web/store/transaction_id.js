/**
 * A transaction's id, `{epoch}-{commit_lsn with - for /}`, and the ids of the events in it, `{epoch}.{commit_lsn}.{ordinal}`.
 *
 * @typedef {{epoch: string, lsn: bigint}} Place
 */

const FORM = /^([a-z0-9]+)-([0-9A-F]{1,8})-([0-9A-F]{1,8})$/i;

/** @param {string} id @returns {Place|null} */
export function placeOf(id) {
  const parts = FORM.exec(id);
  return parts && { epoch: parts[1], lsn: (BigInt(`0x${parts[2]}`) << 32n) | BigInt(`0x${parts[3]}`) };
}

/** As PostgreSQL writes it. @param {bigint} lsn */
export function lsnText(lsn, between = '/') {
  const hex = (/** @type {bigint} */ half) => half.toString(16).toUpperCase();
  return `${hex(lsn >> 32n)}${between}${hex(lsn & 0xffffffffn)}`;
}

/** @param {Place} place @param {number} ordinal */
export function eventId({ epoch, lsn }, ordinal) {
  return `${epoch}.${lsnText(lsn, '-')}.${ordinal}`;
}
