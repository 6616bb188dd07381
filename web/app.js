/**
 * Puts the page together: socket → inbox → store → views.
 *
 * The page is painted once an animation frame at most, and at least every TICK_MS, since what is on it ages. What arrived is taken in
 * then, or after TAKE_MS where no frame is painted (a hidden tab), so nothing piles up. Age is judged at every painting.
 */

import { acknowledgedBefore, createAlertList } from './alert_list.js';
import { createClock } from './clock.js';
import { wall } from './format.js';
import { Inbox } from './inbox.js';
import { listenToKeys } from './keyboard.js';
import { createNavigation } from './navigation.js';
import { recent } from './recent.js';
import { Socket } from './socket.js';
import { pressing } from './store/alerts.js';
import { shown } from './store/feed.js';
import { filterFrom, isActive, toggleTable } from './store/filter.js';
import { judge } from './store/freshness.js';
import { reduce } from './store/reduce.js';
import { FIRST_ROWS, initialState, MORE_ROWS } from './store/state.js';
import { createStore } from './store/store.js';
import { createAlertBar } from './views/alert_bar.js';
import { createAlerts } from './views/alerts.js';
import { createAnnouncer } from './views/announcer.js';
import { createBlocked } from './views/blocked.js';
import { part } from './views/dom.js';
import { createFeed, order } from './views/feed.js';
import { createFeedBar } from './views/feed_bar.js';
import { createFooter } from './views/footer.js';
import { createHeader } from './views/header.js';
import { createHelp } from './views/help.js';
import { createRunning } from './views/running.js';
import { createTables } from './views/tables.js';
import { createTransaction } from './views/transaction.js';
import { createVeil } from './views/veil.js';

const TICK_MS = 500;
const TAKE_MS = 1000;

const clock = createClock();
/** Until something was received: where the feed begins. @type {string|null} */
let beginsAfter = null;
const inbox = new Inbox();
const store = createStore(reduce, {
  ...initialState,
  filter: filterFrom(location.search),
  alerts: { ...initialState.alerts, acknowledged: acknowledgedBefore() },
});
const navigation = createNavigation(store);
const { investigate, show } = navigation;
const checkAlerts = createAlertList(store, clock);

const socket = new Socket(address, clock, {
  connecting: () => store.dispatch({ type: 'socket/connecting' }),
  open: () => store.dispatch({ type: 'socket/open' }),
  message(text, at) {
    inbox.put(text, at);
    if (at - takenAt >= TAKE_MS) take();
    else schedule();
  },
  lost(why, retryAt) {
    // What a socket said before it was lost is still true, and is the place to go on from.
    take();
    store.dispatch({ type: 'socket/lost', why, retryAt });
  },
});

function address() {
  const url = new URL('api/v1/ws', document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = '';
  const from = store.state.connection.lastId ?? beginsAfter;
  if (from) url.searchParams.set('from', from);
  return url.href;
}

const pause = () => store.dispatch({ type: 'feed/pause', since: wall(new Date()) });
const togglePause = () => (store.state.feed.pause ? store.dispatch({ type: 'feed/resume' }) : pause());

/** @param {number} seq @param {number} rows */
function open(seq, rows) {
  // Who opens something wants to read it.
  pause();
  store.dispatch({ type: 'feed/open', seq, rows });
}

const acknowledge = (/** @type {string} */ id) => store.dispatch({ type: 'alerts/acknowledge', id });

const header = createHeader(() => socket.connect());
const blocked = createBlocked();
const tables = createTables({
  filter(table) {
    navigation.filter((filter) => toggleTable(filter, table));
    if (isActive(store.state.filter)) show('feed');
  },
  fold: (oid) => store.dispatch({ type: 'tables/fold', oid }),
});
const feedBar = createFeedBar({ toggle: togglePause, filter: navigation.filter, tab: show });
const feed = createFeed({
  pause,
  open,
  investigate(tx) {
    pause();
    investigate(tx);
  },
  redraw: schedule,
});
const running = createRunning();
const alertBar = createAlertBar({ investigate, acknowledge, all: () => show('alerts') });
const alerts = createAlerts({ investigate, acknowledge, close: () => show('feed') });
const transaction = createTransaction({ close: () => investigate(null), turn: navigation.turn, again: navigation.again, json: navigation.json, sql: navigation.sql });
const footer = createFooter();
const help = createHelp(() => store.dispatch({ type: 'help', shown: false }));
const announcer = createAnnouncer();
const veil = createVeil();

let scheduled = false;
let takenAt = clock.now();

function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    paint();
  });
}

