/**
 * What the server says over the WebSocket, one JSON object a text frame: the types, and the way from text to them.
 *
 * The server may add types and fields at any time; what is not known here is passed over.
 *
 * @typedef {'connecting'|'live'|'lagging'|'stale'|'disconnected'|'resyncing'|'wrong_database'} State
 * @typedef {null|string|number|boolean|unknown[]|{[key: string]: unknown}|import('./store/cut.js').Cut} Value  A column's value: never markup, only ever shown as text.
 * @typedef {Record<string, Value>} Row
 *
 * @typedef {object} Database
 * @property {string} name
 * @property {number} oid
 * @property {string} system_identifier
 * @property {string} host
 * @property {number} port
 * @property {string} server_version
 *
 * @typedef {object} Transaction
 * @property {string} id        `{epoch}-{commit_lsn with - for /}`
 * @property {number} xid
 * @property {string} lsn
 * @property {string} time      when it was committed, RFC 3339
 * @property {number} [ordinal] of the event in it, counting from 1
 * @property {number} [changes] of rows in all, with the commit only
 * @property {Actor|null} [actor]
 *
 * @typedef {object} Actor  Who did it, as far as it was told.
 * @property {string|null} session_user      who logged in
 * @property {string|null} current_user      the role taken on
 * @property {string|null} application_name
 * @property {string|null} client_addr       none on a Unix socket
 * @property {number|null} pid
 * @property {string|null} query             the statement, as far as it was told
 * @property {'trigger'|'annotation'|'activity'} source what all this rests on; an annotation is the application's own word, activity the server's list of sessions
 * @property {Record<string, unknown>} [annotation]
 *
 * @typedef {object} Hello
 * @property {'hello'} type
 * @property {string} epoch
 * @property {Database|null} database
 * @property {string} lsn
 * @property {string|null} [from]  the event after which the stream goes on
 * @property {State} state
 *
 * @typedef {object} Table
 * @property {number} oid
 * @property {string} schema
 * @property {string} name
 * @property {'table'|'partitioned_table'|'partition'|'materialized_view'|'foreign_table'} kind
 * @property {number|null} parent
 * @property {number|null} count          exact, or null
 * @property {'exact'|'counting'|'unknown'|'uncovered'} count_state
 * @property {string|null} reason
 * @property {number|null} progress       percent
 * @property {number} inserts
 * @property {number} updates
 * @property {number} deletes
 * @property {number} truncates
 * @property {string|null} last_change
 * @property {string|null} verified_at
 * @property {string} replica_identity    `default`, `nothing`, `full` or `index`
 * @property {string[]} key
 *
 * @typedef {object} AsOf
 * @property {string} lsn
 * @property {string} time
 *
 * @typedef {object} Counts
 * @property {'counts'} type
 * @property {AsOf} as_of
 * @property {boolean} whole   every table that there is, or only those that changed
 * @property {Table[]} tables
 * @property {number[]} [gone] oids of tables that are no more
 *
 * @typedef {'insert'|'update'|'delete'|'truncate'} Operation
 *
 * @typedef {object} Change
 * @property {'change'} type
 * @property {string} id
 * @property {Operation} op
 * @property {string} schema
 * @property {string} table
 * @property {number} oid
 * @property {Transaction} tx
 * @property {Row|null} key
 * @property {Row|null} old
 * @property {Row|null} new
 * @property {boolean} old_complete
 * @property {string[]} unchanged
 * @property {{old: Record<string, number>, new: Record<string, number>}} [cut]  columns too long to be kept, and their bytes
 * @property {number|null} count
 * @property {number|null} [rows_lost]
 * @property {Row[]} [old_rows]              all rows that a truncate took, where they are known
 *
 * @typedef {object} TableTotals
 * @property {string} schema
 * @property {string} name
 * @property {number} inserts
 * @property {number} updates
 * @property {number} deletes
 * @property {number} [truncates]
 * @property {number|null} count
 *
 * @typedef {object} Commit
 * @property {'commit'} type
 * @property {string} [id]
 * @property {Transaction} tx
 * @property {TableTotals[]} tables
 *
 * @typedef {object} Ddl
 * @property {'ddl'} type
 * @property {string} id
 * @property {Transaction} tx
 * @property {string} command
 * @property {string|null} object
 * @property {string|null} sql
 *
 * @typedef {object} Gap
 * @property {'gap'} type
 * @property {string|null} from
 * @property {string|null} to
 * @property {string} reason  `evicted`, `slot_lost`, `slot_invalidated`, `slot_moved`, `server_rewound`, `wal_budget`, `restart`, `skipped`, `damaged`
 *
 * @typedef {object} Slot
 * @property {string} name
 * @property {boolean} temporary
 * @property {number} [retained_bytes]
 * @property {number} [budget_bytes]
 *
 * @typedef {object} Status
 * @property {'status'} type
 * @property {State} state
 * @property {string} [since]
 * @property {string|null} [reason]
 * @property {Database|null} [database]
 * @property {string|null} [lsn]
 * @property {number|null} [lag_bytes]
 * @property {number|null} last_proof_age_ms
 * @property {string|null} [epoch]
 * @property {Slot|null} [slot]
 * @property {number} [uptime_ms]  the server's monotonic clock: shows a connection that delivers late
 *
 * @typedef {object} Alert  One rule broken, from when it fired until it was resolved.
 * @property {'alert'} type
 * @property {string} id
 * @property {string} rule
 * @property {string} [kind]
 * @property {'info'|'warning'|'critical'} severity
 * @property {'firing'|'resolved'} state
 * @property {string} [text]            one sentence
 * @property {string|null} [schema]
 * @property {string|null} [table]
 * @property {number|null} [from]       rows before
 * @property {number|null} [to]         rows after
 * @property {number|null} [deleted]    rows that the transaction deleted or truncated
 * @property {Transaction|null} [tx]     of those that made a table fall the greatest
 * @property {number} [other_transactions]  that made it fall
 * @property {Actor|null} [actor]
 * @property {string} since
 * @property {string} [last]
 * @property {string|null} [resolved_at]
 * @property {number} [times]           how often it happened
 * @property {{restores: boolean|null, reason: string|null}|null} [undo]
 * @property {string[]} [cannot_evaluate]  rules that are blind because of this
 *
 * @typedef {object} RunningTransaction  A large one that is streamed while it runs; nothing of it is committed.
 * @property {number} xid
 * @property {'running'|'committed'|'rolled_back'} state
 * @property {string} since
 * @property {number} changes  so far
 * @property {boolean} exact   what was rolled back in it is left out
 * @property {{schema: string|null, name: string|null, inserts: number, updates: number, deletes: number, truncates: number}[]} tables  the most changed first
 * @property {Actor|null} actor
 *
 * @typedef {{type: 'running', transactions: RunningTransaction[]}} Running  All of them, each time.
 *
 * @typedef {object} Fault
 * @property {'error'} type
 * @property {string} code
 * @property {string} message
 *
 * @typedef {Hello|Counts|Change|Commit|Ddl|Gap|Status|Alert|Running|Fault} Frame
 */

