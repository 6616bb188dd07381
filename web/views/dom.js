/**
 * Making and changing elements. Text goes in as text only: nothing on this page is ever parsed as markup.
 *
 * @typedef {string|Node|null|undefined|false} Child
 * @typedef {Record<string, string|number|boolean|null|undefined>} Attributes
 */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes|string} [attributes]  or only the class
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, typeof attributes === 'string' ? { class: attributes } : attributes);
  element.append(...present(children));
  return element;
}

/** A shape drawn in `index.html`. @param {string} name @param {string} [className] */
export function shape(name, className = 'shape') {
  const svg = document.createElementNS(SVG, 'svg');
  set(svg, { class: className, viewBox: '0 0 16 16', 'aria-hidden': 'true' });
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#${name}`);
  svg.append(use);
  return svg;
}

/** Sets, or with null or false removes, attributes; touches only what differs. @param {Element} element @param {Attributes} attributes */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else {
      const wanted = value === true ? '' : String(value);
      if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
    }
  }
}

/** @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes `children` the children of `parent`, leaving those in place that are there already. @param {Element} parent @param {Node[]} children */
export function setChildren(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let next = parent.firstChild;
  for (const child of children) {
    if (child === next) next = next.nextSibling;
    else parent.insertBefore(child, next);
  }
}

/** The element of `index.html` with this id. @param {string} id @returns {HTMLElement} */
export function part(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element;
}

/** @param {Child[]} children */
function present(children) {
  return /** @type {(string|Node)[]} */ (children.filter((child) => child !== null && child !== undefined && child !== false));
}
