/**
 * The page of one transaction: what it did to which tables, who did it, what exactly was lost, and how to bring it back.
 *
 * It is history. Nothing on it follows the database; the time at which it was true stands at its top.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/state.js').Investigation} Investigation
 */

import { count, dayOf, plural, timeOfDay } from '../format.js';
import { qualified } from '../protocol.js';
import { headline } from '../store/investigation.js';
import { copyButton } from './copy.js';
import { h, part, set, setChildren, setText } from './dom.js';
import { tableNodes, whoNodes } from './transaction_facts.js';
import { rowsNodes } from './transaction_rows.js';
import { undoJump, undoNodes } from './transaction_undo.js';
import { setName } from './words.js';

/**
 * @param {{close: () => void, turn: (from: number) => void, again: () => void, json: (investigation: Investigation) => Promise<string>, sql: (investigation: Investigation) => Promise<string>}} on
 */
export function createTransaction(on) {
  /** @type {Investigation|null} */
  let drawn = null;
  /** @type {Element|null} */
  let openedBy = null;
  const sections = ['jump', 'problem', 'tables', 'who', 'undo', 'rows'].map((name) => new Section(name));
  const [jump, problem, tables, who, undo, rows] = sections;
  part('transaction-close').addEventListener('click', on.close);
  part('transaction-actions').append(
    copyButton('Copy link', () => location.href, 'quiet'),
    copyButton('Copy JSON', () => (drawn ? on.json(drawn) : ''), 'quiet'),
  );

  /** @param {State} state */
  return function draw({ investigation, tables: known }) {
    // Before anything that has the focus is hidden.
    if (investigation && !drawn) openedBy = document.activeElement;
    set(document.documentElement, { 'data-investigating': investigation !== null });
    const last = drawn;
    drawn = investigation;
    if (investigation === last) return;
    if (!investigation) {
      for (const section of sections) section.clear();
      if (openedBy instanceof HTMLElement && openedBy.checkVisibility()) openedBy.focus();
      else part('feed-scroll').focus({ preventScroll: true });
      return;
    }
    const fresh = last?.tx !== investigation.tx;
    const turned = !fresh && last?.rows && last.from !== investigation.from;
    const { commit, rows: page, from, to, kept, truncates, turning, undo: found } = investigation;
    setText(part('transaction-xid'), commit ? `tx ${commit.tx.xid}` : '');
    part('transaction-when').replaceChildren(...(commit ? whenNodes(commit.tx.time) : []));
    setName(part('transaction-lead'), commit ? leadText(commit) : investigation.problem ? '' : 'Looking for it …');
    set(part('transaction-actions'), { hidden: commit === null });
    const tableOf = (/** @type {number} */ oid) => known.byOid.get(oid);
    const cascades = found.phase === 'known' ? found.cascades : null;
    jump.draw([commit, found, investigation.problem], () => (commit ? undoJump(found, () => part('transaction-undo').scrollIntoView({ block: 'start' })) : []));
    problem.draw([investigation.problem], () => problemNodes(investigation, on.again));
    tables.draw([commit, truncates], () => tableNodes(investigation));
    who.draw([commit, page], () => whoNodes(investigation));
    undo.draw([commit, found, investigation.problem], () => (commit ? undoNodes(investigation, () => on.sql(investigation)) : []));
    set(part('transaction-rows'), { 'aria-busy': turning });
    rows.draw([commit, page, from, to, kept, cascades], () => rowsNodes(investigation, cascades ?? [], tableOf, on.turn));
    if (turned) part('transaction-rows').scrollIntoView({ block: 'start' });
    if (fresh) {
      part('transaction-scroll').scrollTop = 0;
      part('transaction-title').focus({ preventScroll: true });
    }
  };
}

/** @param {string} time */
function whenNodes(time) {
  return ['History: as it was when it was committed, ', h('time', { datetime: time }, h('b', {}, `${timeOfDay(time)}`), ` on ${dayOf(time)}`), '.'];
}

/** A part of the page that is made anew only when what it shows has changed. */
class Section {
  /** @type {unknown[]|null} */
  #inputs = null;

  /** @param {string} name */
  constructor(name) {
    this.element = part(`transaction-${name}`);
  }

  /** @param {unknown[]} inputs @param {() => Node[]} make */
  draw(inputs, make) {
    if (this.#inputs?.every((input, i) => input === inputs[i])) return;
    this.#inputs = inputs;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    setChildren(this.element, make());
    if (focused) this.#refocus(focused.textContent);
  }

  /** What had the focus was made anew: the button of the same name has it again. @param {string|null} name */
  #refocus(name) {
    const same = [...this.element.querySelectorAll('button')].find((button) => button.textContent === name && !button.disabled);
    (same ?? part('transaction-scroll')).focus({ preventScroll: true });
  }

  clear() {
    this.#inputs = null;
    this.element.replaceChildren();
  }
}

/** @param {import('../protocol.js').Commit} commit */
function leadText(commit) {
  const head = headline(commit);
  if (head.kind === 'change') return `${plural(head.changes, 'change')} in ${plural(head.tables, 'table')}`;
  const { table, others, deleted } = head;
  const name = qualified(table).replace(/^public\./, '');
  const what = head.kind === 'truncate' ? `${name} was truncated` : `${plural(table.deletes, 'row')} deleted from ${name}`;
  const of = `${plural(others, 'other table')}`;
  return others ? `${what}, and ${deleted ? `${count(deleted)} of ${of}` : of}` : what;
}

/** @param {Investigation} investigation @param {() => void} again */
function problemNodes({ problem, tx }, again) {
  if (!problem) return [];
  const gone = ['no-longer-kept', 'not-found'].includes(problem.code);
  const button = !gone && h('button', { class: 'action', type: 'button' }, 'Try again');
  if (button) button.addEventListener('click', again);
  const title = gone ? 'This transaction is not in the history' : problem.title;
  // Every start is an epoch of its own: of an earlier one nothing is known.
  const hint = problem.code === 'not-found' && h('p', {}, 'What was committed before pgvigil was last started is not kept either.');
  return [h('div', 'problem', h('h3', {}, title), h('p', {}, problem.detail), hint, h('p', 'note mono', tx), button)];
}
