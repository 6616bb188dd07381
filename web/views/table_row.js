/**
 * One table in the counts grid. A number stands there plainly only while it is proven to be the present.
 *
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../store/state.js').Sample} Sample
 * @typedef {import('../protocol.js').Table} Table
 * @typedef {{table: Table, depth: number, children: number, folded: boolean, selected: boolean}} Entry
 */

import { count, delta, span } from '../format.js';
import { qualified } from '../protocol.js';
import { changeOverWindow, fellMuch, WINDOW_MS } from '../store/tables.js';
import { h, set, setText, shape } from './dom.js';
import { flash } from './flash.js';
import { behind } from './header.js';
import { Sparkline } from './sparkline.js';
import { setName } from './words.js';

const KINDS = {
  table: '',
  partition: '',
  partitioned_table: 'partitioned',
  materialized_view: 'materialized view',
  foreign_table: 'foreign table',
};

export class TableRow {
  /** @type {number|null} */
  #drawnCount = null;
  /** @type {Table|null} */
  #table = null;

  /** @param {{filter: (table: string) => void, fold: (oid: number) => void}} on */
  constructor(on) {
    this.foldButton = h('button', { class: 'fold', type: 'button' }, shape('chevron'));
    this.foldButton.addEventListener('click', () => this.#table && on.fold(this.#table.oid));
    this.schema = h('span', 'schema');
    this.label = h('span', 'label');
    this.kind = h('span', 'kind');
    this.nameButton = h('button', { class: 'table-name', type: 'button' }, this.schema, this.label, this.kind);
    this.nameButton.addEventListener('click', () => this.#table && on.filter(qualified(this.#table)));
    this.reason = h('p', { class: 'reason', hidden: true });
    this.number = h('span', 'number');
    this.count = h('td', 'count', this.number);
    this.spark = new Sparkline();
    this.delta = h('span', 'delta');
    this.change = h('td', 'change', this.spark.element, this.delta);
    this.inserts = h('td', 'total-op insert');
    this.updates = h('td', 'total-op update');
    this.deletes = h('td', 'total-op delete');
    const name = h('th', { class: 'name', scope: 'row' }, h('div', 'name-line', this.foldButton, this.nameButton), this.reason);
    this.element = h('tr', {}, name, this.count, this.change, this.inserts, this.updates, this.deletes);
  }

  /** @param {Entry} entry @param {Sample[]|undefined} samples @param {Freshness} freshness @param {number} now @param {number} over  ms, as the heading says */
  draw(entry, samples, freshness, now, over) {
    this.#drawName(entry);
    this.#drawCount(entry.table, freshness);
    this.#drawChange(entry.table, samples, freshness, now, over);
    this.#drawTotals(entry.table, freshness);
    this.#table = entry.table;
  }

  /** @param {Entry} entry */
  #drawName({ table, depth, children, folded, selected }) {
    set(this.element, { 'data-table': qualified(table), 'data-depth': depth || null, 'data-children': children > 0 });
    setText(this.schema, table.schema === 'public' ? '' : `${table.schema}.`);
    setName(this.label, table.name);
    setText(this.kind, KINDS[table.kind] ?? '');
    set(this.nameButton, { 'aria-pressed': String(selected) });
    this.foldButton.hidden = children === 0;
    set(this.foldButton, { 'aria-expanded': String(!folded), 'aria-label': `Partitions of ${table.name}` });
  }

  /** @param {Table} table @param {Freshness} freshness */
  #drawCount(table, { numbers }) {
    const known = table.count !== null && table.count_state === 'exact' && numbers !== 'none';
    set(this.count, { 'data-numbers': known ? numbers : 'none' });
    setText(this.number, known ? count(/** @type {number} */ (table.count)) : '—');
    const why = known || numbers === 'none' ? '' : reasonOf(table);
    setText(this.reason, numbers === 'none' && table.count_state === 'counting' ? reasonOf(table) : why);
    this.reason.hidden = this.reason.textContent === '';

    const drawn = this.#drawnCount;
    this.#drawnCount = known ? table.count : null;
    if (known && numbers === 'plain' && drawn !== null && table.count !== null && table.count !== drawn) {
      flash(this.number, table.count > drawn ? 'up' : 'down');
    }
  }

  /** @param {Table} table @param {Sample[]|undefined} samples @param {Freshness} freshness @param {number} now @param {number} over */
  #drawChange(table, samples, freshness, now, over) {
    const shown = table.count === null || freshness.numbers === 'none' ? 'none' : freshness.numbers;
    const { change, span: seen } = shown === 'plain' || shown === 'behind' ? changeOverWindow(samples, now) : { change: 0, span: 0 };
    // Counted for the first time after the page was opened: its change is over less time than the heading says.
    const later = change !== 0 && over - seen >= 1000 ? ` in ${span(seen)}` : '';
    setText(this.delta, shown === 'plain' ? delta(change) + later : shown === 'behind' ? behind(freshness) : '');
    set(this.delta, { title: shown === 'plain' && seen < WINDOW_MS ? `Seen for ${span(seen)}, not a minute yet` : null });
    set(this.change, { 'data-direction': change === 0 || shown !== 'plain' ? null : change < 0 ? 'down' : 'up' });
    const fell = table.count !== null && fellMuch(table.count, change);
    set(this.element, { 'data-fell': fell ? (table.count === 0 ? 'empty' : 'much') : null });
    this.spark.draw(shown === 'plain' ? samples : undefined, now);
  }

  /** @param {Table} table @param {Freshness} freshness */
  #drawTotals({ inserts, updates, deletes, truncates }, { numbers }) {
    const shown = numbers !== 'none';
    const text = (/** @type {number} */ n) => (!shown ? '' : n ? count(n) : '·');
    setText(this.inserts, text(inserts));
    setText(this.updates, text(updates));
    const emptied = shown && truncates ? `∅${count(truncates)}` : '';
    setText(this.deletes, emptied && !deletes ? emptied : [text(deletes), emptied].filter(Boolean).join(' '));
  }
}

/** Why a table has no count. @param {Table} table */
function reasonOf({ count_state: state, reason, progress }) {
  if (state === 'counting') return progress === null || progress === undefined ? 'counting' : `counting ${progress} %`;
  return reason ?? (state === 'uncovered' ? 'not covered' : 'not known');
}
