/**
 * The feed: newest first, only the cards near what is seen have elements. While it is paused, what is on screen stays.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/state.js').Item} Item
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 */

import { count, plural } from '../format.js';
import { isActive, matchesItem } from '../store/filter.js';
import { shown } from '../store/feed.js';
import { FIRST_ROWS } from '../store/state.js';
import { cardNode } from './card.js';
import { part, set, setChildren, setText } from './dom.js';
import { Window } from './window.js';

/** Heights before they are measured, px. */
const HEAD = 36;
const ROW = 26;

/**
 * @param {{pause: () => void, open: (seq: number, rows: number) => void, investigate: (tx: string) => void, redraw: () => void}} on
 */
export function createFeed(on) {
  const scroll = part('feed-scroll');
  const cards = part('cards');
  const above = part('space-above');
  const below = part('space-below');
  const view = new Window();
  /** @type {Map<number, {element: HTMLElement, item: Item, rows: number, filter: State['filter']}>} */
  const drawn = new Map();
  /** @type {{items: readonly Item[], filter: State['filter'], list: Item[]}} */
  let listed = { items: [], filter: { table: null, ops: [] }, list: [] };
  let paused = false;
  /** Where the list begins on the screen, and the room made so that it can stay there while it is paused, px. */
  let top = 0;
  let lift = 0;
  let room = 0;
  /** @type {number|null} */
  let selected = null;

  scroll.addEventListener('scroll', () => {
    if (!paused && scroll.scrollTop > 0) on.pause();
    on.redraw();
  });

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ feed, filter, tables }, freshness) {
    const { items, evicted } = shown(feed);
    if (paused && !feed.pause) {
      scroll.scrollTop = 0;
      lift = 0;
      room = 0;
    }
    paused = feed.pause !== null;
    if (paused) stayInPlace();
    else top = scroll.getBoundingClientRect().top;
    if (items !== listed.items || filter !== listed.filter) {
      const list = items.filter((item) => matchesItem(filter, item)).reverse();
      if (filter !== listed.filter) scroll.scrollTop = 0;
      listed = { items, filter, list };
      const seqs = new Set(list.map((item) => item.seq));
      view.prune((seq) => seqs.has(seq));
    }
    const rowsOf = (/** @type {Item} */ item) => feed.opened.get(item.seq) ?? FIRST_ROWS;
    const guess = (/** @type {Item} */ item) => (item.kind === 'transaction' ? HEAD + ROW * Math.min(item.rows.length, rowsOf(item)) : 2 * ROW);
    const near = view.slice(listed.list, (item) => item.seq, guess, scroll.scrollTop, scroll.clientHeight);

    const wanted = new Set(near.items.map((item) => item.seq));
    for (const seq of drawn.keys()) if (!wanted.has(seq)) drawn.delete(seq);
    const tableOf = (/** @type {number} */ oid) => tables.byOid.get(oid);
    const focused = document.activeElement;
    const holder = [...drawn].find(([, { element }]) => element.contains(focused));
    const elements = near.items.map((item) => {
      const rows = rowsOf(item);
      const known = drawn.get(item.seq);
      if (known && known.item === item && known.rows === rows && known.filter === filter) return known.element;
      const element = cardNode(item, { filter, rows, tableOf, open: on.open, investigate: on.investigate });
      if (!known && !paused) element.classList.add('arriving');
      drawn.set(item.seq, { element, item, rows, filter });
      return element;
    });
    setChildren(cards, elements);
    if (focused && holder) moveFocus(focused, holder[1].element, drawn.get(holder[0])?.element);
    above.style.height = `${near.above + lift}px`;
    below.style.height = `${near.below + room}px`;
    for (const { item, element } of drawn.values()) view.measured(item.seq, element.offsetHeight);

    drawSelection(feed.selected);
    drawEnd(listed.list, filter, evicted, freshness);
  };

  /** Something above came or went: a paused list moves against it, so that its cards stay where they are on the screen. */
  function stayInPlace() {
    // Not there to be seen: on a narrow screen another part is in front.
    if (scroll.clientHeight === 0) return;
    const now = scroll.getBoundingClientRect().top;
    const by = now - top;
    top = now;
    if (by === 0) return;
    const to = scroll.scrollTop - lift + by;
    lift = Math.max(0, -to);
    room += Math.max(0, by);
    above.style.height = `${Math.max(0, above.offsetHeight + lift)}px`;
    below.style.height = `${below.offsetHeight + Math.max(0, by)}px`;
    scroll.scrollTop = Math.max(0, to);
  }

  /** @param {number|null} seq */
  function drawSelection(seq) {
    for (const { element, item } of drawn.values()) set(element, { 'data-selected': item.seq === seq });
    if (seq === selected) return;
    selected = seq;
    const element = seq === null ? null : drawn.get(seq)?.element;
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {Item[]} list @param {State['filter']} filter @param {boolean} evicted @param {Freshness} freshness */
  function drawEnd(list, filter, evicted, { state }) {
    let text = evicted ? `Older transactions are no longer kept here; these are the last ${count(listed.items.length)}.` : '';
    if (list.length === 0) {
      if (isActive(filter) && listed.items.length > 0) text = `None of the ${plural(listed.items.length, 'transaction')} kept here matches the filter.`;
      else text = state === 'live' ? 'Nothing has changed lately. The next commit appears here.' : 'No changes yet.';
    }
    setText(part('feed-end'), text);
  }
}

/** A card that is drawn anew keeps the focus, on the same part of it. @param {Element} focused @param {HTMLElement} from @param {HTMLElement|undefined} to */
function moveFocus(focused, from, to) {
  if (!to || to === from) return;
  const same = focused === from ? to : to.querySelector(`.${focused.className}`);
  (same instanceof HTMLElement ? same : to).focus({ preventScroll: true });
}

/** The seqs of the cards in the order shown, for moving from one to the next. @param {State} state */
export function order({ feed, filter }) {
  return shown(feed)
    .items.filter((item) => matchesItem(filter, item))
    .map((item) => item.seq)
    .reverse();
}
