/**
 * How the page's modules change the document. Data is only ever written as text or attributes, so a name cannot become markup. Only
 * differences are written, so a report costs no layout where nothing changed.
 */

/** @typedef {Record<string, any>} Parts The elements of a piece of the page by their data-part. */

/**
 * @param {ParentNode & Element} root
 * @returns {Parts}
 */
export function partsOf(root) {
  return Object.fromEntries(
    [...root.querySelectorAll('[data-part]')].map(element => [element.getAttribute('data-part'), element]),
  );
}

/**
 * @param {string} id of a template in index.html
 * @returns {HTMLElement}
 */
export function cloneOf(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (document.importNode(template.content, true).firstElementChild);
}

/**
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value null removes it
 */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * A custom property: CSP forbids style attributes in markup, but not this.
 * @param {HTMLElement} element
 * @param {string} name
 * @param {number | string} value
 */
export function setProperty(element, name, value) {
  if (element.style.getPropertyValue(name) !== String(value)) element.style.setProperty(name, String(value));
}

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} [className]
 */
export function textElement(tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

/**
 * Makes an element's children match a list, in its order. An element whose key stays is kept, with its focus.
 * @template T
 * @param {Element} parent whose children all come from here, but those without a data-key, which stand before them
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf unique among the items
 * @param {(item: T) => Element} create
 * @param {(element: Element, item: T) => void} update is called for new ones too
 */
export function patchChildren(parent, items, keyOf, create, update) {
  // Removing first avoids moving the elements that stay: a moved element loses its focus.
  const keys = new Set(items.map(keyOf));
  const present = [...parent.children].filter(child => child.hasAttribute('data-key'));
  const before = new Map(present.map(child => [child.getAttribute('data-key'), child]));
  for (const [key, child] of before) {
    if (!keys.has(key ?? '')) child.remove();
  }
  let next = present.find(child => child.parentElement === parent) ?? null;
  for (const item of items) {
    const key = keyOf(item);
    let element = before.get(key);
    if (!element) {
      element = create(item);
      element.setAttribute('data-key', key);
    }
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
    update(element, item);
  }
}

/**
 * @param {Element} list
 * @param {readonly string[]} sentences
 */
export function setList(list, sentences) {
  patchChildren(
    list,
    sentences.map((text, index) => ({ text, index })),
    item => String(item.index),
    () => document.createElement('li'),
    (element, item) => setText(element, item.text),
  );
}