const KNOWN = new Set(['hello', 'counts', 'change', 'commit', 'ddl', 'gap', 'status', 'alert', 'running', 'error']);

/**
 * The frame in `text`, or null when its type is none that this page knows. Text that is no frame at all is said, not swallowed.
 *
 * @param {string} text
 * @returns {Frame|null}
 */
export function parseFrame(text) {
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {
    return { type: 'error', code: 'unreadable', message: 'pgvigil sent something that this page cannot read.' };
  }
  return frame && KNOWN.has(frame.type) ? frame : null;
}

/**
 * Whether `text` holds a row's change or its commit, told from its first bytes: under a flood these may be passed over unread.
 *
 * @param {string} text
 * @returns {'change'|'commit'|null}
 */
export function bulkKind(text) {
  if (text.startsWith('{"type":"change"')) return 'change';
  if (text.startsWith('{"type":"commit"')) return 'commit';
  return null;
}

/**
 * The event id at which the stream may be resumed when nothing was received since `hello`.
 *
 * @param {Hello} hello
 */
export function positionOf({ from, epoch, lsn }) {
  return from ?? `${epoch}.${lsn.replace('/', '-')}.0`;
}

/** @param {{schema: string, name: string}} table */
export function qualified({ schema, name }) {
  return `${schema}.${name}`;
}
