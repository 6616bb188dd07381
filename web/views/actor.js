/**
 * Who did it, as far as it was told. What an application says of itself is only its own word, and looks like that.
 *
 * @typedef {import('../protocol.js').Actor} Actor
 */

import { value as textOf } from '../format.js';
import { h } from './dom.js';

/** Members of an annotation that stand on one line. */
const SAID_SHOWN = 2;

/** `alice (psql)`, `alice as app (psql)`, or null where only the application spoke. @param {Actor} actor */
export function nameOf({ session_user: login, current_user: role, application_name: application }) {
  const user = login && role && role !== login ? `${login} as ${role}` : login || role;
  if (user && application) return `${user} (${application})`;
  return user || application || null;
}

/** All that is known, on one line. @param {Actor} actor */
function everything({ session_user: login, current_user: role, application_name: application, client_addr: address, pid, source }) {
  const facts = [['logged in as', login], ['role', role], ['application', application], ['from', address], ['server process', pid]];
  const told = { trigger: 'told by pgvigil’s triggers', annotation: 'the application’s own word', activity: 'seen among the server’s sessions' }[source];
  return [...facts.filter(([, value]) => value).map((fact) => fact.join(' ')), told].join(' · ');
}

/** What the application says of itself, such as `user=paul`. @param {Actor} actor @param {number} most */
function sayings({ annotation }, most) {
  return Object.entries(annotation ?? {})
    .slice(0, most)
    .map(([name, value]) => `${name}=${textOf(/** @type {import('../protocol.js').Value} */ (value))}`);
}

/** For a card or an alert: a name, or nothing. @param {Actor|null|undefined} actor */
export function whoNode(actor) {
  if (!actor) return null;
  const name = nameOf(actor);
  const said = sayings(actor, SAID_SHOWN).join(' ');
  if (!name && !said) return null;
  return h('span', { class: 'who', title: everything(actor) }, name && h('b', {}, name), name && said && ' ', said && h('span', 'says', `says ${said}`));
}

/** Every fact, for the page of the transaction. @param {Actor} actor */
export function factNodes(actor) {
  const { session_user: login, current_user: role, application_name: application, client_addr: address, pid, source } = actor;
  /** @type {[string, string|number|null, string?][]} */
  const facts =
    source === 'trigger'
      ? [
          ['Logged in as', login],
          ['Role', role === login ? null : role],
          ['Application', application],
          ['From', address ?? 'a Unix socket of the server’s machine'],
          ['Server process', pid],
        ]
      : [];
  for (const said of sayings(actor, Infinity)) facts.push(['The application says', said, 'says']);
  return facts.filter(([, value]) => value).flatMap(([term, value, className]) => [h('dt', {}, term), h('dd', className ?? '', String(value))]);
}
