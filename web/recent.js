/**
 * Where the feed of a page that is just opened begins: a little back, since whoever opens it wants to know what has just happened.
 *
 * The place is an event id; the stream itself brings what came after it, so the recent past and the present come by one way.
 */

/** Events looked back over: what one screen or two can show. */
const EVENTS = 200;
/** A page does not wait longer than this for its past. */
const PATIENCE_MS = 2000;

/**
 * The end of the oldest transaction among the last events, so that the feed begins with a whole one; or with all that there is. Null is
 * the present.
 *
 * @param {{events: {type: string, id?: string}[], next: string|null}} page  newest first
 * @returns {string|null}
 */
export function beginning({ events, next }) {
  if (next === null) return 'oldest';
  return events.findLast(({ type, id }) => type === 'commit' && id !== undefined)?.id ?? null;
}

/** @returns {Promise<string|null>} */
export async function recent() {
  const url = new URL('api/v1/events', document.baseURI);
  url.searchParams.set('limit', String(EVENTS));
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.ok ? beginning(await response.json()) : null;
  } catch {
    // Then the page begins with the present, as it does where nothing has happened yet; the socket tells what is wrong.
    return null;
  }
}
