/**
 * What an alert says, in words that several parts of the page use.
 *
 * @typedef {import('../protocol.js').Alert} Alert
 */

import { count, delta, plural, timeOfDay, wall } from '../format.js';
import { lastOf } from '../store/alerts.js';
import { whoNode } from './actor.js';
import { h } from './dom.js';
import { breakable } from './words.js';

/** @param {Alert} alert */
export function subjectOf({ schema, table }) {
  if (!table) return null;
  return schema && schema !== 'public' ? `${schema}.${table}` : table;
}

/** `User 22 → 0`, or what the alert says where it is of no count. @param {Alert} alert */
export function shortText(alert) {
  const subject = subjectOf(alert);
  const { from, to } = alert;
  if (subject && from != null && to != null) return `${subject} ${count(from)} → ${count(to)}`;
  return alert.text ?? [alert.rule.replaceAll('_', ' '), subject].filter(Boolean).join(': ');
}

/** The same as elements. @param {Alert} alert */
export function shortNodes(alert) {
  const subject = subjectOf(alert);
  const { from, to } = alert;
  if (subject === null || from == null || to == null) return [h('span', 'alert-text', ...breakable(shortText(alert)))];
  return [h('b', 'alert-subject', ...breakable(subject)), ' ', h('span', 'from-to', `${count(from)} → ${count(to)}`), to === from ? null : h('span', 'by', delta(to - from))];
}

/** What happened, when, and by whom, as parts of one line. @param {Alert} alert @returns {(Node|string)[]} */
export function evidence(alert) {
  const { deleted, from, to, tx, other_transactions: others = 0, actor, times = 1 } = alert;
  // A truncate may have taken the most of them.
  const explained = from == null || to == null || from - to <= (deleted ?? 0);
  // Where the sentence of the alert is shown, it says that already.
  const brief = shortText(alert) !== alert.text;
  const parts = [
    brief && deleted && explained ? `${plural(deleted, 'row')} deleted in 1 tx` : null,
    brief && others > 0 ? `in ${count(others + 1)} tx, ${deleted ? `the greatest of ${plural(deleted, 'row')}` : 'one a truncate'}` : null,
    h('time', { datetime: lastOf(alert) }, tx ? timeOfDay(tx.time).slice(0, 8) : wall(new Date(lastOf(alert)))),
    times > 1 ? `${count(times)} times` : null,
    brief && whoNode(actor),
  ];
  return /** @type {(Node|string)[]} */ (parts.filter(Boolean));
}
