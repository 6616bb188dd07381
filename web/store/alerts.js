/**
 * The alerts that the server fired, and which of them were acknowledged on this page.
 *
 * An acknowledgement is of what was known then: an alert that happens again asks for attention again.
 *
 * @typedef {import('./state.js').Alerts} Alerts
 * @typedef {import('./state.js').Bulletin} Bulletin
 * @typedef {import('../protocol.js').Alert} Alert
 */

/** Resolved alerts kept, newest first. */
export const RESOLVED_KEPT = 100;

const SEVERITIES = ['info', 'warning', 'critical'];

/** @param {Alerts} alerts @param {Alert} alert @param {number} at @returns {Alerts} */
export function hearAlert(alerts, alert, at) {
  return keep(alerts, new Map(alerts.byId).set(alert.id, { alert, at }));
}

/**
 * The server's whole list, as it was asked for at `askedAt`. What was heard since is newer; what is in neither is over.
 *
 * @param {Alerts} alerts
 * @param {Bulletin} bulletin
 * @param {number} askedAt
 * @returns {Alerts}
 */
export function loadAlerts(alerts, bulletin, askedAt) {
  const byId = new Map(bulletin.alerts.map((alert) => [alert.id, { alert: asKnown(alerts, alert), at: askedAt }]));
  for (const [id, known] of alerts.byId) if (known.at >= askedAt) byId.set(id, known);
  const { evaluating, webhooks, rules } = bulletin;
  return keep({ ...alerts, evaluating, webhooks, rules, loaded: true, fault: null }, byId);
}

/** What has not changed stays the same object, so that nothing is drawn anew for it. @param {Alerts} alerts @param {Alert} alert */
function asKnown({ byId }, alert) {
  const known = byId.get(alert.id)?.alert;
  return known && JSON.stringify(known) === JSON.stringify(alert) ? known : alert;
}

/** @param {Alerts} alerts @param {string} id @returns {Alerts} */
export function acknowledge(alerts, id) {
  const known = alerts.byId.get(id);
  if (!known) return alerts;
  return { ...alerts, acknowledged: new Map(alerts.acknowledged).set(id, timesOf(known.alert)) };
}

/** @param {Alerts} alerts @param {Alert} alert */
export function isAcknowledged({ acknowledged }, alert) {
  return (acknowledged.get(alert.id) ?? 0) >= timesOf(alert);
}

/** Those that hold and that nobody here has acknowledged, the worst first. @param {Alerts} alerts @returns {Alert[]} */
export function pressing(alerts) {
  return firing(alerts).filter((alert) => !isAcknowledged(alerts, alert));
}

/** Those that hold: the worst first, of these the newest, of these the cause before what followed from it. @param {Alerts} alerts @returns {Alert[]} */
export function firing({ byId }) {
  const list = [...byId.values()].map(({ alert }) => alert).filter(({ state }) => state === 'firing');
  return list.sort((a, b) => rank(b) - rank(a) || compare(lastOf(b), lastOf(a)) || a.id.length - b.id.length || compare(a.id, b.id));
}

/** Those that are over, the newest first. @param {Alerts} alerts @returns {Alert[]} */
export function resolved({ byId }) {
  const list = [...byId.values()].map(({ alert }) => alert).filter(({ state }) => state === 'resolved');
  return list.sort((a, b) => compare(b.resolved_at ?? '', a.resolved_at ?? ''));
}

/** When it last happened. @param {Alert} alert */
export function lastOf({ last, since }) {
  return last ?? since;
}

/** @param {Alerts} alerts @param {Alerts['byId']} byId @returns {Alerts} */
function keep(alerts, byId) {
  const all = { ...alerts, byId };
  const over = resolved(all).slice(RESOLVED_KEPT);
  const kept = over.length ? new Map(byId) : byId;
  for (const { id } of over) /** @type {Map<string, unknown>} */ (kept).delete(id);
  const acknowledged = new Map([...alerts.acknowledged].filter(([id]) => !alerts.loaded || kept.has(id)));
  return { ...all, byId: kept, acknowledged };
}

/** @param {Alert} alert */
function timesOf({ times }) {
  return times ?? 1;
}

/** @param {Alert} alert */
function rank({ severity }) {
  return SEVERITIES.indexOf(severity);
}

/** @param {string} a @param {string} b */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
