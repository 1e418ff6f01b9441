// The gateway protocol, as this page speaks it: a name, a room, who is in it, and messages.

import { by, el } from './dom.js';
import { CAME, LEFT, SAID } from './demo-words.js';

const PEOPLE_SHOWN_MAX = 40;
const BIRDS = ['heron', 'tern', 'gull', 'plover', 'curlew', 'dunlin', 'avocet', 'eider', 'gannet', 'puffin'];

export function someName() {
  return `${BIRDS[Math.floor(Math.random() * BIRDS.length)]}-${100 + Math.floor(Math.random() * 900)}`;
}

export class People {
  // say(message) sends one; choose(user) is called for a person who was clicked on.
  constructor(say, choose) {
    this.say = say;
    this.choose = choose;
    this.next = 1;
    this.forget();
  }

  // The connection is gone, and whatever it was in with it; the room is gone into again by who comes back.
  forget() {
    this.name = null;
    this.users = [];
    this.isIn = false;
    this.joining = null;
    this.#show();
  }

  #ask(message) {
    const id = this.next;
    this.next += 1;
    this.say({ ...message, id });
    return id;
  }

  register(name) {
    this.#ask(name === '' ? { type: 'register' } : { type: 'register', userId: name });
  }

  join(room) {
    if (this.isIn) this.leave();
    this.room = room;
    this.joining = this.#ask({ type: 'join', room });
  }

  leave() {
    this.#tellRoom(LEFT);
    this.#ask({ type: 'leave', room: this.room });
    this.isIn = false;
    this.users = [];
    this.#show();
  }

  who() {
    this.#ask({ type: 'presence', room: this.room });
  }

  // Nobody needs to know how many heard it.
  #tellRoom(event) {
    this.say({ type: 'publish', room: this.room, event });
  }

  toRoom(text) {
    this.#ask({ type: 'publish', room: this.room, event: SAID, data: { text } });
  }

  toUser(user, text) {
    this.#ask({ type: 'chat', targetUserId: user, text });
  }

  toEveryone(text) {
    this.#ask({ type: 'broadcast', event: SAID, data: { text } });
  }

  ping() {
    this.#ask({ type: 'ping' });
  }

  // A message has come.
  hear(message) {
    if (message.type === 'registered' || message.type === 'authenticated') {
      this.name = message.userId;
      return 'registered';
    }
    if (message.type === 'ack' && message.id === this.joining) {
      this.isIn = true;
      this.joining = null;
      this.#tellRoom(CAME);
      this.who();
    }
    if (!this.isIn || message.room !== this.room) return null;
    if (message.type === 'presence') this.users = message.users;
    const isStranger = message.type === 'message' && message.fromUserId !== undefined && !this.users.includes(message.fromUserId);
    if (isStranger || message.event === LEFT) this.who();
    this.#show();
    return null;
  }

  #show() {
    by('join-button').textContent = this.isIn ? 'Leave' : 'Join';
    by('room-name').readOnly = this.isIn;
    by('who').hidden = !this.isIn;
    by('room-hint').hidden = this.users.length > 1;
    const shown = this.users.slice(0, PEOPLE_SHOWN_MAX).map((user) => this.#person(user));
    const more = this.users.length - shown.length;
    if (more > 0) shown.push(el('li', { class: 'soft small' }, `and ${more} more`));
    by('people').replaceChildren(...shown);
  }

  #person(user) {
    if (user === this.name) return el('li', {}, el('span', {}, `${user} (you)`));
    const button = el('button', { type: 'button', title: `Write to ${user} alone`, click: () => this.choose(user) }, user);
    return el('li', {}, button);
  }
}
