/**
 * All that the page knows, as one immutable value; and what may happen to it.
 *
 * Times named `at` are milliseconds of the page's clock (`clock.js`); nothing here says "live": how far the numbers may be trusted
 * depends on the moment of looking and is judged then (`freshness.js`).
 *
 * @typedef {import('../protocol.js').Table} Table
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Ddl} Ddl
 * @typedef {import('../protocol.js').Commit} Commit
 * @typedef {import('../protocol.js').Status} Status
 * @typedef {import('../protocol.js').Database} Database
 * @typedef {import('../protocol.js').Transaction} Transaction
 * @typedef {import('../protocol.js').Alert} Alert
 * @typedef {import('../protocol.js').RunningTransaction} RunningTransaction
 *
 * @typedef {object} Connection  The line to our own server.
 * @property {'connecting'|'open'|'waiting'} phase
 * @property {number|null} heardAt    last frame of any connection
 * @property {number|null} retryAt    while waiting
 * @property {number} losses          how often the line was lost
 * @property {string} why             why it was lost last, for a person
 * @property {boolean} greeted        `hello` came on this connection
 * @property {boolean} counted        the counts came whole on this connection
 * @property {{said: Status, at: number, delay: number}|null} status  the last of this connection; `delay`: how late it came
 * @property {number|null} baseDelay  the least offset between the two clocks on this connection
 * @property {number|null} provenAt   when the numbers were last known to be the present
 * @property {Database|null} database
 * @property {{expected: Database, actual: Database}|null} stranger  another database answers than the one this page began with
 * @property {string|null} lastId     the last event received: where to go on
 *
 * @typedef {object} Sample  @property {number} at  @property {number} count
 *
 * @typedef {object} Tables
 * @property {ReadonlyMap<number, Table>} byOid
 * @property {ReadonlyMap<number, Sample[]>} samples  counts of the last minute, oldest first, at most one a second
 * @property {string|null} lsn        all counts are true at this position
 * @property {number|null} since      when the first counts came: nothing is known of before
 * @property {ReadonlySet<number>} folded  partitioned tables whose partitions are hidden
 *
 * @typedef {object} Card  A transaction in the feed.
 * @property {'transaction'} kind
 * @property {number} seq             its place in the feed, never used twice
 * @property {Transaction} tx
 * @property {number} ordinal         of the last event received
 * @property {(Change|Ddl)[]} rows    the first ROWS_KEPT of them
 * @property {number} changes         of rows, kept or not
 * @property {Commit|null} commit     once complete
 * @property {Record<string, number>} touched  changes by `schema.table operation`, for the filter
 * @property {number} size            characters
 *
 * @typedef {object} Notice  Something in the feed that is no transaction.
 * @property {'gap'|'skipped'|'fault'} kind
 * @property {number} seq
 * @property {string|null} [from]
 * @property {string|null} [to]
 * @property {string} [reason]
 * @property {number} [changes]
 * @property {number} [commits]
 * @property {string} [message]
 * @property {number} size
 *
 * @typedef {Card|Notice} Item
 *
 * @typedef {object} Feed
 * @property {readonly Item[]} items    oldest first
 * @property {number} nextSeq
 * @property {number} size              characters in all items
 * @property {boolean} evicted          older ones are no longer kept
 * @property {Pause|null} pause
 * @property {number|null} selected     seq
 * @property {ReadonlyMap<number, number>} opened  rows shown, by seq, where not FIRST_ROWS
 *
 * @typedef {object} Pause  What was on screen stays there, whatever comes.
 * @property {readonly Item[]} items
 * @property {boolean} evicted
 * @property {number} nextSeq
 * @property {string} since             wall-clock time, for a person
 *
 * @typedef {object} Alerts
 * @property {ReadonlyMap<string, {alert: Alert, at: number}>} byId
 * @property {ReadonlyMap<string, number>} acknowledged  on this page: how often it had happened then
 * @property {boolean|null} evaluating  whether rules about counts can be evaluated now
 * @property {readonly Webhook[]} webhooks
 * @property {number} rules             that watch
 * @property {boolean} loaded           the server's list was read
 * @property {string|null} fault        why it could not be
 *
 * @typedef {object} Bulletin  @property {Alert[]} alerts  @property {boolean|null} evaluating  @property {Webhook[]} webhooks  @property {number} rules
 *
 * @typedef {object} Webhook  How it goes with one that alerts are sent to.
 * @property {string} name
 * @property {string} host
 * @property {number} delivered
 * @property {number} failed
 * @property {number} [dropped]
 * @property {number} [waiting]
 * @property {string|null} [last_success]
 * @property {{time: string, error: string, tries: number, given_up: boolean}|null} [last_failure]
 * @property {boolean} failing
 *
 * @typedef {{code: string, title: string, detail: string}} ProblemText
 *
 * @typedef {object} Missing  Something that cannot be brought back.
 * @property {string} reason
 * @property {number|null} rows
 * @property {string[]} columns
 * @property {boolean} partial  rows come back without these columns
 * @property {string[]} [by]    the transactions that changed it later
 * @property {string} detail
 *
 * @typedef {object} Coverage
 * @property {boolean} complete
 * @property {number} rows
 * @property {number|null} [lost]  changes that are not kept any more, each of a row at most; null where a TRUNCATE is among them
 * @property {number} restorable
 * @property {number} [already]  rows that are as they were already
 * @property {string[]} [notes]
 * @property {{schema: string, name: string, inserted: number, updated: number, deleted: number, truncated?: number|null, restorable: number, missing: Missing[], triggers: string[]}[]} tables
 * @property {string[]} warnings
 *
 * @typedef {object} Cascade  Rows that one row took along by one foreign key.
 * @property {string|null} parent  the event of that row; null where it is not known which
 * @property {string} foreign_key
 * @property {string} schema
 * @property {string} table
 * @property {string[]} rows       their events
 *
 * @typedef {{phase: 'asked'} | {phase: 'known', coverage: Coverage, cascades: Cascade[]} | {phase: 'failed', problem: ProblemText}} UndoState
 *
 * @typedef {object} Investigation  One transaction, as the history has it.
 * @property {string} tx
 * @property {Commit|null} commit
 * @property {(Change|Ddl)[]|null} rows  one page of them
 * @property {number} from              ordinals of the page
 * @property {number} to
 * @property {number} kept              events of the page that the history still had
 * @property {ReadonlyMap<string, Change>} truncates  seen so far, by event id
 * @property {boolean} turning          another page is asked for
 * @property {ProblemText|null} problem
 * @property {UndoState} undo
 *
 * @typedef {object} Filter  @property {string|null} table  @property {readonly string[]} ops
 *
 * @typedef {object} State
 * @property {Connection} connection
 * @property {Tables} tables
 * @property {Feed} feed
 * @property {Filter} filter
 * @property {Alerts} alerts
 * @property {readonly RunningTransaction[]} running  large transactions that are not committed; none once the line is lost
 * @property {Investigation|null} investigation
 * @property {Tab} tab                  what a narrow screen shows; a wide one has the tables always
 * @property {boolean} help
 *
 * @typedef {'tables'|'feed'|'alerts'} Tab
 * @typedef {import('../inbox.js').Delivery} Delivery
 *
 * @typedef {{type: 'socket/connecting'}
 *   | {type: 'socket/open'}
 *   | {type: 'socket/lost', why: string, retryAt: number}
 *   | {type: 'received', deliveries: Delivery[]}
 *   | {type: 'feed/pause', since: string}
 *   | {type: 'feed/resume'}
 *   | {type: 'feed/select', seq: number|null}
 *   | {type: 'feed/open', seq: number, rows: number}
 *   | {type: 'tables/fold', oid: number}
 *   | {type: 'filter', filter: Filter}
 *   | {type: 'tab', tab: Tab}
 *   | {type: 'alerts/loaded', bulletin: Bulletin, askedAt: number}
 *   | {type: 'alerts/unread', why: string}
 *   | {type: 'alerts/acknowledge', id: string}
 *   | {type: 'investigate', tx: string}
 *   | {type: 'investigate/found', finding: import('./investigation.js').Finding}
 *   | {type: 'investigate/close'}
 *   | {type: 'help', shown: boolean}} Action
 */

/** Rows of a transaction shown before it is opened. */
export const FIRST_ROWS = 5;
/** Rows of a transaction added at each further step. */
export const MORE_ROWS = 100;

/** @type {State} */
export const initialState = {
  connection: {
    phase: 'connecting',
    heardAt: null,
    retryAt: null,
    losses: 0,
    why: '',
    greeted: false,
    counted: false,
    status: null,
    baseDelay: null,
    provenAt: null,
    database: null,
    stranger: null,
    lastId: null,
  },
  tables: { byOid: new Map(), samples: new Map(), lsn: null, since: null, folded: new Set() },
  feed: { items: [], nextSeq: 1, size: 0, evicted: false, pause: null, selected: null, opened: new Map() },
  filter: { table: null, ops: [] },
  alerts: { byId: new Map(), acknowledged: new Map(), evaluating: null, webhooks: [], rules: 0, loaded: false, fault: null },
  running: [],
  investigation: null,
  tab: 'tables',
  help: false,
};
