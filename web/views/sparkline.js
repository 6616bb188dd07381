/**
 * The last minute of one count as a small step line. Redrawn at most twice a second.
 *
 * @typedef {import('../store/state.js').Sample} Sample
 */

import { WINDOW_MS } from '../store/tables.js';
import { set } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 56;
const HEIGHT = 14;
const REDRAW_MS = 500;

export class Sparkline {
  #drawnAt = -Infinity;

  constructor() {
    this.element = document.createElementNS(SVG, 'svg');
    set(this.element, { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true' });
    this.path = document.createElementNS(SVG, 'path');
    this.element.append(this.path);
  }

  /** @param {Sample[]|undefined} samples @param {number} now */
  draw(samples, now) {
    if (now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    set(this.path, { d: samples && samples.length > 1 ? line(samples, now) : '' });
  }
}

/** @param {Sample[]} samples @param {number} now */
function line(samples, now) {
  const from = now - WINDOW_MS;
  const first = Math.max(0, samples.findLastIndex((s) => s.at <= from));
  const seen = samples.slice(first);
  const counts = seen.map((s) => s.count);
  const low = Math.min(...counts);
  const high = Math.max(...counts);
  if (low === high) return '';
  const x = (/** @type {number} */ at) => (Math.max(0, (at - from) / WINDOW_MS) * WIDTH).toFixed(1);
  const y = (/** @type {number} */ n) => (1 + (1 - (n - low) / (high - low)) * (HEIGHT - 2)).toFixed(1);
  const steps = seen.map((s, i) => (i === 0 ? `M${x(s.at)} ${y(s.count)}` : `H${x(s.at)}V${y(s.count)}`));
  return `${steps.join('')}H${WIDTH}`;
}
