/** A short glow where something changed; none for who asked for less motion. */

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const DURATION_MS = 1200;

/** @param {HTMLElement} element @param {'up'|'down'} direction */
export function flash(element, direction) {
  if (calm.matches) return;
  for (const running of element.getAnimations()) running.cancel();
  const colour = getComputedStyle(element).getPropertyValue(`--flash-${direction}`);
  element.animate([{ backgroundColor: colour }, { backgroundColor: 'transparent' }], { duration: DURATION_MS, easing: 'ease-out' });
}
