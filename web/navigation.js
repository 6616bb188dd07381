/**
 * Where the reader is: which changes the feed shows, which transaction is looked at, which part of the page is in front. The first two
 * stand in the page's address, so that going back, a reload and a link sent to someone lead to the same place.
 *
 * @typedef {import('./store/state.js').Filter} Filter
 * @typedef {import('./store/state.js').Tab} Tab
 * @typedef {import('./store/store.js').Store} Store
 */

import { ask } from './api.js';
import { createInvestigator } from './investigate.js';
import { addressOf, txFrom } from './store/address.js';
import { newestDelete } from './store/feed.js';
import { filterFrom } from './store/filter.js';

/** A transaction that is larger is not copied from a page. */
const JSON_BYTES = 16 << 20;
/** Bytes of reversal SQL: more is nothing to read or to copy from a page. */
const UNDO_BYTES = 8 << 20;
const JSON_MS = 15_000;

/** @param {Store} store */
export function createNavigation(store) {
  const investigator = createInvestigator((finding) => store.dispatch({ type: 'investigate/found', finding }));

  /** @param {Filter} filter @param {string|null} tx */
  function remember(filter, tx) {
    const search = addressOf(filter, tx);
    if (search !== location.search) history.pushState(null, '', location.pathname + search);
  }

  /** @param {string|null} tx */
  function look(tx) {
    const { investigation } = store.state;
    if (tx === (investigation?.tx ?? null)) return;
    investigator.close();
    store.dispatch(tx === null ? { type: 'investigate/close' } : { type: 'investigate', tx });
    again();
  }

  /** Asks anew for what is looked at. */
  function again() {
    const { investigation } = store.state;
    if (investigation) investigator.open(investigation.tx, investigation.commit);
  }

  /** Looks at a transaction; at none, which is what was in front before. @param {string|null} tx */
  function investigate(tx) {
    remember(store.state.filter, tx);
    look(tx);
  }

  window.addEventListener('popstate', () => {
    store.dispatch({ type: 'filter', filter: filterFrom(location.search) });
    look(txFrom(location.search));
  });

  return {
    investigate,
    again,
    /** @param {(filter: Filter) => Filter} change */
    filter(change) {
      const filter = change(store.state.filter);
      remember(filter, store.state.investigation?.tx ?? null);
      store.dispatch({ type: 'filter', filter });
    },
    /** Brings a part of the page to the front. @param {Tab} tab */
    show(tab) {
      investigate(null);
      store.dispatch({ type: 'tab', tab });
    },
    /** Another page of the transaction's rows. @param {number} from */
    turn(from) {
      const { investigation } = store.state;
      if (investigation && !investigation.turning) investigator.turn(investigation.tx, from);
    },
    /** The newest transaction that removed rows: in the feed, else in all that the server keeps. */
    async newestDelete() {
      const tx = newestDelete(store.state.feed) ?? (await investigator.newestDelete());
      if (tx) investigate(tx);
    },
    /** The SQL that reverses it. @param {{tx: string}} investigation @returns {Promise<string>} */
    sql: ({ tx }) => ask(`transactions/${tx}/undo`, {}, { most: UNDO_BYTES, signal: AbortSignal.timeout(JSON_MS), accept: 'application/sql' }),
    /** A transaction whole, as the server has it. @param {{tx: string}} investigation @returns {Promise<string>} */
    json: ({ tx }) => ask(`transactions/${tx}`, {}, { most: JSON_BYTES, signal: AbortSignal.timeout(JSON_MS) }),
    /** Goes where the address leads. */
    begin: () => look(txFrom(location.search)),
  };
}
