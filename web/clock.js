/**
 * The page's one clock: milliseconds that only ever go forward, and that count the time a machine slept.
 *
 * `performance.now()` stands still while a laptop is suspended on most systems, so ages would come out too young. The wall clock does
 * not; where it ran ahead of the monotonic clock by more than JUMP between two readings, the difference was sleep and is added. A wall
 * clock that somebody sets forward looks the same: then ages come out too old for a moment, which is the safe side.
 *
 * @typedef {{now(): number}} Clock
 */

const JUMP_MS = 2000;

/**
 * @param {() => number} monotonic
 * @param {() => number} wall
 * @returns {Clock}
 */
export function createClock(monotonic = () => performance.now(), wall = () => Date.now()) {
  let lastMonotonic = monotonic();
  let lastWall = wall();
  let slept = 0;
  return {
    now() {
      const m = monotonic();
      const w = wall();
      const asleep = w - lastWall - (m - lastMonotonic);
      if (asleep > JUMP_MS) slept += asleep;
      lastMonotonic = m;
      lastWall = w;
      return m + slept;
    },
  };
}
