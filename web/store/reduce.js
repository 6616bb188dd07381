/**
 * The state after an action. Pure: no clock, no DOM, no socket; time comes with the action.
 *
 * @typedef {import('./state.js').State} State
 * @typedef {import('./state.js').Action} Action
 * @typedef {import('./state.js').Delivery} Delivery
 */

import { hear, listening, lost, opened } from './connection.js';
import { initialState } from './state.js';
import { addSkipped, addToFeed, open, pause, resume, select } from './feed.js';
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
      return { ...state, connection: lost(state.connection, action.why, action.retryAt) };
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
  let { connection, tables } = state;
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
    connection = hear(connection, frame, at);
    feed.add(frame, delivery.size);
  }
  // No data of a database that is not the one asked for, not even in memory.
  if (connection.stranger || connection.status?.said.state === 'wrong_database') {
    return { ...state, connection, tables: initialState.tables, feed: { ...initialState.feed, nextSeq: state.feed.nextSeq } };
  }
  return { ...state, connection, tables, feed: feed.finish() };
}
