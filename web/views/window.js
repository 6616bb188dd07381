/**
 * Which part of a long list is near what is seen: only that part has elements. Heights are measured once drawn, and guessed before.
 */

/** Drawn above and below what is seen, px. */
const MARGIN = 600;

export class Window {
  /** @type {Map<number, number>} */
  #heights = new Map();

  /**
   * @template T
   * @param {T[]} list
   * @param {(item: T) => number} keyOf
   * @param {(item: T) => number} guess
   * @param {number} top     px scrolled away
   * @param {number} height  px seen
   */
  slice(list, keyOf, guess, top, height) {
    let offset = 0;
    let above = 0;
    let below = 0;
    let start = list.length;
    let end = 0;
    list.forEach((item, i) => {
      const size = this.#heights.get(keyOf(item)) ?? guess(item);
      if (offset + size < top - MARGIN) above += size;
      else if (offset > top + height + MARGIN) below += size;
      else {
        start = Math.min(start, i);
        end = i + 1;
      }
      offset += size;
    });
    return { items: list.slice(start, end), above, below };
  }

  /** @param {number} key @param {number} height */
  measured(key, height) {
    this.#heights.set(key, height);
  }

  /** Forgets what is no longer in the list. @param {(key: number) => boolean} keep */
  prune(keep) {
    for (const key of this.#heights.keys()) if (!keep(key)) this.#heights.delete(key);
  }

  /** @param {number} key */
  forget(key) {
    this.#heights.delete(key);
  }
}
