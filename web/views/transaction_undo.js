/**
 * What can be brought back and what cannot, and for who asks for it the SQL that does it. The page runs nothing: it never writes to the database.
 *
 * @typedef {import('../store/state.js').Investigation} Investigation
 * @typedef {import('../store/state.js').Coverage} Coverage
 * @typedef {import('../store/state.js').Missing} Missing
 */

import { count, plural } from '../format.js';
import { copyButton } from './copy.js';
import { h, shape } from './dom.js';

/** Characters of SQL drawn; all of it is copied. */
const SQL_SHOWN = 20_000;
/** Where the command looks for pgvigil if it is not told. */
const USUAL_HOST = '127.0.0.1:7777';

/**
 * @param {Investigation} investigation
 * @param {() => Promise<string>} sqlOf  asks for the SQL
 */
export function undoNodes({ undo, tx }, sqlOf) {
  const title = h('h3', {}, 'Bring it back');
  if (undo.phase === 'asked') return [title, h('p', 'verdict waiting', 'Looking at what can be brought back …')];
  if (undo.phase === 'failed') return [title, h('p', 'verdict unknown', `${undo.problem.title}. ${undo.problem.detail}`)];
  const { coverage } = undo;
  const incomplete = coverage.tables.some(({ missing }) => missing.some(({ reason, partial }) => reason === 'old_row_incomplete' && !partial));
  const partly = incomplete && h('p', 'step', 'With --partial the command also brings rows back that are not known whole, where the table lets it.');
  const ways = coverage.restorable === 0 ? [] : [...commandNodes(tx), ...sqlNodes(sqlOf)];
  return [title, ...coverageNodes(coverage), ...(partly ? [partly] : []), ...ways];
}

/**
 * What will be found further down, for who cannot see as far.
 *
 * @param {Investigation['undo']} undo
 * @param {() => void} go
 */
export function undoJump(undo, go) {
  if (undo.phase === 'failed') return [];
  const kind = undo.phase === 'known' ? verdictOf(undo.coverage) : 'waiting';
  const content = undo.phase === 'known' ? verdictNodes(undo.coverage) : [h('span', {}, 'Looking at what can be brought back …')];
  const button = h('button', { class: `jump ${kind}`, type: 'button' }, ...content, shape('chevron'));
  button.addEventListener('click', go);
  return [button];
}

/** @param {Coverage} coverage */
function verdictOf({ complete, restorable }) {
  return complete ? 'whole' : restorable > 0 ? 'part' : 'none';
}

/** @param {Coverage} coverage */
function verdictNodes(coverage) {
  const sign = { whole: 'done', part: 'severity-warning', none: 'severity-critical' }[verdictOf(coverage)];
  return [shape(sign), h('span', {}, verdictText(coverage))];
}

/** @param {Coverage} coverage */
function coverageNodes(coverage) {
  const { tables, warnings, notes = [] } = coverage;
  const reasons = tables.flatMap(({ schema, name, missing }) => missing.map((part) => h('li', {}, h('b', {}, schema === 'public' ? name : `${schema}.${name}`), `: ${missingText(part)}`)));
  const fires = tables.filter(({ triggers }) => triggers.length).map(({ name, triggers }) => h('li', {}, `Triggers of ${name} fire when it runs: ${triggers.join(', ')}`));
  const said = [...reasons, ...[...warnings, ...notes].map((text) => h('li', {}, text)), ...fires];
  return [h('p', `verdict ${verdictOf(coverage)}`, ...verdictNodes(coverage)), ...(said.length ? [h('ul', 'reasons', ...said)] : [])];
}

/** @param {Coverage} coverage */
function verdictText({ complete, rows, lost = 0, restorable, already = 0, tables }) {
  const unknown = lost === null || tables.some(({ truncated }) => truncated === null);
  const without = tables.some(({ missing }) => missing.some(({ partial }) => partial));
  if (rows === 0 && !unknown && !lost) return 'Nothing is left to bring back';
  if (already === rows && !unknown && !lost) return rows === 1 ? 'The row is as it was before, again' : `All ${count(rows)} rows are as they were before, again`;
  const extent = complete ? ', all columns' : without ? ', some without all columns' : '';
  const again = already ? `; ${count(already)} ${already === 1 ? 'is as it was' : 'are as they were'} again already` : '';
  return `${count(restorable)} of ${unknown ? 'an unknown number of rows' : `${lost ? 'up to ' : ''}${plural(rows + (lost ?? 0), 'row')}`} can be brought back${extent}${again}`;
}

/** @param {Missing} missing */
function missingText({ rows, columns, partial, detail, by = [] }) {
  const who = rows === null ? 'an unknown number of rows' : plural(rows, 'row');
  const what = partial ? `${who} only in part` : `${who} not`;
  const without = columns.length ? `, for want of ${columns.join(', ')}` : '';
  return `${what}${without}: ${detail}${by.length ? ` (by ${by.join(', ')})` : ''}.`;
}

/** @param {string} tx */
function commandNodes(tx) {
  const usual = location.protocol === 'http:' && location.host === USUAL_HOST;
  const url = usual ? '' : ` --url ${location.origin}`;
  const command = `pgvigil undo${url} --tx ${tx} --apply`;
  return [
    h('p', 'step', 'In a terminal. It shows what it would do, and asks before it does it:'),
    h('div', 'code-box', h('pre', 'code one-line', command), copyButton('Copy', () => command, 'quiet copy')),
  ];
}

/** The SQL may be as large as what was lost, so it is asked for only by who wants it. @param {() => Promise<string>} sqlOf */
function sqlNodes(sqlOf) {
  const show = h('button', { class: 'quiet', type: 'button' }, 'Show SQL');
  const shown = h('div', { 'aria-live': 'polite' });
  show.addEventListener('click', async () => {
    show.setAttribute('disabled', '');
    try {
      shown.replaceChildren(...textNodes(await sqlOf()));
      show.remove();
    } catch (error) {
      const { code = '', title = '', detail = '' } = /** @type {Partial<import('../api.js').Problem>} */ (error);
      const text = code === 'too-long' ? 'The SQL is too large for a page. The command prints it where --apply is left out.' : `${title}. ${detail}`;
      shown.replaceChildren(h('p', 'note', text));
      show.removeAttribute('disabled');
    }
  });
  return [
    h('p', 'step', 'Or its SQL, one transaction, in any client:'),
    h('div', 'sql-actions', show, copyButton('Copy SQL', sqlOf, 'quiet')),
    shown,
  ];
}

/** @param {string} sql */
function textNodes(sql) {
  const cut = sql.length > SQL_SHOWN;
  const text = h('pre', { class: 'code sql', tabindex: '0', role: 'group', 'aria-label': 'SQL that brings it back' }, cut ? `${sql.slice(0, SQL_SHOWN)}\n…` : sql);
  const lines = plural(sql.trimEnd().split('\n').length, 'line');
  return [h('div', 'code-box', text), ...(cut ? [h('p', 'note', `Only the beginning of ${lines} is drawn; Copy SQL takes all of it.`)] : [])];
}
