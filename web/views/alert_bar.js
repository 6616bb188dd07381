/**
 * The line below the header for what needs a person now: the worst alert that nobody here has acknowledged, and how many more there are.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../protocol.js').Alert} Alert
 */

import { count } from '../format.js';
import { pressing } from '../store/alerts.js';
import { evidence, shortNodes } from './alert.js';
import { h, part, set, setText, shape } from './dom.js';

/**
 * @param {{investigate: (tx: string) => void, acknowledge: (id: string) => void, all: () => void}} on
 */
export function createAlertBar(on) {
  /** @type {Alert|null} */
  let drawn = null;
  part('alert-more').addEventListener('click', on.all);
  part('alert-investigate').addEventListener('click', () => drawn?.tx && on.investigate(drawn.tx.id));
  part('alert-acknowledge').addEventListener('click', () => drawn && on.acknowledge(drawn.id));

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ alerts, connection }, { numbers }) {
    const [worst = null, ...others] = numbers === 'blocked' ? [] : pressing(alerts);
    // What was said before the page lost pgvigil may be over by now.
    const current = connection.status !== null;
    set(part('alert-bar'), { hidden: worst === null, 'data-severity': worst?.severity, 'data-current': current });
    set(part('alert-more'), { hidden: others.length === 0 });
    setText(part('alert-more'), `+${count(others.length)} more`);
    set(part('alert-old'), { hidden: current });
    if (worst === drawn) return;
    drawn = worst;
    set(part('alert-investigate'), { hidden: !worst?.tx });
    part('alert-line').replaceChildren(...(worst ? lineNodes(worst) : []));
  };
}

/** @param {Alert} alert */
function lineNodes(alert) {
  const facts = evidence(alert).map((fact) => h('span', 'fact', fact));
  return [shape(`severity-${alert.severity}`), h('span', 'unseen', `${alert.severity}: `), h('span', 'alert-short', ...shortNodes(alert)), ...facts];
}
