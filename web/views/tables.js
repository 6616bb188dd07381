/**
 * The counts grid: one row a table, partitions under their parent.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../protocol.js').Table} Table
 */

import { age, count, delta, plural, span } from '../format.js';
import { qualified } from '../protocol.js';
import { changeOverWindow, fellMuch, seenFor, total, tree, WINDOW_MS } from '../store/tables.js';
import { behind } from './header.js';
import { h, part, set, setChildren, setText } from './dom.js';
import { TableRow } from './table_row.js';

/** Drops named above the grid. */
const DROPS_SHOWN = 3;

/**
 * @param {{filter: (table: string) => void, fold: (oid: number) => void}} on
 */
export function createTables(on) {
  /** @type {Map<number, TableRow>} */
  const rows = new Map();
  const dropsLabel = h('span', 'drops-label');
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
    const seen = seenFor(tables.since, now);
    for (const { table, depth, children } of order) {
      const folded = tables.folded.has(table.oid);
      const selected = filter.table === qualified(table);
      rows.get(table.oid)?.draw({ table, depth, children, folded, selected }, tables.samples.get(table.oid), freshness, now, seen);
    }
    drawHead(tables, freshness);
    drawHeadings(freshness, seen);
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
    const empty = part('no-tables');
    set(empty, { hidden: known });
    setText(empty, freshness.state === 'live' ? 'The publication holds no table.' : 'No counts yet.');
  }

  /** What is true of a whole column is said once, above it. @param {Freshness} freshness @param {number} seen  how much of the last minute was, ms */
  function drawHeadings({ numbers, age: old }, seen) {
    const change = { plain: span(seen), behind: 'Lag', 'last-known': old === null ? '' : `${age(old)} old`, none: span(seen), blocked: '' }[numbers];
    setText(part('count-heading'), numbers === 'last-known' ? 'Last known' : 'Rows');
    setText(part('change-heading'), change);
    const partial = numbers === 'plain' && seen < WINDOW_MS;
    set(part('change-heading'), { title: partial ? `This page has watched for ${span(seen)}, not a minute yet: it does not know what was before.` : null });
  }

  /** Names the tables that lost much within the last minute, for who looks here because something is gone. @param {State['tables']} tables @param {Freshness} freshness @param {number} now */
  function drawDrops(tables, { numbers }, now) {
    /** @type {{table: Table, change: number}[]} */
    const drops = [];
    let longest = 0;
    for (const table of numbers === 'plain' || numbers === 'behind' ? tables.byOid.values() : []) {
      if (table.kind === 'partition' || table.count === null) continue;
      const { change, span: seen } = changeOverWindow(tables.samples.get(table.oid), now);
      if (!fellMuch(table.count, change)) continue;
      drops.push({ table, change });
      longest = Math.max(longest, seen);
    }
    drops.sort((a, b) => a.change - b.change);
    const line = part('drops');
    set(line, { hidden: drops.length === 0 });
    const texts = drops.slice(0, DROPS_SHOWN).map(({ table, change }) => {
      const rowsNow = table.count ?? 0;
      return [table.name, `${count(rowsNow - change)} → ${count(rowsNow)}`, delta(change)];
    });
    if (drops.length > DROPS_SHOWN) texts.push(['', `and ${drops.length - DROPS_SHOWN} more`, '']);
    setText(dropsLabel, longest < WINDOW_MS ? `Fell in the last ${span(longest)}` : 'Fell in the last minute');
    const key = JSON.stringify(texts);
    if (line.dataset.key === key) return;
    line.dataset.key = key;
    line.replaceChildren(
      dropsLabel,
      ...texts.map(([name, from, by]) => h('span', 'drop', h('b', {}, name), h('span', 'from', from), h('span', 'by', by))),
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
