/**
 * The tables, their counts, and how the counts moved within the last minute.
 *
 * @typedef {import('./state.js').Tables} Tables
 * @typedef {import('./state.js').Table} Table
 * @typedef {import('./state.js').Sample} Sample
 * @typedef {import('../protocol.js').Counts} Counts
 */

export const WINDOW_MS = 60_000;
const SAMPLE_MS = 1000;
const MUCH = 0.2;
const COUNTABLE = new Set(['table', 'partition']);

/**
 * @param {Tables} tables
 * @param {Counts} frame
 * @param {number} at
 * @returns {Tables}
 */
export function applyCounts(tables, frame, at) {
  const byOid = new Map(frame.whole ? [] : tables.byOid);
  const samples = new Map(tables.samples);
  for (const table of frame.tables) {
    byOid.set(table.oid, table);
    if (table.count !== null) samples.set(table.oid, addSample(samples.get(table.oid) ?? [], { at, count: table.count }));
  }
  for (const oid of frame.gone ?? []) byOid.delete(oid);
  for (const oid of samples.keys()) if (!byOid.has(oid)) samples.delete(oid);
  return { ...tables, byOid, samples, lsn: frame.as_of.lsn, since: tables.since ?? at };
}

/** @param {Sample[]} samples @param {Sample} sample */
function addSample(samples, sample) {
  // The last one before the window stays: it is the count at the window's start.
  const start = samples.findLastIndex((s) => s.at <= sample.at - WINDOW_MS);
  const kept = samples.slice(Math.max(0, start));
  const last = kept[kept.length - 1];
  const before = kept[kept.length - 2];
  if (last && before && last.at - before.at < SAMPLE_MS) kept.pop();
  kept.push(sample);
  return kept;
}

/**
 * How many rows more or less than `span` before `now`: a minute, or as long as the count was seen where that is less. Whoever shows
 * the change says over how long it is, since a page that was just opened knows nothing of a minute ago.
 *
 * @param {Sample[]|undefined} samples
 * @param {number} now
 * @returns {{change: number, span: number}}
 */
export function changeOverWindow(samples, now) {
  if (!samples?.length) return { change: 0, span: 0 };
  const start = samples[Math.max(0, samples.findLastIndex((s) => s.at <= now - WINDOW_MS))];
  return { change: samples[samples.length - 1].count - start.count, span: seenFor(start.at, now) };
}

/**
 * For how much of the last minute something was seen, when the first of it came at `since`.
 *
 * @param {number|null} since
 * @param {number} now
 */
export function seenFor(since, now) {
  return since === null ? 0 : Math.min(WINDOW_MS, Math.max(0, now - since));
}

/**
 * Whether so many rows less are much: a fifth of what there was, or more. Less than that is what tables do all day.
 *
 * @param {number} count   now
 * @param {number} change  since a minute ago
 */
export function fellMuch(count, change) {
  return change < 0 && -change >= MUCH * (count - change);
}

/** @param {Tables} tables @param {number} oid @returns {Tables} */
export function fold(tables, oid) {
  const folded = new Set(tables.folded);
  if (!folded.delete(oid)) folded.add(oid);
  return { ...tables, folded };
}

/**
 * The tables in the order to show: by schema and name, partitions below their parent.
 *
 * @param {Tables} tables
 * @returns {{table: Table, depth: number, children: number}[]}
 */
export function tree({ byOid, folded }) {
  /** @type {Map<number|null, Table[]>} */
  const children = new Map();
  for (const table of byOid.values()) {
    const parent = table.parent !== null && byOid.has(table.parent) ? table.parent : null;
    const siblings = children.get(parent);
    if (siblings) siblings.push(table);
    else children.set(parent, [table]);
  }
  /** @type {{table: Table, depth: number, children: number}[]} */
  const rows = [];
  /** @param {number|null} parent @param {number} depth */
  const walk = (parent, depth) => {
    const siblings = children.get(parent) ?? [];
    siblings.sort((a, b) => compare(a.schema, b.schema) || compare(a.name, b.name));
    for (const table of siblings) {
      rows.push({ table, depth, children: children.get(table.oid)?.length ?? 0 });
      if (!folded.has(table.oid)) walk(table.oid, depth + 1);
    }
  };
  walk(null, 0);
  return rows;
}

/** @param {string} a @param {string} b */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Rows in all tables that can be counted; null while one of them is not known. Partitioned tables are the sum of their partitions, and
 * are not added twice.
 *
 * @param {Tables} tables
 */
export function total({ byOid }) {
  let rows = /** @type {number|null} */ (0);
  let covered = 0;
  let uncovered = 0;
  let unknown = 0;
  for (const table of byOid.values()) {
    if (table.kind === 'partitioned_table') continue;
    if (!COUNTABLE.has(table.kind) || table.count_state === 'uncovered') {
      uncovered += 1;
      continue;
    }
    covered += 1;
    if (table.count === null) unknown += 1;
    rows = rows === null || table.count === null ? null : rows + table.count;
  }
  return { rows, covered, uncovered, unknown };
}
