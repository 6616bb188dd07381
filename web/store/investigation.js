/**
 * One transaction under investigation: what is known of it, a page of its rows, and what of it can be brought back.
 *
 * All of it is history: nothing here changes when the database does. Only one page of rows is held, however large the transaction was.
 *
 * @typedef {import('./state.js').Investigation} Investigation
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Ddl} Ddl
 * @typedef {import('../protocol.js').Commit} Commit
 * @typedef {import('../protocol.js').TableTotals} TableTotals
 *
 * @typedef {{tx: string, step: 'found', commit: Commit}
 *   | {tx: string, step: 'rows', rows: (Change|Ddl)[], from: number, to: number, kept: number}
 *   | {tx: string, step: 'turning'}
 *   | {tx: string, step: 'failed', problem: import('./state.js').ProblemText}
 *   | {tx: string, step: 'undo', undo: import('./state.js').UndoState}} Finding
 */

/** Events on a page of rows. */
export const PAGE_EVENTS = 500;

/** @param {string} tx @param {Commit|null} commit  where the page has it already @returns {Investigation} */
export function investigate(tx, commit) {
  return { tx, commit, rows: null, from: 1, to: 0, kept: 0, truncates: new Map(), turning: false, problem: null, undo: { phase: 'asked' } };
}

/** What was found out; of no use any more when another transaction is looked at by now. @param {Investigation|null} investigation @param {Finding} finding */
export function find(investigation, finding) {
  if (investigation?.tx !== finding.tx) return investigation;
  switch (finding.step) {
    case 'found':
      return { ...investigation, commit: finding.commit };
    case 'rows': {
      const { rows, from, to, kept } = finding;
      return { ...investigation, rows, from, to, kept, truncates: addTruncates(investigation.truncates, rows), turning: false, problem: null };
    }
    case 'turning':
      return { ...investigation, turning: true, problem: null };
    case 'failed':
      return { ...investigation, turning: false, problem: finding.problem };
    default:
      return { ...investigation, undo: finding.undo };
  }
}

/** The ordinal of the last event before the commit. @param {Investigation} investigation */
export function lastOrdinal({ commit, to }) {
  return commit?.tx.ordinal === undefined ? to : commit.tx.ordinal - 1;
}

/** Rows of the page that the history does not hold any more. @param {Investigation} investigation */
export function missingRows(investigation) {
  const { rows, from, to, kept } = investigation;
  return rows === null ? 0 : Math.max(0, Math.min(to, lastOrdinal(investigation)) - from + 1 - kept);
}

/**
 * What a table held before and after the transaction, and what a truncate took; null where that is not known.
 *
 * @param {TableTotals} totals
 * @param {Investigation['truncates']} truncates
 * @returns {{before: number|null, after: number|null, lost: number|null}}
 */
export function beforeAndAfter({ schema, name, inserts, deletes, truncates: times = 0, count: after }, truncates) {
  const seen = [...truncates.values()].filter((change) => change.schema === schema && change.table === name);
  const known = seen.length === times && seen.every(({ rows_lost: rows }) => rows !== null && rows !== undefined);
  const lost = known ? seen.reduce((sum, { rows_lost: rows }) => sum + (rows ?? 0), 0) : null;
  const before = after === null || lost === null ? null : after - inserts + deletes + lost;
  return { before, after, lost };
}

/** @param {Investigation['truncates']} known @param {(Change|Ddl)[]} rows @returns {Investigation['truncates']} */
function addTruncates(known, rows) {
  const found = new Map(known);
  for (const row of rows) if (row.type === 'change' && row.op === 'truncate') found.set(row.id, row);
  return found.size > known.size ? found : known;
}

/** The statements that are known to have done it, in their order, each once. @param {Investigation} investigation */
export function statements({ commit, rows }) {
  const told = [commit?.tx.actor?.query, ...(rows ?? []).map((row) => row.tx.actor?.query)].filter((query) => query != null);
  /** @type {string[]} */
  const known = [];
  for (const query of told) {
    // Each row has the beginning of its statement only, which the commit may have whole.
    const beginning = query.endsWith('…') ? query.slice(0, -1) : query;
    if (!known.some((other) => other === query || (query !== beginning && other.startsWith(beginning)))) known.push(query);
  }
  return known;
}

/**
 * What the transaction is called after: the first table that lost rows, since that is the one that took others along.
 *
 * @param {Commit} commit
 */
export function headline({ tables, tx }) {
  const lost = tables.filter((table) => table.deletes > 0 || table.truncates);
  const [first] = lost;
  if (!first) return { kind: /** @type {const} */ ('change'), changes: tx.changes ?? 0, tables: tables.length };
  const kind = first.truncates ? /** @type {const} */ ('truncate') : /** @type {const} */ ('delete');
  const others = lost.slice(1);
  return { kind, table: first, others: others.length, deleted: others.reduce((sum, table) => sum + table.deletes, 0) };
}