function take() {
  takenAt = clock.now();
  if (!inbox.empty) store.dispatch({ type: 'received', deliveries: inbox.take() });
}

function paint() {
  socket.check();
  take();
  checkAlerts();
  const now = clock.now();
  const { state } = store;
  const freshness = judge(state.connection, now);
  header(state, freshness);
  blocked(state, freshness);
  alertBar(state, freshness);
  tables(state, freshness, now);
  feedBar(state);
  running(state, freshness);
  feed(state, freshness);
  alerts(state, freshness);
  transaction(state);
  footer(state, freshness);
  help(state);
  announcer(state, freshness, now);
  veil(freshness);
}

store.watch(schedule);
setInterval(paint, TICK_MS);

// A page that wakes judges its age before anything else; one that is put to sleep is left in a state that is not live.
document.addEventListener('visibilitychange', paint);
document.addEventListener('resume', paint);
window.addEventListener('pageshow', paint);
for (const [target, event] of /** @type {const} */ ([[document, 'freeze'], [window, 'pagehide']])) {
  target.addEventListener(event, () => {
    socket.leave();
    paint();
  });
}

document.addEventListener('selectionchange', () => {
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && part('cards').contains(selection.anchorNode)) pause();
});
part('alerts-button').addEventListener('click', () => show(store.state.tab === 'alerts' ? 'feed' : 'alerts'));
part('help-button').addEventListener('click', () => store.dispatch({ type: 'help', shown: true }));
// After a press by pointer the keys belong to the page again, so that Space pauses and does not press once more.
document.addEventListener('click', (event) => {
  if (event.detail > 0 && document.activeElement instanceof HTMLButtonElement) document.activeElement.blur();
});

listenToKeys({
  reading: () => store.state.investigation !== null || store.state.tab === 'alerts',
  toggle: togglePause,
  move(by) {
    pause();
    const seqs = order(store.state);
    const at = seqs.indexOf(store.state.feed.selected ?? -1);
    const next = seqs[at < 0 ? 0 : Math.min(seqs.length - 1, Math.max(0, at + by))];
    if (next !== undefined) store.dispatch({ type: 'feed/select', seq: next });
  },
  open() {
    const { feed: { selected, opened } } = store.state;
    if (selected !== null) open(selected, opened.has(selected) ? FIRST_ROWS : MORE_ROWS);
  },
  investigate() {
    const { feed: { selected }, alerts: known } = store.state;
    const card = shown(store.state.feed).items.find((item) => item.seq === selected);
    const [worst] = pressing(known);
    if (card?.kind === 'transaction' && card.commit) investigate(card.tx.id);
    else if (worst?.tx) investigate(worst.tx.id);
  },
  go(where) {
    const tabs = /** @type {const} */ ({ a: 'alerts', t: 'tables', f: 'feed' });
    if (where === 'd') void navigation.newestDelete();
    else show(tabs[where]);
  },
  back() {
    if (store.state.investigation) investigate(null);
    else if (store.state.tab === 'alerts') show('feed');
    else store.dispatch({ type: 'feed/select', seq: null });
  },
  help: () => store.dispatch({ type: 'help', shown: true }),
});

navigation.begin();
paint();
beginsAfter = await recent();
socket.connect();
