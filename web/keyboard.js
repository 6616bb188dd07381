/**
 * The keys of the page. A key that means something to what has the focus is left to it.
 *
 * @typedef {{toggle: () => void, move: (by: 1|-1) => void, open: () => void, back: () => void, help: () => void}} Commands
 */

/** @param {Commands} commands */
export function listenToKeys(commands) {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest('dialog, input, textarea, select')) return;
    const pressable = target?.closest('button, summary, a') !== null && target !== null;
    const command = commandFor(event.key, pressable, commands);
    if (!command) return;
    event.preventDefault();
    command();
  });
}

/** @param {string} key @param {boolean} pressable  the focus is on something that Space and Enter press @param {Commands} commands */
function commandFor(key, pressable, commands) {
  switch (key) {
    case ' ':
      return pressable ? null : commands.toggle;
    case 'Enter':
      return pressable ? null : commands.open;
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
