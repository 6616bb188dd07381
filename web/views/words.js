/**
 * Long words, as names of tables often are, where there is not enough room for them: they break between the words that they are made of.
 */

import { h } from './dom.js';

/** Shorter words stay whole. */
const LONG = 16;
/** After `_`, `.` or `-`, and between `camel` and `Case`. */
const SEAM = /(?<=[_.-])(?=[^_.-])|(?<=[\p{Ll}\d])(?=\p{Lu})/u;

/** @param {string} text @returns {(Node|string)[]} */
export function breakable(text) {
  return text.split(/(?<=\s)/).flatMap((word) => (word.length < LONG ? [word] : word.split(SEAM).flatMap((piece, i) => (i ? [h('wbr'), piece] : [piece]))));
}

/** Makes it the text of an element, if it is not. @param {Element} element @param {string} text */
export function setName(element, text) {
  if (element.textContent !== text) element.replaceChildren(...breakable(text));
}
