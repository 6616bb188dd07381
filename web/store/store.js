/**
 * Holds the state, and tells when it changed. All change goes through the reducer.
 *
 * @typedef {import('./state.js').State} State
 * @typedef {import('./state.js').Action} Action
 */

/**
 * @param {(state: State, action: Action) => State} reduce
 * @param {State} initial
 */
export function createStore(reduce, initial) {
  let state = initial;
  /** @type {(() => void)[]} */
  const watchers = [];
  return {
    get state() {
      return state;
    },
    /** @param {Action} action */
    dispatch(action) {
      const next = reduce(state, action);
      if (next === state) return;
      state = next;
      for (const watcher of watchers) watcher();
    },
    /** @param {() => void} watcher */
    watch(watcher) {
      watchers.push(watcher);
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
