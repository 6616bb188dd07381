/**
 * Asks the history for one transaction, a page of rows at a time, and for what of it can be brought back.
 *
 * Events of a transaction are numbered from 1, and a page is asked for by these numbers, so any part of a transaction of any size is one
 * small question.
 *
 * @typedef {import('./protocol.js').Change} Change
 * @typedef {import('./protocol.js').Ddl} Ddl
 * @typedef {import('./protocol.js').Commit} Commit
 * @typedef {import('./store/transaction_id.js').Place} Place
 * @typedef {import('./store/investigation.js').Finding} Finding
 */

import { ask, askJson, Problem } from './api.js';
import { clipRow } from './store/clip.js';
import { PAGE_EVENTS } from './store/investigation.js';
import { eventId, lsnText, placeOf } from './store/transaction_id.js';

/** Bytes of a page of rows; when it is larger, fewer rows are asked for. */
const PAGE_BYTES = 8 << 20;
const ARRIVING_MS = 500;
const ATTEMPTS = 10;

/** @param {(finding: Finding) => void} found */
export function createInvestigator(found) {
  let current = new AbortController();

  /** @param {string} tx @param {(place: Place, signal: AbortSignal) => Promise<void>} look */
  async function run(tx, look) {
    const { signal } = current;
    try {
      const place = placeOf(tx);
      if (!place) throw new Problem('not-found', 'There is no such transaction', `“${tx}” is not the id of a transaction.`);
      await look(place, signal);
    } catch (error) {
      if (signal.aborted) return;
      found({ tx, step: 'failed', problem: textOf(error) });
    }
  }

  return {
    /** @param {string} tx @param {Commit|null} commit  where it is known already */
    open(tx, commit) {
      current.abort();
      current = new AbortController();
      const { signal } = current;
      void run(tx, async (place) => {
        if (!commit) found({ tx, step: 'found', commit: await findCommit(tx, place, signal) });
        // What cannot be found cannot be undone either.
        void undo(tx, signal).then((undo) => signal.aborted || found({ tx, step: 'undo', undo }));
        found({ tx, step: 'rows', ...(await rowsFrom(place, 1, signal)) });
      });
    },
    /** Another page of its rows. @param {string} tx @param {number} from  ordinal */
    turn(tx, from) {
      found({ tx, step: 'turning' });
      void run(tx, async (place, signal) => found({ tx, step: 'rows', ...(await rowsFrom(place, from, signal)) }));
    },
    close() {
      current.abort();
    },
    /** The id of the newest transaction that removed rows, as far as the history reaches. @returns {Promise<string|null>} */
    async newestDelete() {
      const options = { most: PAGE_BYTES, signal: AbortSignal.timeout(ARRIVING_MS * ATTEMPTS) };
      const { events } = await askJson('events', { op: 'delete,truncate', kinds: 'commit', limit: '5' }, options).catch(() => ({ events: [] }));
      return events.find((/** @type {{type: string}} */ { type }) => type === 'commit')?.tx.id ?? null;
    },
  };
}

/** @param {string} tx @param {Place} place @param {AbortSignal} signal @returns {Promise<Commit>} */
async function findCommit(tx, place, signal) {
  for (let attempt = 1; ; attempt++) {
    const before = eventId({ ...place, lsn: place.lsn + 1n }, 0);
    const { events } = await askJson('events', { before, since: lsnText(place.lsn), kinds: 'commit', limit: '5' }, { most: PAGE_BYTES, signal });
    const commit = events.find((/** @type {Commit} */ event) => event.type === 'commit' && event.tx.id === tx);
    if (commit) return commit;
    try {
      // It says why there is none. An answer means that it has come by now.
      await ask(`transactions/${tx}`, {}, { most: 4096, signal });
    } catch (error) {
      const patient = error instanceof Problem && ['not-yet-there', 'too-long'].includes(error.code) && attempt < ATTEMPTS;
      if (!patient) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, ARRIVING_MS));
  }
}

/**
 * The events from this ordinal on, as many as make a page.
 *
 * @param {Place} place
 * @param {number} from
 * @param {AbortSignal} signal
 * @returns {Promise<{rows: (Change|Ddl)[], from: number, to: number, kept: number}>}
 */
async function rowsFrom(place, from, signal) {
  for (let size = PAGE_EVENTS; ; size = Math.ceil(size / 10)) {
    try {
      const events = await eventsFrom(place, from, size, signal);
      const rows = events.filter(({ type }) => type === 'change' || type === 'ddl');
      return { rows: rows.map((row) => (row.type === 'change' ? clipRow(row, Infinity) : row)), from, to: from + size - 1, kept: events.length };
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'too-long' || size === 1) throw error;
    }
  }
}

/** In their order, messages too. @param {Place} place @param {number} from @param {number} size @param {AbortSignal} signal @returns {Promise<(Change|Ddl)[]>} */
async function eventsFrom(place, from, size, signal) {
  const parameters = { before: eventId(place, from + size), since: lsnText(place.lsn), kinds: 'change,ddl,message', limit: String(size) };
  const { events } = await askJson('events', parameters, { most: PAGE_BYTES, signal });
  const inIt = events.filter((/** @type {Change} */ { tx }) => tx && (tx.ordinal ?? 0) >= from && tx.lsn === lsnText(place.lsn));
  return inIt.reverse();
}

/** @param {string} tx @param {AbortSignal} signal @returns {Promise<import('./store/state.js').UndoState>} */
async function undo(tx, signal) {
  try {
    const { coverage, cascades } = await askJson(`transactions/${tx}/undo`, { coverage: 'only' }, { most: PAGE_BYTES, signal });
    return { phase: 'known', coverage, cascades: cascades ?? [] };
  } catch (error) {
    return { phase: 'failed', problem: textOf(error) };
  }
}

/** @param {unknown} error @returns {import('./store/state.js').ProblemText} */
function textOf(error) {
  if (error instanceof Problem) return { code: error.code, title: error.title, detail: error.detail };
  return { code: 'unreadable', title: 'pgvigil sent something that this page cannot read', detail: '' };
}
