// What a person may do here: find a user, send, disconnect.

import { by, el, say, unseen } from './dom.js';
import { count, plural } from './format.js';
import { table } from './dashboard-tables.js';

// Asks before something that cannot be taken back; whether it is to be done.
function sure(title, text, yes) {
  const dialog = by('ask');
  by('ask-title').textContent = title;
  by('ask-text').textContent = text;
  by('ask-yes').textContent = yes;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

// What other nodes did not say.
function missing({ unanswered, unsent }) {
  if (unsent) return ' Other nodes were not reached.';
  return unanswered ? ` ${plural(unanswered, 'node')} did not answer.` : '';
}

// JSON where it is some, else the text as it is.
function dataOf(text) {
  if (text.trim() === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export class Actions {
  // api() gives the way to the HTTP API.
  constructor(api) {
    this.api = api;
    by('find').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.find(by('user').value);
    });
    by('send').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
    by('to').addEventListener('change', () => this.#onTo());
  }

  // Nothing of one session stays for the next.
  forget() {
    by('found').replaceChildren();
    by('user').value = '';
    this.#tell('', '');
  }

  // The form to send is made ready for a room or a user.
  write(to, whom) {
    by('to').value = to;
    by('whom').value = whom;
    this.#onTo();
    by('data').focus();
  }

  #onTo() {
    const to = by('to').value;
    by('whom-field').hidden = to === 'everyone';
    by('whom-label').textContent = to === 'room' ? 'Room' : 'User';
  }

  #tell(text, tone) {
    by('sent').className = `notice small ${tone}`;
    say(by('sent'), text);
  }

  async #send() {
    const [to, whom, event] = [by('to').value, by('whom').value, by('event').value];
    const data = dataOf(by('data').value);
    const calls = {
      user: ['/api/message', { userId: whom, event, data }],
      room: ['/api/publish', { room: whom, event, data }],
      everyone: ['/api/broadcast', { event, data }],
    };
    if (to === 'everyone' && !(await sure('Send to everyone?', `The event “${event}” goes to every connection of the gateway protocol.`, 'Send to everyone'))) return;
    const button = by('send-button');
    button.disabled = true;
    try {
      const answer = await this.api().post(...calls[to]);
      const none = answer.delivered === 0 ? 'Nobody was there to get it.' : `Handed to ${plural(answer.delivered, 'connection')}.`;
      this.#tell(none + missing(answer), answer.delivered === 0 ? '' : 'good');
    } catch (error) {
      this.#tell(error.message, 'bad');
    } finally {
      button.disabled = false;
    }
  }

  async find(user) {
    by('user').value = user;
    if (user === '') return;
    const place = by('found');
    try {
      this.#show(await this.api().get(`/api/users/${encodeURIComponent(user)}`));
    } catch (error) {
      place.replaceChildren(el('p', { class: 'notice bad small found' }, error.message));
    }
  }

  #show(found) {
    const { userId, connections, online } = found;
    const list = el('div', { class: 'scroll' });
    const disconnect = (connectionId) => {
      const ask = [`Disconnect ${connectionId}?`, `This connection of ${userId} is closed. The client may come back.`, 'Disconnect'];
      return el('button', { class: 'button slim danger', type: 'button', click: () => this.#disconnect(userId, { connectionId }, ask) }, 'Disconnect', unseen(` ${connectionId}`));
    };
    table(
      list,
      'Connections of the user',
      [['Connection'], ['Address'], ['Rooms'], ['']],
      connections.map(({ connectionId, address, rooms }) => [
        el('th', { scope: 'row', class: 'mono' }, connectionId),
        el('td', { class: 'mono' }, address),
        el('td', {}, rooms.length > 0 ? rooms.join(', ') : '–'),
        el('td', { class: 'number' }, disconnect(connectionId)),
      ]),
      'No connection of this name is open.',
    );
    const ask = [`Disconnect ${userId}?`, `${plural(connections.length, 'connection')} of this user ${connections.length === 1 ? 'is' : 'are'} closed. The client may come back.`, 'Disconnect all'];
    const acts = el(
      'div',
      { class: 'row' },
      el('button', { class: 'button slim', type: 'button', click: () => this.write('user', userId) }, 'Write'),
      el('button', { class: 'button slim danger', type: 'button', click: () => this.#disconnect(userId, { userId }, ask) }, 'Disconnect all'),
    );
    const head = el('div', { class: 'row' }, el('h3', { class: 'grow' }, userId), el('span', { class: `pill ${online ? 'good' : ''}` }, online ? `online, ${count(connections.length)}` : 'offline'));
    const gap = missing(found).trim();
    by('found').replaceChildren(el('div', { class: 'found' }, head, list, gap ? el('p', { class: 'small soft' }, gap) : null, online ? acts : null));
  }

  async #disconnect(user, whom, ask) {
    if (!(await sure(...ask))) return;
    try {
      const { connections } = await this.api().post('/api/disconnect', { ...whom, code: 1008, reason: 'disconnected by an operator' });
      await this.find(user);
      const told = connections === 0 ? 'It was gone already.' : `${plural(connections, 'connection')} closed.`;
      by('found').prepend(el('p', { class: 'notice good small found' }, told));
    } catch (error) {
      by('found').prepend(el('p', { class: 'notice bad small found' }, error.message));
    }
    by('user').focus();
  }
}
