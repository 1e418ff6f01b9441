// A WebSocket that comes back: each loss is waited out, longer each time, until the person ends it.

import { delayMs } from './backoff.js';

// After these trying again would only do the same again.
const FINAL = new Set([1002, 1003, 1007, 1008, 1009, 1010, 4401]);

export class Link {
  // heard.state(state, about): 'connecting', 'open', 'waiting' (about: {ms, close}), 'closed' (about: {close}).
  // heard.message(data): a string or an ArrayBuffer.
  constructor(heard) {
    this.heard = heard;
    this.socket = null;
    this.timer = 0;
    this.attempt = 0;
    this.mayReconnect = () => true;
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open(url, protocols) {
    this.end();
    this.attempt = 0;
    this.#connect(url, protocols);
  }

  #connect(url, protocols) {
    this.heard.state('connecting', {});
    const socket = new WebSocket(url, protocols);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    let wasOpen = false;
    socket.addEventListener('open', () => {
      wasOpen = true;
      this.attempt = 0;
      this.heard.state('open', { compression: socket.extensions.includes('permessage-deflate') });
    });
    socket.addEventListener('message', ({ data }) => this.heard.message(data));
    socket.addEventListener('close', ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      const close = { code, reason, wasOpen };
      if (this.isEnding || FINAL.has(code) || !this.mayReconnect()) return this.heard.state('closed', { close });
      const ms = delayMs(this.attempt);
      this.attempt += 1;
      this.timer = setTimeout(() => this.#connect(url, protocols), ms);
      this.heard.state('waiting', { ms, close });
    });
    this.isEnding = false;
  }

  send(data) {
    this.socket.send(data);
  }

  // Says goodbye where there is somebody, and tries no more; the state is told once it is over.
  close() {
    clearTimeout(this.timer);
    this.isEnding = true;
    if (this.socket) this.socket.close(1000, 'the person left');
    else this.heard.state('closed', {});
  }

  // Drops what there is without a word.
  end() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}
