/**
 * The rows of a page in the order in which they fell: those that a foreign key took along, under the row that caused it.
 *
 * @typedef {import('./state.js').Cascade} Cascade
 * @typedef {import('../protocol.js').Change} Change
 * @typedef {import('../protocol.js').Ddl} Ddl
 *
 * @typedef {object} Fall  A row, and what it took along.
 * @property {Change|Ddl} row
 * @property {Taken[]} taken
 *
 * @typedef {object} Taken  Rows that went by one foreign key.
 * @property {Cascade} cascade
 * @property {Fall[]} falls   those on this page
 * @property {number} elsewhere  how many are on another page
 */

/**
 * @param {readonly (Change|Ddl)[]} rows  of one page
 * @param {readonly Cascade[]} cascades
 * @returns {{falls: Fall[], orphans: Taken[]}}  `orphans`: rows whose cause is on another page, or not known
 */
export function group(rows, cascades) {
  /** @type {Map<string, Fall>} */
  const falls = new Map(rows.map((row) => [row.id, { row, taken: [] }]));
  const caused = new Set();
  /** @type {Taken[]} */
  const orphans = [];
  for (const cascade of cascades) {
    const here = cascade.rows.flatMap((id) => falls.get(id) ?? []);
    const parent = cascade.parent === null ? undefined : falls.get(cascade.parent);
    const taken = { cascade, falls: here, elsewhere: cascade.rows.length - here.length };
    for (const { row } of here) caused.add(row.id);
    if (parent) parent.taken.push(taken);
    else if (here.length) orphans.push(taken);
  }
  return { falls: [...falls.values()].filter(({ row }) => !caused.has(row.id)), orphans };
}

/** How many rows of each table a row took along, itself and through those it took. @param {Fall} fall @returns {Map<string, number>} */
export function takenBy({ taken }) {
  /** @type {Map<string, number>} */
  const tables = new Map();
  const add = (/** @type {string} */ table, /** @type {number} */ rows) => tables.set(table, (tables.get(table) ?? 0) + rows);
  for (const { cascade, falls } of taken) {
    add(cascade.table, cascade.rows.length);
    for (const fall of falls) for (const [table, rows] of takenBy(fall)) add(table, rows);
  }
  return tables;
}
