/**
 * The state after an action. Pure: no clock, no DOM, no socket; time comes with the action.
 *
 * @typedef {import('./state.js').State} State
 * @typedef {import('./state.js').Action} Action
 * @typedef {import('./state.js').Delivery} Delivery
 */

import { acknowledge, hearAlert, loadAlerts } from './alerts.js';
import { hear, listening, lost, opened } from './connection.js';
import { addSkipped, addToFeed, commitOf, open, pause, resume, select } from './feed.js';
import { find, investigate } from './investigation.js';
import { initialState } from './state.js';
import { applyCounts, fold } from './tables.js';

/**
 * @param {State} state
 * @param {Action} action
 * @returns {State}
 */
export function reduce(state, action) {
  switch (action.type) {
    case 'socket/connecting':
      return { ...state, connection: listening(state.connection) };
    case 'socket/open':
      return { ...state, connection: opened(state.connection) };
    case 'socket/lost':
      return { ...state, connection: lost(state.connection, action.why, action.retryAt), running: [] };
    case 'received':
      return receive(state, action.deliveries);
    case 'feed/pause':
      return { ...state, feed: pause(state.feed, action.since) };
    case 'feed/resume':
      return { ...state, feed: resume(state.feed) };
    case 'feed/select':
      return { ...state, feed: select(state.feed, action.seq) };
    case 'feed/open':
      return { ...state, feed: open(state.feed, action.seq, action.rows) };
    case 'tables/fold':
      return { ...state, tables: fold(state.tables, action.oid) };
    case 'alerts/loaded':
      return { ...state, alerts: loadAlerts(state.alerts, action.bulletin, action.askedAt) };
    case 'alerts/unread':
      return { ...state, alerts: { ...state.alerts, fault: action.why } };
    case 'alerts/acknowledge':
      return { ...state, alerts: acknowledge(state.alerts, action.id) };
    case 'investigate':
      if (isOther(state.connection)) return state;
      return { ...state, investigation: investigate(action.tx, commitOf(state.feed, action.tx)) };
    case 'investigate/found':
      return { ...state, investigation: find(state.investigation, action.finding) };
    case 'investigate/close':
      return { ...state, investigation: null };
    case 'filter':
      return { ...state, filter: action.filter };
    case 'tab':
      return { ...state, tab: action.tab };
    case 'help':
      return { ...state, help: action.shown };
    default:
      return state;
  }
}

/**
 * All that came since the last look, in its order.
 *
 * @param {State} state
 * @param {Delivery[]} deliveries
 * @returns {State}
 */
function receive(state, deliveries) {
  let { connection, tables, alerts, running } = state;
  const feed = addToFeed(state.feed);
  for (const delivery of deliveries) {
    if (delivery.kind === 'skipped') {
      connection = { ...connection, lastId: delivery.lastId ?? connection.lastId };
      addSkipped(feed, delivery);
      continue;
    }
    const { frame, at } = delivery;
    // What another server says is not this database's; the page is blocked until it is loaded again.
    if (connection.stranger) break;
    if (frame.type === 'counts') tables = applyCounts(tables, frame, at);
    else if (frame.type === 'alert') alerts = hearAlert(alerts, frame, at);
    else if (frame.type === 'running') running = frame.transactions;
    connection = hear(connection, frame, at);
    feed.add(frame, delivery.size);
  }
  // No data of a database that is not the one asked for, not even in memory.
  if (isOther(connection)) {
    const { filter, tab, help } = state;
    return { ...initialState, connection, filter, tab, help, feed: { ...initialState.feed, nextSeq: state.feed.nextSeq } };
  }
  return { ...state, connection, tables, alerts, running, feed: feed.finish() };
}

/** It is another database than the one that is asked for. @param {State['connection']} connection */
function isOther({ stranger, status }) {
  return stranger !== null || status?.said.state === 'wrong_database';
}
