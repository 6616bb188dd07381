/**
 * How far the numbers on the page may be trusted, judged at the moment of painting.
 *
 * ```text
 *               our server silent ≥ 5 s, or not all heard on this connection → disconnected (connecting, if nothing was ever heard)
 * server says   connecting, resyncing, wrong_database, disconnected, stale   → the same
 * server says   live or lagging, and its proof, aged by our clock: ≥ 15 s    → stale
 *                                                                  ≥ 5 s     → lagging
 *                                                                  younger   → what the server says
 * ```
 *
 * The server's word can only be made worse here, never better.
 *
 * @typedef {import('./state.js').Connection} Connection
 * @typedef {import('../protocol.js').State} State
 *
 * @typedef {object} Freshness
 * @property {State} state
 * @property {'plain'|'behind'|'last-known'|'none'|'blocked'} numbers  how numbers are shown
 * @property {number|null} age      since they were last proven to be the present, ms
 * @property {string} reason        why it is not live, for a person; empty when it is
 * @property {number|null} retryIn  until the next attempt to reach our server, ms; 0 during it; null when there is none
 * @property {number} lagBytes
 */

/** A server that said nothing for so long is not there: it speaks every second. */
export const SILENCE_MS = 5000;
const LAGGING_MS = 5000;
const STALE_MS = 15000;

/** @type {Record<State, Freshness['numbers']>} */
const NUMBERS = {
  connecting: 'none',
  live: 'plain',
  lagging: 'behind',
  stale: 'last-known',
  disconnected: 'last-known',
  resyncing: 'none',
  wrong_database: 'blocked',
};

/**
 * Where the server gives no reason.
 *
 * @type {Record<State, string>}
 */
const REASONS = {
  connecting: 'pgvigil counts the tables for the first time.',
  live: '',
  lagging: 'Changes come faster than they can be read, or late: the numbers are those of a moment ago.',
  stale: 'PostgreSQL does not answer: nobody knows whether these numbers are still the present.',
  disconnected: 'pgvigil has lost PostgreSQL and tries to reach it again.',
  resyncing: 'Changes were lost: pgvigil counts all tables anew.',
  wrong_database: '',
};

/**
 * @param {Connection} connection
 * @param {number} now
 * @returns {Freshness}
 */
export function judge(connection, now) {
  const age = connection.provenAt === null ? null : Math.max(0, now - connection.provenAt);
  const [state, reason] = verdict(connection, now, age);
  const lagBytes = connection.status?.said.lag_bytes ?? 0;
  return { state, numbers: NUMBERS[state], age, reason, retryIn: retryIn(connection, now), lagBytes };
}

/** @param {Connection} connection @param {number} now */
function retryIn({ phase, retryAt, losses }, now) {
  if (phase === 'waiting' && retryAt !== null) return Math.max(0, retryAt - now);
  return phase === 'connecting' && losses > 0 ? 0 : null;
}

/**
 * @param {Connection} connection
 * @param {number} now
 * @param {number|null} age
 * @returns {[State, string]}
 */
function verdict(connection, now, age) {
  if (connection.stranger) return ['wrong_database', ''];
  const { status, heardAt, losses } = connection;
  if (heardAt !== null && now - heardAt >= SILENCE_MS) return ['disconnected', connection.why || 'No message came from pgvigil.'];
  if (!status && losses > 0) return ['disconnected', connection.why || 'Connected again; waiting for the present state.'];
  if (!status) return ['connecting', 'Waiting for pgvigil to answer.'];

  const { state, reason } = status.said;
  // A state of a later server, which this page does not know, is none to trust.
  if (!(state in NUMBERS)) return ['stale', reason ?? `pgvigil is in the state "${state}".`];
  if (state !== 'live' && state !== 'lagging') return [state, reason ?? REASONS[state]];
  if (!connection.greeted || !connection.counted) return ['connecting', 'Waiting for the counts.'];
  if (age === null || age >= STALE_MS) return ['stale', REASONS.stale];
  if (age >= LAGGING_MS) return ['lagging', 'PostgreSQL has not confirmed for a while that this is the present.'];
  return [state, reason ?? REASONS[state]];
}
