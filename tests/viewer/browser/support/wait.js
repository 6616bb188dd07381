/** Waiting for a condition, never for a time. */

import { setTimeout as pause } from 'node:timers/promises';

/**
 * What `probe` gives once it is true, asked again and again.
 *
 * @template T
 * @param {string} what  for the message when it never comes
 * @param {() => T|Promise<T>} probe
 * @param {number} within  ms
 */
export async function until(what, probe, within = 15_000) {
  const end = performance.now() + within;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within ${within} ms: ${what}`);
    await pause(50);
  }
}
