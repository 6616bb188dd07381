/**
 * The bar over the feed: what is filtered, and whether it is paused and how much came since. Also the tabs of a narrow screen, which
 * carry the same pause.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/state.js').Filter} Filter
 */

import { count } from '../format.js';
import { OPERATIONS, toggleOp, toggleTable } from '../store/filter.js';
import { waiting } from '../store/feed.js';
import { operationNode } from './change.js';
import { h, part, set, setText, shape } from './dom.js';

/**
 * @param {{toggle: () => void, filter: (change: (filter: Filter) => Filter) => void, tab: (tab: import('../store/state.js').Tab) => void}} on
 */
export function createFeedBar(on) {
  const ops = OPERATIONS.map((op) => {
    const button = h('button', { class: 'chip', type: 'button', 'data-op': op }, operationNode(op));
    button.addEventListener('click', () => on.filter((filter) => toggleOp(filter, op)));
    return { op, button };
  });
  part('filter-ops').append(...ops.map(({ button }) => button));

  const tableName = h('span');
  part('filter-table').append(tableName, shape('close'));
  part('filter-table').addEventListener('click', () => on.filter((filter) => toggleTable(filter, filter.table ?? '')));

  const pauses = ['pause-button', 'tab-pause'].map((id) => {
    const shapes = { pause: shape('pause'), play: shape('play') };
    const label = h('span');
    part(id).append(shapes.pause, shapes.play, label);
    if (id === 'pause-button') part(id).append(h('kbd', {}, 'Space'));
    part(id).addEventListener('click', on.toggle);
    return { shapes, label };
  });
  part('pause-note').addEventListener('click', on.toggle);
  const tabs = /** @type {const} */ (['tables', 'feed', 'alerts']);
  for (const tab of tabs) part(`tab-${tab}`).addEventListener('click', () => on.tab(tab));

  /** @param {State} state */
  return function draw({ feed, filter, tab, investigation }) {
    const { pause } = feed;
    set(part('feed'), { 'data-paused': pause !== null });
    set(part('pause-note'), { hidden: pause === null });
    setText(part('pause-note'), pause ? `Paused at ${pause.since} · ${count(waiting(feed))} new ↑` : '');
    for (const { shapes, label } of pauses) {
      set(shapes.pause, { hidden: pause !== null });
      set(shapes.play, { hidden: pause === null });
      setText(label, pause ? 'Resume' : 'Pause');
    }

    set(part('filter-table'), { hidden: filter.table === null, 'aria-label': `All tables, not only ${filter.table}` });
    setText(tableName, filter.table ?? '');
    for (const { op, button } of ops) set(button, { 'aria-pressed': String(filter.ops.includes(op)) });

    set(document.documentElement, { 'data-tab': tab });
    for (const each of tabs) set(part(`tab-${each}`), { 'aria-current': tab === each && !investigation ? 'page' : null });
    setText(part('tab-feed-text'), waiting(feed) ? `Feed · ${count(waiting(feed))}` : 'Feed');
  };
}
