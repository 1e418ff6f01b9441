// The conversation, frame by frame: bounded, and drawn in one go however much arrives at once.

import { el, unseen } from './dom.js';
import { bytes, clock } from './format.js';

const FRAMES_MAX = 300;
const TEXT_CHARS_MAX = 2_000;
// Of binary messages, to be saved.
const KEPT_BYTES_MAX = 32 << 20;
const HEX_BYTES_MAX = 16;

const WAYS = { sent: ['↑', 'sent'], received: ['↓', 'received'], note: ['·', 'note'], failed: ['!', 'problem'] };

function cut(text) {
  return text.length > TEXT_CHARS_MAX ? `${text.slice(0, TEXT_CHARS_MAX)} …` : text;
}

function hex(data) {
  const first = new Uint8Array(data, 0, Math.min(HEX_BYTES_MAX, data.byteLength));
  const digits = Array.from(first, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return data.byteLength > HEX_BYTES_MAX ? `${digits} …` : digits;
}

export class Log {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.waiting = [];
    this.timer = 0;
    // Binary messages that can be saved, oldest first.
    this.kept = [];
    this.keptBytes = 0;
  }

  clear() {
    this.waiting = [];
    this.kept = [];
    this.keptBytes = 0;
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  // way: 'sent', 'received', 'note', 'failed'. words: what a frame says, in a sentence, as nodes; isAside: of little interest.
  add(way, { text, data, size, words, isAside, name }) {
    this.waiting.push({ way, at: new Date(), text, data, size, words, isAside, name });
    if (this.waiting.length > FRAMES_MAX) this.waiting.shift();
    // Not requestAnimationFrame: a tab in the background listens too.
    this.timer ||= setTimeout(() => this.#draw(), 16);
  }

  note(text, way = 'note') {
    this.add(way, { words: [text] });
  }

  #draw() {
    this.timer = 0;
    const { list } = this;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const rows = this.waiting.map((frame) => this.#row(frame));
    this.waiting = [];
    list.append(...rows);
    while (list.childElementCount > FRAMES_MAX) list.firstElementChild.remove();
    this.empty.hidden = list.childElementCount > 0;
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  #row({ way, at, text, data, size, words, isAside, name }) {
    const [sign, said] = WAYS[way];
    const what = el('div', { class: 'what' });
    if (words) what.append(el('span', { class: 'words' }, ...words.map((part) => (typeof part === 'string' ? cut(part) : part))));
    if (text !== undefined) what.append(el('code', { class: 'as-is' }, text === '' ? '(empty)' : cut(text)));
    if (data) {
      what.append(el('span', {}, name ? `File ${name}` : 'Binary '));
      if (way === 'received') what.append(this.#saving(data));
      what.append(el('code', { class: 'as-is' }, hex(data)));
    }
    return el(
      'div',
      { class: `frame ${way}${isAside ? ' aside' : ''}` },
      el('time', { datetime: at.toISOString() }, clock(at, true)),
      el('span', { class: 'way' }, el('span', { 'aria-hidden': 'true' }, sign), unseen(said)),
      what,
      el('span', { class: 'size' }, size === undefined ? '' : bytes(size)),
    );
  }

  // A button for what came, as long as it is kept.
  #saving(data) {
    const button = el('button', { class: 'button slim plain', type: 'button', click: () => save(data) }, 'Save');
    this.kept.push({ button, size: data.byteLength });
    this.keptBytes += data.byteLength;
    while (this.keptBytes > KEPT_BYTES_MAX) {
      const { button, size } = this.kept.shift();
      this.keptBytes -= size;
      button.remove();
    }
    return button;
  }
}

function save(data) {
  const url = URL.createObjectURL(new Blob([data]));
  el('a', { href: url, download: 'message.bin' }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
