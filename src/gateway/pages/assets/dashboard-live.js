// The way to the server: calls of its HTTP API, and the WebSocket on which it tells once a second what there is.

import { delayMs } from './backoff.js';

// The key is wrong, or there is none.
const REFUSED = 1008;
// A socket that says nothing for so long is dead.
const SILENCE_MS = 8_000;

// A call of the HTTP API that did not do what it was for; its message is a sentence for people.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  constructor(key) {
    this.key = key;
  }

  async #call(path, options) {
    let response;
    try {
      response = await fetch(path, options);
    } catch {
      throw new Refused(0, 'The server does not answer.');
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response.status, answer.detail ?? `The server answered with status ${response.status}.`);
    return answer;
  }

  get(path) {
    return this.#call(path, { headers: this.#headers() });
  }

  post(path, body) {
    const headers = { ...this.#headers(), 'Content-Type': 'application/json' };
    return this.#call(path, { method: 'POST', headers, body: JSON.stringify(body) });
  }

  #headers() {
    // A header holds bytes: what is beyond Latin-1 goes as UTF-8, as the server has it.
    const bytes = new TextEncoder().encode(this.key);
    return { 'X-API-Key': String.fromCharCode(...bytes) };
  }
}

export class Live {
  // heard.state('connecting' | 'live' | 'waiting', seconds or undefined), heard.refused(sentence), heard.told(object)
  constructor(key, heard) {
    this.key = key;
    this.heard = heard;
    this.attempt = 0;
    this.#connect();
  }

  #connect() {
    this.heard.state('connecting');
    const url = new URL('/dashboard/live', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url);
    this.socket = socket;
    // In a message: an address would be kept in histories and logs.
    socket.addEventListener('open', () => socket.send(JSON.stringify({ key: this.key })));
    socket.addEventListener('message', ({ data }) => {
      this.attempt = 0;
      this.#watch();
      this.heard.state('live');
      this.heard.told(JSON.parse(data));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      if (this.socket === socket) this.#onClose(code, reason);
    });
    this.#watch();
  }

  // A network that went away without a word would look like a server that is calm.
  #watch() {
    clearTimeout(this.silence);
    const { socket } = this;
    this.silence = setTimeout(() => {
      if (this.socket !== socket) return;
      this.socket = null;
      socket.close();
      this.#again();
    }, SILENCE_MS);
  }

  #onClose(code, reason) {
    clearTimeout(this.silence);
    if (code === REFUSED) return this.heard.refused(`The server refused the dashboard: ${reason}.`);
    this.#again();
  }

  #again() {
    const ms = delayMs(this.attempt);
    this.attempt += 1;
    this.heard.state('waiting', Math.ceil(ms / 1_000));
    this.timer = setTimeout(() => this.#connect(), ms);
  }

  end() {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    const { socket } = this;
    this.socket = null;
    socket?.close(1000);
  }
}
