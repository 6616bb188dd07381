/**
 * The feed: the last transactions, and between them what could not be shown. Oldest first, bounded in number and in characters.
 *
 * Items are immutable, so a pause is nothing but the list as it was: whatever comes later makes a new list and leaves that one alone.
 *
 * @typedef {import('./state.js').Feed} Feed
 * @typedef {import('./state.js').Item} Item
 * @typedef {import('./state.js').Card} Card
 * @typedef {import('./state.js').Notice} Notice
 * @typedef {import('../protocol.js').Frame} Frame
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Ddl} Ddl
 * @typedef {import('../protocol.js').Commit} Commit
 * @typedef {import('../inbox.js').Skipped} Skipped
 */

import { clipRow } from './clip.js';
import { qualified } from '../protocol.js';
import { FIRST_ROWS } from './state.js';

/** Transactions kept. */
export const ITEMS_KEPT = 2000;
/** Characters of JSON kept, over all transactions. */
export const SIZE_KEPT = 32 * 1024 * 1024;
/** Rows kept of one transaction. */
export const ROWS_KEPT = 500;

/**
 * The feed with a batch of frames added: copied once, however many there are.
 *
 * @param {Feed} feed
 */
export function addToFeed(feed) {
  const items = [...feed.items];
  let { nextSeq, size } = feed;
  /**
   * Cards made in this batch, which nobody else has seen yet: these may be written to.
   *
   * @type {WeakSet<Card>}
   */
  const own = new WeakSet();
  let changed = false;

  /** @param {Omit<Notice, 'seq'|'size'>} notice */
  const notify = (notice) => {
    items.push({ ...notice, seq: nextSeq++, size: 0 });
    changed = true;
  };

  /**
   * The card of the transaction, ready to be written to: the newest one or a new one, since transactions come whole and in commit order.
   *
   * @param {import('../protocol.js').Transaction} tx
   * @returns {Card}
   */
  const card = (tx) => {
    changed = true;
    const at = items.findLastIndex((item) => item.kind === 'transaction');
    const last = /** @type {Card|undefined} */ (items[at]);
    if (last?.tx.id !== tx.id) {
      /** @type {Card} */
      const made = { kind: 'transaction', seq: nextSeq++, tx, ordinal: 0, rows: [], changes: 0, commit: null, touched: {}, size: 0 };
      own.add(made);
      items.push(made);
      return made;
    }
    if (own.has(last)) return last;
    const copy = { ...last, rows: [...last.rows], touched: { ...last.touched } };
    own.add(copy);
    items[at] = copy;
    return copy;
  };

  /** @param {Change|Ddl} event @param {number} length */
  const addEvent = (event, length) => {
    const to = card(event.tx);
    // At least once is promised: what comes again is known by its place.
    const ordinal = event.tx.ordinal ?? to.ordinal + 1;
    if (ordinal <= to.ordinal) return;
    to.ordinal = ordinal;
    if (event.type === 'change') {
      to.changes += 1;
      touch(to, qualified({ schema: event.schema, name: event.table }), event.op);
    }
    if (to.rows.length >= ROWS_KEPT) return;
    to.rows.push(event.type === 'change' ? clipRow(event, length) : event);
    to.size += length;
    size += length;
  };

  return {
    /** @param {Frame} frame @param {number} length */
    add(frame, length) {
      if (frame.type === 'change' || frame.type === 'ddl') addEvent(frame, length);
      else if (frame.type === 'commit') complete(card(frame.tx), frame);
      else if (frame.type === 'gap') notify({ kind: 'gap', from: frame.from, to: frame.to, reason: frame.reason });
      else if (frame.type === 'error') notify({ kind: 'fault', message: frame.message, reason: frame.code });
    },
    notify,
    /** @returns {Feed} */
    finish() {
      if (!changed) return feed;
      let drop = Math.max(0, items.length - ITEMS_KEPT);
      for (const item of items.slice(0, drop)) size -= item.size;
      while (size > SIZE_KEPT && drop < items.length - 1) size -= items[drop++].size;
      const kept = drop ? items.slice(drop) : items;
      const oldest = feed.pause ? feed.pause.items[0]?.seq ?? 0 : kept[0]?.seq ?? 0;
      const opened = [...feed.opened].some(([seq]) => seq < oldest)
        ? new Map([...feed.opened].filter(([seq]) => seq >= oldest))
        : feed.opened;
      return { ...feed, items: kept, nextSeq, size, evicted: feed.evicted || drop > 0, opened };
    },
  };
}

/** @param {ReturnType<typeof addToFeed>} batch @param {Skipped} skipped */
export function addSkipped(batch, { changes, commits }) {
  batch.notify({ kind: 'skipped', changes, commits });
}

/** @param {Card} card @param {string} table @param {string} op @param {number} times */
function touch(card, table, op, times = 1) {
  const key = `${table} ${op}`;
  card.touched[key] = (card.touched[key] ?? 0) + times;
}

/** The commit knows all that the transaction did, also where its rows were passed over. @param {Card} card @param {Commit} commit */
function complete(card, commit) {
  card.commit = commit;
  card.tx = { ...card.tx, ...commit.tx };
  card.changes = commit.tx.changes ?? card.changes;
  for (const table of commit.tables) {
    const name = qualified(table);
    for (const op of /** @type {const} */ (['insert', 'update', 'delete', 'truncate'])) {
      const times = table[`${op}s`] ?? 0;
      if (times > 0) card.touched[`${name} ${op}`] = times;
    }
  }
}

/** @param {Feed} feed @param {string} since @returns {Feed} */
export function pause(feed, since) {
  if (feed.pause) return feed;
  return { ...feed, pause: { items: feed.items, evicted: feed.evicted, nextSeq: feed.nextSeq, since } };
}

/** @param {Feed} feed @returns {Feed} */
export function resume(feed) {
  return feed.pause ? { ...feed, pause: null, selected: null, opened: new Map() } : feed;
}

/** @param {Feed} feed @param {number|null} seq @returns {Feed} */
export function select(feed, seq) {
  return feed.selected === seq ? feed : { ...feed, selected: seq };
}

/** @param {Feed} feed @param {number} seq @param {number} rows @returns {Feed} */
export function open(feed, seq, rows) {
  const opened = new Map(feed.opened);
  if (rows <= FIRST_ROWS) opened.delete(seq);
  else opened.set(seq, rows);
  return { ...feed, opened };
}

/** What is to be seen now, oldest first. @param {Feed} feed */
export function shown(feed) {
  return feed.pause ?? feed;
}

/** Transactions that came since the pause began. @param {Feed} feed */
export function waiting(feed) {
  return feed.pause ? feed.nextSeq - feed.pause.nextSeq : 0;
}

/** The commit of a transaction, if the feed has it. @param {Feed} feed @param {string} tx @returns {Commit|null} */
export function commitOf(feed, tx) {
  const card = shown(feed).items.findLast((item) => item.kind === 'transaction' && item.tx.id === tx);
  return card?.kind === 'transaction' ? card.commit : null;
}

/** The newest transaction that removed rows, whatever is paused or filtered away. @param {Feed} feed @returns {string|null} */
export function newestDelete(feed) {
  const removes = (/** @type {Item} */ item) => item.kind === 'transaction' && Object.keys(item.touched).some((key) => /(delete|truncate)$/.test(key));
  const card = feed.items.findLast(removes);
  return card?.kind === 'transaction' ? card.tx.id : null;
}
