// Elements, made without HTML: whatever comes from elsewhere is only ever a text.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  // Strings become texts.
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// An element; a property that is a function listens to the event of its name.
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

export const by = (id) => document.getElementById(id);

// What only a screen reader says.
export const unseen = (text) => el('span', { class: 'visually-hidden' }, text);

// Sets a text where it is another: a live region that says the same again would be read again.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
