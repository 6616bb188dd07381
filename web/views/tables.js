/**
 * The counts grid: one row a table, partitions under their parent.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../protocol.js').Table} Table
 */

import { count, delta, plural } from '../format.js';
import { qualified } from '../protocol.js';
import { changeOverWindow, fellMuch, total, tree } from '../store/tables.js';
import { behind } from './header.js';
import { h, part, set, setChildren, setText } from './dom.js';
import { TableRow } from './table_row.js';

/** @type {Record<Freshness['numbers'], [string, string]>} */
const HEADINGS = {
  plain: ['Rows', '1 min'],
  behind: ['Rows', 'Lag'],
  'last-known': ['Last known', 'Age'],
  none: ['Rows', '1 min'],
  blocked: ['', ''],
};

/** Drops named above the grid. */
const DROPS_SHOWN = 3;

/**
 * @param {{filter: (table: string) => void, fold: (oid: number) => void}} on
 */
export function createTables(on) {
  /** @type {Map<number, TableRow>} */
  const rows = new Map();
  /** @type {State['tables']|null} */
  let drawn = null;
  /** @type {ReturnType<typeof tree>} */
  let order = [];

  /** @param {State} state @param {Freshness} freshness @param {number} now */
  return function draw({ tables, filter }, freshness, now) {
    if (tables !== drawn) {
      order = tree(tables);
      arrange();
      drawn = tables;
    }
    for (const { table, depth, children } of order) {
      const folded = tables.folded.has(table.oid);
      const selected = filter.table === qualified(table);
      rows.get(table.oid)?.draw({ table, depth, children, folded, selected }, tables.samples.get(table.oid), freshness, now);
    }
    drawHead(tables, freshness);
    drawDrops(tables, freshness, now);
  };

  function arrange() {
    const present = new Set(order.map(({ table }) => table.oid));
    for (const oid of rows.keys()) if (!present.has(oid)) rows.delete(oid);
    const elements = order.map(({ table }) => {
      let row = rows.get(table.oid);
      if (!row) {
        row = new TableRow(on);
        rows.set(table.oid, row);
      }
      return row.element;
    });
    setChildren(part('counts-body'), elements);
  }

  /** @param {State['tables']} tables @param {Freshness} freshness */
  function drawHead(tables, freshness) {
    const { rows: all, covered, uncovered, unknown } = total(tables);
    const known = tables.byOid.size > 0;
    const shown = freshness.numbers !== 'none' && all !== null ? count(all) : '—';
    const mark = { plain: '', behind: ` ${behind(freshness)}`, 'last-known': ' last known', none: '', blocked: '' }[freshness.numbers];
    const others = uncovered ? `, ${uncovered} not counted` : '';
    const extent = unknown ? `${unknown} of ${plural(covered, 'table')} not yet known` : `in ${plural(covered, 'table')}${others}`;
    setChildrenOnce(part('total'), known ? [shown, ` rows${shown === '—' ? '' : mark}`, extent] : []);
    set(part('total'), { 'data-unknown': shown === '—' });
    setText(part('as-of'), known && tables.lsn && freshness.numbers !== 'none' ? `as of ${tables.lsn}` : '');
    const [rowsHeading, changeHeading] = HEADINGS[freshness.numbers];
    setText(part('count-heading'), rowsHeading);
    setText(part('change-heading'), changeHeading);
    const empty = part('no-tables');
    set(empty, { hidden: known });
    setText(empty, freshness.state === 'live' ? 'The publication holds no table.' : 'No counts yet.');
  }

  /** Names the tables that lost much within the last minute, for who looks here because something is gone. @param {State['tables']} tables @param {Freshness} freshness @param {number} now */
  function drawDrops(tables, { numbers }, now) {
    /** @type {{table: Table, change: number}[]} */
    const drops = [];
    for (const table of numbers === 'plain' || numbers === 'behind' ? tables.byOid.values() : []) {
      if (table.kind === 'partition' || table.count === null) continue;
      const change = changeOverWindow(tables.samples.get(table.oid), now);
      if (fellMuch(table.count, change)) drops.push({ table, change });
    }
    drops.sort((a, b) => a.change - b.change);
    const line = part('drops');
    set(line, { hidden: drops.length === 0 });
    const texts = drops.slice(0, DROPS_SHOWN).map(({ table, change }) => {
      const rowsNow = table.count ?? 0;
      return [table.name, `${count(rowsNow - change)} → ${count(rowsNow)}`, delta(change)];
    });
    if (drops.length > DROPS_SHOWN) texts.push(['', `and ${drops.length - DROPS_SHOWN} more`, '']);
    const key = JSON.stringify(texts);
    if (line.dataset.key === key) return;
    line.dataset.key = key;
    line.replaceChildren(
      h('span', 'drops-label', 'Fell in the last minute'),
      ...texts.map(([name, from, by]) => h('span', 'drop', h('b', {}, name), ` ${from} `, h('span', 'by', by))),
    );
  }
}

/** The total as number, unit and extent. @param {HTMLElement} element @param {string[]} texts */
function setChildrenOnce(element, texts) {
  while (element.children.length > texts.length) element.lastElementChild?.remove();
  texts.forEach((text, i) => {
    const child = element.children[i] ?? element.appendChild(h('span', ['number', 'unit', 'extent'][i]));
    setText(child, text);
  });
}
