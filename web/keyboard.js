/**
 * The keys of the page. A key that means something to what has the focus is left to it.
 *
 * `g` begins a way of two keys, such as `g d`; it is forgotten when the second does not follow soon.
 *
 * Where something is read that is not the feed, the keys that move in the feed are the browser's.
 *
 * @typedef {{reading: () => boolean, toggle: () => void, move: (by: 1|-1) => void, open: () => void, investigate: () => void, go: (where: 'd'|'a'|'t'|'f') => void,
 *   back: () => void, help: () => void}} Commands
 */

const SECOND_KEY_MS = 1500;

/** @param {Commands} commands */
export function listenToKeys(commands) {
  let goingAt = -Infinity;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest('dialog, input, textarea, select')) return;
    const going = event.timeStamp - goingAt < SECOND_KEY_MS;
    goingAt = event.key === 'g' && !going ? event.timeStamp : -Infinity;
    const pressable = target?.closest('button, summary, a') !== null && target !== null;
    if (!going && commands.reading() && [' ', 'Enter', 'j', 'k', 'i'].includes(event.key)) return;
    const command = going ? wayFor(event.key, commands) : commandFor(event.key, pressable, commands);
    if (!command) return;
    event.preventDefault();
    command();
  });
}

/** @param {string} key @param {Commands} commands */
function wayFor(key, { go }) {
  return key === 'd' || key === 'a' || key === 't' || key === 'f' ? () => go(key) : null;
}

/** @param {string} key @param {boolean} pressable  the focus is on something that Space and Enter press @param {Commands} commands */
function commandFor(key, pressable, commands) {
  switch (key) {
    case ' ':
      return pressable ? null : commands.toggle;
    case 'Enter':
      return pressable ? null : commands.open;
    case 'i':
      return commands.investigate;
    case 'j':
      return () => commands.move(1);
    case 'k':
      return () => commands.move(-1);
    case 'Escape':
      return commands.back;
    case '?':
      return commands.help;
    default:
      return null;
  }
}
