/**
 * One item of the feed: a transaction as a card, or a notice of what could not be shown.
 *
 * @typedef {import('../store/state.js').Item} Item
 * @typedef {import('../store/state.js').Card} Card
 * @typedef {import('../store/state.js').Notice} Notice
 * @typedef {import('../store/state.js').Filter} Filter
 * @typedef {import('../protocol.js').Table} Table
 * @typedef {{filter: Filter, rows: number, tableOf: (oid: number) => Table|undefined, open: (seq: number, rows: number) => void, investigate: (tx: string) => void}} Context
 */

import { count, plural, timeOfDay } from '../format.js';
import { FIRST_ROWS, MORE_ROWS } from '../store/state.js';
import { isActive, matchesRow } from '../store/filter.js';
import { whoNode } from './actor.js';
import { changeNode } from './change.js';
import { h, shape } from './dom.js';

/** Tables named in a card's head. */
const SUMMARY_TABLES = 3;

/** @param {Item} item @param {Context} context @returns {HTMLElement} */
export function cardNode(item, context) {
  return item.kind === 'transaction' ? transactionNode(item, context) : noticeNode(item);
}

/** @param {Card} card @param {Context} context */
function transactionNode(card, { filter, rows: shown, tableOf, open, investigate }) {
  const opened = shown > FIRST_ROWS;
  const matching = isActive(filter) ? card.rows.filter((row) => matchesRow(filter, row)) : card.rows;
  const list = matching.slice(0, shown).map((row) => changeNode(row, 'oid' in row ? tableOf(row.oid) : undefined, !opened));
  const toggle = h(
    'button',
    { class: 'card-toggle', type: 'button', 'aria-expanded': String(opened), 'aria-label': `Transaction at ${timeOfDay(card.tx.time)}, whole rows` },
    shape('chevron'),
    h('time', { class: 'time', datetime: card.tx.time }, timeOfDay(card.tx.time)),
  );
  toggle.addEventListener('click', () => open(card.seq, opened ? FIRST_ROWS : MORE_ROWS));
  const label = `Investigate the transaction at ${timeOfDay(card.tx.time)}`;
  const lens = card.commit && h('button', { class: 'card-lens', type: 'button', 'aria-label': label, title: 'Investigate (i)' }, shape('lens'));
  if (lens) lens.addEventListener('click', () => investigate(card.tx.id));
  const head = h(
    'div',
    'card-head',
    toggle,
    h('span', 'tx', `tx ${card.tx.lsn}`),
    h('span', 'rows', extent(card)),
    whoNode(card.commit?.tx.actor ?? card.rows[0]?.tx.actor),
    h('span', 'summary', ...summaryNodes(card)),
    lens,
  );
  return h(
    'article',
    { class: 'card', tabindex: '-1', 'data-seq': card.seq, 'data-opened': opened },
    head,
    list.length > 0 && h('ol', 'rows-list', ...list),
    moreNode(card, matching.length, shown, open),
  );
}

/** @param {Card} card */
function extent({ changes, commit }) {
  if (!commit) return `${plural(changes, 'change')} so far`;
  return changes ? plural(changes, 'change') : '';
}

/** @param {Card} card @param {number} matching @param {number} shown @param {Context['open']} open */
function moreNode(card, matching, shown, open) {
  const hidden = matching - shown;
  const unkept = card.commit ? card.changes - card.rows.filter((row) => row.type === 'change').length : 0;
  const texts = [];
  if (unkept > 0) texts.push(`${plural(unkept, card.rows.length ? 'further change' : 'change')} not kept on this page`);
  const button = hidden > 0 && h('button', { class: 'more', type: 'button' }, `+${count(hidden)} more`);
  if (button) button.addEventListener('click', () => open(card.seq, shown <= FIRST_ROWS ? MORE_ROWS : shown + MORE_ROWS));
  return (button || texts.length > 0) && h('div', 'card-foot', button, h('span', 'note', texts.join(', ')));
}

/** What the transaction did to each table: those that lost rows first, the cause before what it took along. @param {Card} card */
function summaryNodes({ commit }) {
  const loses = (/** @type {import('../protocol.js').TableTotals} */ { deletes, truncates }) => Number(deletes > 0 || (truncates ?? 0) > 0);
  const tables = [...(commit?.tables ?? [])].sort((a, b) => loses(b) - loses(a));
  const nodes = tables.slice(0, SUMMARY_TABLES).map(({ name, inserts, updates, deletes, truncates, count: after }) =>
    h(
      'span',
      'touched',
      h('b', {}, name),
      inserts > 0 && h('span', 'insert', ` +${count(inserts)}`),
      updates > 0 && h('span', 'update', ` ~${count(updates)}`),
      deletes > 0 && h('span', 'delete', ` −${count(deletes)}`),
      (truncates ?? 0) > 0 && h('span', 'truncate', ' ∅'),
      after !== null && after !== undefined && inserts + deletes + (truncates ?? 0) > 0 && h('span', 'after', ` → ${count(after)}`),
    ),
  );
  if (tables.length > SUMMARY_TABLES) nodes.push(h('span', 'touched', `+${plural(tables.length - SUMMARY_TABLES, 'table')}`));
  return nodes;
}

/** @param {Notice} notice */
function noticeNode(notice) {
  const [title, text] = noticeTexts(notice);
  return h(
    'article',
    { class: `notice ${notice.kind}`, tabindex: '-1', 'data-seq': notice.seq },
    h('strong', {}, title),
    ' ',
    h('span', {}, text),
  );
}

/** @param {Notice} notice @returns {[string, string]} */
function noticeTexts(notice) {
  if (notice.kind === 'fault') return ['pgvigil says', notice.message ?? notice.reason ?? ''];
  if (notice.kind === 'skipped') {
    const what = notice.changes ? plural(notice.changes, 'change') : plural(notice.commits ?? 0, 'transaction');
    return [`skipped ${what}`, 'More came than this page can draw. The counts are exact all the same.'];
  }
  const between = notice.from || notice.to ? ` Between ${notice.from ?? 'the beginning'} and ${notice.to ?? 'now'}.` : '';
  return ['gap: changes here are not known', `${GAP_REASONS[notice.reason ?? ''] ?? notice.reason ?? ''}${between}`];
}

/** @type {Record<string, string>} */
const GAP_REASONS = {
  evicted: 'They were dropped from the history before this page could have them.',
  slot_lost: 'The replication slot was lost; all tables were counted anew.',
  slot_invalidated: 'The server let go of the replication slot to save its disk; all tables were counted anew.',
  slot_moved: 'Somebody else read from the replication slot; all tables were counted anew.',
  server_rewound: 'The server was restored from a backup; all tables were counted anew.',
  wal_budget: 'The slot was let go of, because the server kept more log for it than --wal-budget; all tables were counted anew.',
  restart: 'pgvigil was started again; all tables were counted anew.',
  skipped: 'PostgreSQL could not send them; all tables were counted anew.',
  damaged: 'The journal is damaged there.',
};
