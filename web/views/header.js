/**
 * The line at the top: which database, how far what is below can be trusted, and since when; and the bar that says what is wrong.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 */

import { age, bytes } from '../format.js';
import { firing, pressing } from '../store/alerts.js';
import { shortText } from './alert.js';
import { h, part, set, setChildren, setText, shape } from './dom.js';

/** @param {() => void} retry */
export function createHeader(retry) {
  const shapes = new Map();
  part('retry').addEventListener('click', retry);
  const badge = h('span', { class: 'badge', 'aria-hidden': 'true' });
  part('alerts-button').append(shape('bell'), badge);

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ connection, alerts, tab }, freshness) {
    const { database } = connection;
    setText(part('database'), database ? `${database.name}@${database.host}:${database.port}` : 'pgvigil');
    const identity = database && `PostgreSQL ${database.server_version} · system …${database.system_identifier.slice(-4)}`;
    setText(part('identity'), identity ?? 'looking for its database');

    set(document.documentElement, { 'data-state': freshness.state, 'data-numbers': freshness.numbers });
    if (!shapes.has(freshness.state)) shapes.set(freshness.state, shape(`state-${freshness.state}`));
    setChildren(part('state-shape'), [shapes.get(freshness.state)]);
    setText(part('state-word'), freshness.state.replace('_', ' '));
    setText(part('state-age'), ageText(freshness));

    const trouble = troubleText(freshness);
    set(part('trouble'), { hidden: trouble === '' });
    setText(part('trouble-text'), trouble);
    set(part('retry'), { hidden: !freshness.retryIn });
    const active = freshness.numbers === 'blocked' ? 0 : firing(alerts).length;
    set(part('alerts-button'), { 'aria-pressed': String(tab === 'alerts'), 'aria-label': active ? `Alerts, ${active} active` : 'Alerts' });
    set(badge, { hidden: active === 0 });
    setText(badge, String(active));
    setText(part('tab-alerts-text'), active ? `Alerts · ${active}` : 'Alerts');
    drawTab(database?.name ?? null, freshness, freshness.numbers === 'blocked' ? [] : pressing(alerts));
  };
}

/** How far behind, by time where time is the reason, else by the log that is still to be read. @param {Freshness} freshness */
export function behind({ age: ms, lagBytes }) {
  return ms !== null && ms >= 5000 ? `behind ${age(ms)}` : `behind ${bytes(lagBytes)}`;
}

/** @param {Freshness} freshness */
function ageText(freshness) {
  if (freshness.state === 'lagging') return behind(freshness);
  if (freshness.age === null || freshness.numbers === 'blocked' || freshness.numbers === 'none') return '';
  return freshness.state === 'live' ? `verified ${age(freshness.age)} ago` : `last verified ${age(freshness.age)} ago`;
}

/** @param {Freshness} freshness */
function troubleText({ state, reason, retryIn }) {
  if (state === 'live' || state === 'wrong_database') return '';
  const sentences = [reason];
  if (retryIn !== null) sentences.push(retryIn > 0 ? `Trying again in ${Math.ceil(retryIn / 1000)} s.` : 'Trying again now.');
  return sentences.filter(Boolean).join(' ');
}

/**
 * The tab tells the state too, and the worst alert, for a page that is not in front.
 *
 * @param {string|null} name
 * @param {Freshness} freshness
 * @param {import('../protocol.js').Alert[]} alerts
 */
function drawTab(name, { state, numbers }, [worst, ...others]) {
  const alert = worst && `▲ ${shortText(worst)}${others.length ? ` +${others.length}` : ''}`;
  const title = [state === 'live' ? null : state.replace('_', ' '), alert, name, 'pgvigil'].filter(Boolean).join(' · ');
  const mark = numbers === 'plain' ? '' : state === 'lagging' ? '▲ ' : '✕ ';
  setText(document.head.querySelector('title') ?? document.head, mark + title);
  set(part('icon'), { href: numbers === 'plain' || numbers === 'behind' ? 'favicon.svg' : 'favicon-lost.svg' });
}
