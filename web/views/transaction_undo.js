/**
 * What can be brought back and what cannot, and only then the SQL that does it. The page runs nothing: it never writes to the database.
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

/** @param {Investigation} investigation */
export function undoNodes({ undo, tx }) {
  const title = h('h3', {}, 'Bring it back');
  if (undo.phase === 'asked') return [title, h('p', 'verdict waiting', 'Looking at what can be brought back …')];
  if (undo.phase === 'failed') {
    const tooLong = undo.problem.code === 'too-long';
    const text = tooLong ? 'The SQL is too long for a page. The command prints it, and says what it covers.' : `${undo.problem.title}. ${undo.problem.detail}`;
    return [title, h('p', 'verdict unknown', text), ...(tooLong ? commandNodes(tx) : [])];
  }
  const { sql, coverage } = undo;
  const nothing = coverage.restorable === 0;
  const incomplete = coverage.tables.some(({ missing }) => missing.some(({ reason, partial }) => reason === 'old_row_incomplete' && !partial));
  const partly = incomplete && h('p', 'step', 'With --partial the command also brings rows back that are not known whole, where the table lets it.');
  return [title, ...coverageNodes(coverage), partly || null, ...(nothing ? [] : [...commandNodes(tx), ...sqlNodes(sql)])].filter((node) => node !== null);
}

/**
 * What will be found further down, for who cannot see as far.
 *
 * @param {Investigation['undo']} undo
 * @param {() => void} go
 */
export function undoJump(undo, go) {
  if (undo.phase === 'failed') return [];
  const kind = undo.phase === 'known' ? verdictOf(undo.coverage).kind : 'waiting';
  const content = undo.phase === 'known' ? verdictNodes(undo.coverage) : [h('span', {}, 'Looking at what can be brought back …')];
  const button = h('button', { class: `jump ${kind}`, type: 'button' }, ...content, shape('chevron'));
  button.addEventListener('click', go);
  return [button];
}

/** @param {Coverage} coverage */
function verdictOf({ complete, rows, restorable, tables }) {
  const partial = tables.some(({ missing }) => missing.some((part) => part.partial));
  const kind = complete ? 'whole' : restorable > 0 ? 'part' : 'none';
  const extent = complete ? ', all columns' : partial ? ', some without all columns' : '';
  const text = rows === 0 && restorable === 0 && !tables.some(({ missing }) => missing.length) ? 'Nothing is left to bring back' : `${count(restorable)} of ${plural(rows, 'row')} can be brought back${extent}`;
  return { kind, text };
}

/** @param {Coverage} coverage */
function verdictNodes(coverage) {
  const { kind, text } = verdictOf(coverage);
  const sign = { whole: 'done', part: 'severity-warning', none: 'severity-critical' }[kind] ?? 'done';
  return [shape(sign), h('span', {}, text)];
}

/** @param {Coverage} coverage */
function coverageNodes(coverage) {
  const { tables, warnings } = coverage;
  const reasons = tables.flatMap(({ schema, name, missing }) => missing.map((part) => h('li', {}, h('b', {}, schema === 'public' ? name : `${schema}.${name}`), `: ${missingText(part)}`)));
  const fires = tables.filter(({ triggers }) => triggers.length).map(({ name, triggers }) => h('li', {}, `Triggers of ${name} fire when it runs: ${triggers.join(', ')}`));
  const notes = [...reasons, ...warnings.map((text) => h('li', {}, text)), ...fires];
  return [h('p', `verdict ${verdictOf(coverage).kind}`, ...verdictNodes(coverage)), ...(notes.length ? [h('ul', 'reasons', ...notes)] : [])];
}

/** @param {Missing} missing */
function missingText({ rows, columns, partial, detail }) {
  const who = rows === null ? 'an unknown number of rows' : plural(rows, 'row');
  const what = partial ? `${who} only in part` : `${who} not`;
  const without = columns.length ? `, for want of ${columns.join(', ')}` : '';
  return `${what}${without}: ${detail}.`;
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

/** @param {string} sql */
function sqlNodes(sql) {
  const cut = sql.length > SQL_SHOWN;
  const lines = plural(sql.trimEnd().split('\n').length, 'line');
  const text = h('pre', { class: 'code sql', tabindex: '0', role: 'group', 'aria-label': 'SQL that brings it back' }, cut ? `${sql.slice(0, SQL_SHOWN)}\n…` : sql);
  return [
    h('p', 'step', `Or this SQL, ${lines}, in any client. It is one transaction:`),
    h('div', 'code-box', text, copyButton('Copy SQL', () => sql, 'quiet copy')),
    cut && h('p', 'note', `Only the beginning is drawn; Copy SQL takes all of it.`),
  ].filter((node) => node !== false);
}
