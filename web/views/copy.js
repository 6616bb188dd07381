/**
 * A button that copies a text and says that it did.
 *
 * Browsers give the clipboard to pages of a secure origin only; a page that comes over plain HTTP from another machine copies by a
 * selection, as a person would.
 */

import { Problem } from '../api.js';
import { h, setText } from './dom.js';

const SAID_MS = 2000;

/**
 * @param {string} label
 * @param {() => string|Promise<string>} text
 * @param {string} [className]
 */
export function copyButton(label, text, className = 'action') {
  const said = h('span', { 'aria-live': 'polite' }, label);
  const button = h('button', { class: className, type: 'button' }, said);
  button.addEventListener('click', async () => {
    try {
      await copy(await text());
      setText(said, 'Copied');
    } catch (error) {
      setText(said, error instanceof Problem && error.code === 'too-long' ? 'Too large' : 'Not copied');
    }
    setTimeout(() => setText(said, label), SAID_MS);
  });
  return button;
}

/** @param {string} text */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = h('textarea', 'unseen');
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('the browser does not copy');
}
