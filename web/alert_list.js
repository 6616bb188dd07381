/**
 * The server's list of alerts: read when a connection begins, since some may have been resolved while there was none, and again and again
 * while somebody looks at it, since only the list tells how the webhooks do.
 *
 * And the acknowledgements, which are this browser tab's own: they outlive a reload, and nobody else sees them.
 *
 * @typedef {import('./store/state.js').State} State
 * @typedef {import('./store/store.js').Store} Store
 */

import { askJson, Problem } from './api.js';

const AGAIN_MS = 10_000;
const MOST_BYTES = 8 << 20;
const KEY = 'pgvigil.acknowledged';

/** @param {Store} store @param {import('./clock.js').Clock} clock */
export function createAlertList(store, clock) {
  let connection = -1;
  let askedAt = -Infinity;
  let asking = false;
  let written = store.state.alerts.acknowledged;

  /** To be called often. */
  return function check() {
    const { state } = store;
    remember(state);
    const fresh = state.connection.greeted && state.connection.losses !== connection;
    const again = state.connection.greeted && state.tab === 'alerts' && clock.now() - askedAt >= AGAIN_MS;
    if (asking || (!fresh && !again)) return;
    connection = state.connection.losses;
    askedAt = clock.now();
    asking = true;
    void read(askedAt).finally(() => (asking = false));
  };

  /** @param {number} at */
  async function read(at) {
    try {
      const list = await askJson('alerts', {}, { most: MOST_BYTES, signal: new AbortController().signal });
      const { active = [], recent = [], evaluating = null, webhooks = [], rules = [] } = list;
      store.dispatch({ type: 'alerts/loaded', bulletin: { alerts: [...active, ...recent], evaluating, webhooks, rules: rules.length }, askedAt: at });
    } catch (error) {
      const why = error instanceof Problem ? `${error.title}. ${error.detail}` : 'pgvigil sent something that this page cannot read.';
      store.dispatch({ type: 'alerts/unread', why });
    }
  }

  /** @param {State} state */
  function remember({ alerts: { acknowledged } }) {
    if (acknowledged === written) return;
    written = acknowledged;
    try {
      sessionStorage.setItem(KEY, JSON.stringify([...acknowledged]));
    } catch {
      // A browser that keeps nothing: the acknowledgement lasts until the page is loaded again.
    }
  }
}

/** What was acknowledged in this tab before. @returns {Map<string, number>} */
export function acknowledgedBefore() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(KEY) ?? '[]'));
  } catch {
    return new Map();
  }
}
