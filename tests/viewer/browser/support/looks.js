/** Pictures of the page, each looked at by axe and by whether everything has its room. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = path.join(import.meta.dirname, '../../screenshots');

/** A phone and a wide screen, each in light and in dark. */
export const SIZES = [[360, 740], [1440, 900]].flatMap(([width, height]) =>
  /** @type {const} */ (['light', 'dark']).map((colorScheme) => ({ width, height, colorScheme, touch: width < 760 })),
);

/** @param {import('./viewer.js').Viewer} viewer */
async function hasNoBarriers(viewer) {
  const violations = await viewer.page.evaluate(`${AXE};
    Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity && a.effect.target.id !== 'veil').map((a) => a.finished.catch(() => {})))
      .then(() => axe.run()).then(({ violations }) => violations.map(({ id, impact, nodes }) => ({ id, impact, on: nodes.map((node) => node.html.slice(0, 160)) })))`);
  assert.deepEqual(/** @type {{impact: string}[]} */ (violations).filter(({ impact }) => impact !== 'minor'), []);
}

/** @param {import('./viewer.js').Viewer} viewer @param {{width: number, colorScheme: string}} size */
export function looker(viewer, { width, colorScheme }) {
  mkdirSync(PICTURES, { recursive: true });
  return async (/** @type {string} */ name) => {
    await viewer.fits();
    await hasNoBarriers(viewer);
    await viewer.page.screenshot({ path: path.join(PICTURES, `${name}-${width}-${colorScheme}.png`) });
  };
}

/** What a finger presses and would miss. @param {import('./viewer.js').Viewer} viewer */
export function tooSmall(viewer) {
  return viewer.page.evaluate(() =>
    [...document.querySelectorAll('button, summary')]
      .filter((button) => button.checkVisibility({ visibilityProperty: true }))
      .map((button) => ({ button: button.id || button.className || button.textContent, height: Math.round(button.getBoundingClientRect().height) }))
      .filter(({ height }) => height < 43),
  );
}
