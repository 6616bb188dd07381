/**
 * All alerts: those that hold, those that are over, and whether the rules can see and the webhooks be reached at all.
 *
 * @typedef {import('../store/state.js').State} State
 * @typedef {import('../store/state.js').Webhook} Webhook
 * @typedef {import('../store/freshness.js').Freshness} Freshness
 * @typedef {import('../protocol.js').Alert} Alert
 */

import { count, moment, plural } from '../format.js';
import { firing, isAcknowledged, lastOf, resolved } from '../store/alerts.js';
import { whoNode } from './actor.js';
import { shortNodes, shortText } from './alert.js';
import { h, part, set, setChildren, setText, shape } from './dom.js';
import { breakable } from './words.js';

/**
 * @param {{investigate: (tx: string) => void, acknowledge: (id: string) => void, close: () => void}} on
 */
export function createAlerts(on) {
  /** @type {Map<string, {element: HTMLElement, alert: Alert, acknowledged: boolean}>} */
  const drawn = new Map();
  /** @type {State['alerts']|null} */
  let last = null;
  part('alerts-close').addEventListener('click', on.close);

  /** @param {State} state @param {Freshness} freshness */
  return function draw({ alerts, connection }, freshness) {
    drawCaution(alerts, connection, freshness);
    if (alerts === last) return;
    last = alerts;
    const active = firing(alerts);
    const over = resolved(alerts);
    const ids = new Set(alerts.byId.keys());
    for (const id of drawn.keys()) if (!ids.has(id)) drawn.delete(id);
    setChildren(part('alerts-active'), active.map(node));
    setChildren(part('alerts-recent'), over.map(node));
    setText(part('alerts-extent'), active.length ? `${count(active.length)} active` : '');
    const none = alerts.loaded ? alerts.rules === 1 ? 'No alert. 1 rule watches.' : `No alert. ${count(alerts.rules)} rules watch.` : '';
    set(part('alerts-none'), { hidden: active.length > 0 });
    setText(part('alerts-none'), alerts.fault ?? none);
    set(part('alerts-recent-title'), { hidden: over.length === 0 });
    set(part('webhooks-title'), { hidden: alerts.webhooks.length === 0 });
    part('webhooks').replaceChildren(...alerts.webhooks.map(webhookNode));

    /** @param {Alert} alert */
    function node(alert) {
      const acknowledged = isAcknowledged(alerts, alert);
      const known = drawn.get(alert.id);
      if (known?.alert === alert && known.acknowledged === acknowledged) return known.element;
      const element = alertNode(alert, acknowledged, on);
      if (known?.element.contains(document.activeElement)) requestAnimationFrame(() => element.querySelector('button')?.focus());
      drawn.set(alert.id, { element, alert, acknowledged });
      return element;
    }
  };
}

/**
 * What keeps the rules from seeing, or this page from knowing.
 *
 * @param {State['alerts']} alerts
 * @param {State['connection']} connection
 * @param {Freshness} freshness
 */
function drawCaution({ evaluating }, { status }, { numbers }) {
  const known = numbers === 'plain' || numbers === 'behind';
  const blind = !known || evaluating === false ? 'Cannot evaluate: rules about counts are blind until the counts are known again.' : '';
  const text = status ? blind : 'This page has lost pgvigil: the alerts are those that it last heard of.';
  set(part('alerts-caution'), { hidden: text === '' });
  setText(part('alerts-caution'), text);
}

/** @param {Alert} alert @param {boolean} acknowledged @param {Parameters<typeof createAlerts>[0]} on */
function alertNode(alert, acknowledged, on) {
  const { state, severity, text, tx, cannot_evaluate: blind = [] } = alert;
  const firing = state === 'firing';
  const investigate = tx && h('button', { class: 'action', type: 'button', 'aria-label': `Investigate ${shortText(alert)}` }, 'Investigate');
  if (investigate) investigate.addEventListener('click', () => on.investigate(tx.id));
  const acknowledge = firing && !acknowledged && h('button', { class: 'action', type: 'button', 'aria-label': `Acknowledge ${shortText(alert)}` }, 'Acknowledge');
  if (acknowledge) acknowledge.addEventListener('click', () => on.acknowledge(alert.id));
  const head = h('h3', 'alert-head', shape(firing ? `severity-${severity}` : 'done'), h('span', 'severity', firing ? severity : 'resolved'), h('span', 'alert-short', ...shortNodes(alert)));
  const said = text && text !== shortText(alert) && h('p', 'alert-said', ...breakable(sentence(text)));
  const blindness = blind.length > 0 && h('p', 'alert-blind', `Cannot evaluate ${blind.join(', ')}.`);
  const actions = (investigate || acknowledge || acknowledged) && h('p', 'actions', investigate, acknowledge, acknowledged && firing && h('span', 'note', 'acknowledged on this page'));
  return h('li', { class: 'alert', 'data-severity': severity, 'data-state': state }, head, said, blindness, h('p', 'facts', ...factNodes(alert)), actions);
}

/** @param {Alert} alert */
function factNodes(alert) {
  const { rule, kind, since, resolved_at: end, times = 1, actor, undo } = alert;
  const facts = [
    `rule ${rule}${kind && kind !== rule ? ` (${kind})` : ''}`,
    `since ${moment(since)}`,
    times > 1 && `${count(times)} times, last ${moment(lastOf(alert))}`,
    end && `resolved ${moment(end)}`,
    whoNode(actor),
    undo && undoText(undo),
  ];
  return facts.filter((fact) => fact).map((fact) => h('span', 'fact', fact));
}

/** @param {NonNullable<Alert['undo']>} undo */
function undoText({ restores, reason }) {
  if (restores) return 'can be undone';
  const why = reason ? `: ${reason}` : '';
  return restores === false ? `cannot all be undone${why}` : `what can be undone is not known${why}`;
}

/** @param {Webhook} webhook */
function webhookNode({ name, host, delivered, failed, dropped = 0, waiting = 0, failing, last_failure: failure }) {
  const counts = [`${count(delivered)} delivered`, failed && `${count(failed)} given up`, dropped && `${count(dropped)} dropped`, waiting && `${count(waiting)} waiting`];
  const last = failure && h('p', failing ? 'webhook-failure' : 'note', `Last failure ${moment(failure.time)}: ${failure.error}${failure.given_up ? `; given up after ${plural(failure.tries, 'try', 'tries')}` : ''}`);
  const head = h('h3', 'alert-head', shape(failing ? 'severity-warning' : 'done'), h('span', 'severity', failing ? 'failing' : 'working'), h('b', {}, name), host !== name && h('span', 'note', host));
  return h('li', { class: 'alert', 'data-severity': failing ? 'warning' : null, 'data-state': failing ? 'firing' : 'resolved' }, head, h('p', 'facts', counts.filter(Boolean).join(' · ')), last);
}

/** @param {string} text */
function sentence(text) {
  // It may begin with the name of a table, so its case is left alone.
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
