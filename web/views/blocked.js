/**
 * The page when the database is not the one that it should be: what was expected, what is there, and no data.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../protocol.js').Database} Database
 */

import { h, part, set, shape } from './dom.js';

export function createBlocked() {
  let drawn = '';

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ connection }, { numbers, reason }) {
    const blocked = numbers === 'blocked';
    for (const id of ['main', 'footer']) set(part(id), { hidden: blocked });
    set(part('blocked'), { hidden: !blocked });
    const { stranger } = connection;
    const key = blocked ? JSON.stringify([stranger, reason]) : '';
    if (key === drawn) return;
    drawn = key;
    part('blocked').replaceChildren(...(blocked ? [h('div', 'blocked-body', ...content(stranger, reason))] : []));
  };
}

/** @param {State['connection']['stranger']} stranger @param {string} reason */
function content(stranger, reason) {
  const title = h('h2', {}, 'This is another database');
  const lead = h('p', 'lead', 'pgvigil answers, but not with the database that is watched here. Nothing of it is shown.');
  if (!stranger) return [shape('state-wrong_database', 'blocked-shape'), title, lead, h('p', 'blocked-reason', reason)];
  const reload = h('button', { type: 'button' }, `Watch ${stranger.actual.name} instead`);
  reload.addEventListener('click', () => location.reload());
  const list = h('dl', {}, h('dt', {}, 'expected'), h('dd', {}, describe(stranger.expected)), h('dt', {}, 'actual'), h('dd', {}, describe(stranger.actual)));
  return [shape('state-wrong_database', 'blocked-shape'), title, lead, list, reload];
}

/** @param {Database} database */
function describe({ name, host, port, oid, system_identifier: system, server_version: version }) {
  return `${name}@${host}:${port} · oid ${oid} · system ${system} · PostgreSQL ${version}`;
}
