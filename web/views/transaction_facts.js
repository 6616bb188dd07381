/**
 * What a transaction did to each table, and who did it by which statement.
 *
 * @typedef {import('../store/state.js').Investigation} Investigation
 * @typedef {import('../protocol.js').TableTotals} TableTotals
 */

import { count } from '../format.js';
import { beforeAndAfter, statements } from '../store/investigation.js';
import { factNodes } from './actor.js';
import { copyButton } from './copy.js';
import { h } from './dom.js';
import { breakable } from './words.js';

/** Tables listed. */
const TABLES_SHOWN = 50;
/** Statements listed. */
const STATEMENTS_SHOWN = 5;

/** @param {Investigation} investigation */
export function tableNodes({ commit, truncates }) {
  if (!commit?.tables.length) return [];
  const { tables } = commit;
  const rows = tables.slice(0, TABLES_SHOWN).map((totals) => tableRow(totals, truncates));
  const head = ['Table', 'Before', 'After', 'What was done'].map((title) => h('th', { scope: 'col' }, title));
  const table = h('table', 'totals', h('caption', 'unseen', 'What it did to each table'), h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows));
  const hidden = tables.length - rows.length;
  return hidden > 0 ? [table, h('p', 'note', `and ${count(hidden)} further tables`)] : [table];
}

/** @param {TableTotals} totals @param {Investigation['truncates']} truncates */
function tableRow(totals, truncates) {
  const { schema, name, inserts, updates, deletes, truncates: times = 0 } = totals;
  const { before, after, lost } = beforeAndAfter(totals, truncates);
  const number = (/** @type {number|null} */ rows) => h('td', rows === null ? 'unknown' : '', rows === null ? '—' : count(rows));
  const done = [
    times > 0 && h('span', 'truncate', `∅ truncated${lost === null ? '' : `, ${count(lost)} gone`}`),
    deletes > 0 && h('span', 'delete', `−${count(deletes)} deleted`),
    inserts > 0 && h('span', 'insert', `+${count(inserts)} inserted`),
    updates > 0 && h('span', 'update', `~${count(updates)} updated`),
  ];
  const label = h('th', { scope: 'row' }, h('span', 'schema', schema === 'public' ? '' : `${schema}.`), ...breakable(name));
  return h('tr', { 'data-emptied': after === 0 && before !== 0 }, label, number(before), number(after), h('td', 'done', ...done));
}

/** @param {Investigation} investigation */
export function whoNodes(investigation) {
  const { commit, tx } = investigation;
  if (!commit) return [];
  const { actor, xid, lsn } = commit.tx;
  const place = [
    h('dt', {}, 'Position'),
    h('dd', 'mono', lsn),
    h('dt', {}, 'Transaction'),
    h('dd', 'mono', `${xid} · ${tx}`),
  ];
  const unknown = h('p', 'note', 'Nobody told. pgvigil setup --apply installs what tells who deletes and truncates, from then on.');
  const spoken = actor?.source === 'annotation' && h('p', 'note', 'Only the application’s own word; no trigger told who it was.');
  const told = actor ? factNodes(actor) : [];
  return [h('h3', {}, 'Who'), actor ? spoken || null : unknown, h('dl', 'facts-list', ...told, ...place), ...statementNodes(investigation)].filter((node) => node !== null);
}

/** @param {Investigation} investigation */
function statementNodes(investigation) {
  const known = statements(investigation);
  if (known.length === 0) return [];
  const shown = known.slice(0, STATEMENTS_SHOWN).flatMap((query) => {
    const cut = query.endsWith('…') && h('p', 'note', 'Cut: only the beginning of it was told.');
    const text = h('pre', { class: 'code', tabindex: '0', role: 'group', 'aria-label': 'Statement' }, query);
    return [h('div', 'code-box', text, copyButton('Copy', () => query, 'quiet copy')), cut || null].filter((node) => node !== null);
  });
  const hidden = known.length - STATEMENTS_SHOWN;
  return [h('h3', {}, known.length > 1 ? 'Statements' : 'Statement'), ...shown, ...(hidden > 0 ? [h('p', 'note', `and ${count(hidden)} further ones on this page of rows`)] : [])];
}
