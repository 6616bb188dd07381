/**
 * The line to our own server, and what it last said about the line behind it.
 *
 * Whatever an earlier connection said counts for nothing on a new one: the numbers are the present only once `hello`, the counts and a
 * `status` came on the connection that is open now.
 *
 * @typedef {import('./state.js').Connection} Connection
 * @typedef {import('../protocol.js').Database} Database
 * @typedef {import('../protocol.js').Frame} Frame
 * @typedef {import('../protocol.js').Status} Status
 */

import { positionOf } from '../protocol.js';

const nothingHeard = { greeted: false, counted: false, status: null, baseDelay: null };

/** @param {Connection} connection @returns {Connection} */
export function listening(connection) {
  return { ...connection, ...nothingHeard, phase: 'connecting', retryAt: null };
}

/** @param {Connection} connection @returns {Connection} */
export function opened(connection) {
  return { ...connection, phase: 'open', why: '' };
}

/** @param {Connection} connection @param {string} why @param {number} retryAt @returns {Connection} */
export function lost(connection, why, retryAt) {
  return { ...connection, ...nothingHeard, phase: 'waiting', losses: connection.losses + 1, why, retryAt };
}

/** @param {Connection} connection @param {Frame} frame @param {number} at @returns {Connection} */
export function hear(connection, frame, at) {
  const heard = { ...connection, heardAt: at };
  switch (frame.type) {
    case 'hello':
      return { ...recognize(heard, frame.database), greeted: true, lastId: heard.lastId ?? positionOf(frame) };
    case 'counts':
      return { ...heard, counted: heard.counted || frame.whole };
    case 'status':
      return hearStatus(recognize(heard, frame.database ?? null), frame, at);
    case 'change':
    case 'ddl':
      return { ...heard, lastId: frame.id };
    case 'commit':
      return frame.id ? { ...heard, lastId: frame.id } : heard;
    case 'gap':
      return frame.to ? { ...heard, lastId: frame.to } : heard;
    default:
      return heard;
  }
}

/** @param {Connection} connection @param {Status} status @param {number} at @returns {Connection} */
function hearStatus(connection, status, at) {
  // The two clocks share no zero, but both are monotonic: what their offset exceeds the smallest one by is time spent on the way.
  const offset = status.uptime_ms === undefined ? null : at - status.uptime_ms;
  const baseDelay = offset === null ? null : Math.min(offset, connection.baseDelay ?? offset);
  const delay = offset === null || baseDelay === null ? 0 : offset - baseDelay;
  const proof = status.last_proof_age_ms;
  return {
    ...connection,
    // After a wrong database nothing that was counted before stands.
    counted: connection.counted && status.state !== 'wrong_database',
    status: { said: status, at, delay },
    baseDelay,
    provenAt: proof === null ? connection.provenAt : at - proof - delay,
  };
}

/**
 * The page belongs to the first database that it is told of.
 *
 * @param {Connection} connection
 * @param {Database|null} database
 * @returns {Connection}
 */
function recognize(connection, database) {
  if (!database) return connection;
  const expected = connection.database;
  if (!expected) return { ...connection, database };
  const same = expected.system_identifier === database.system_identifier && expected.oid === database.oid;
  return same ? { ...connection, database } : { ...connection, stranger: { expected, actual: database } };
}
