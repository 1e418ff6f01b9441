// What a message of the gateway protocol says, in a sentence.

import { el } from './dom.js';
import { plural } from './format.js';

const b = (text) => el('b', {}, String(text));
const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

// What the page itself publishes in rooms.
export const SAID = 'chat';
export const CAME = 'joined';
export const LEFT = 'left';

const sender = ({ fromUserId }) => b(fromUserId ?? 'A back end');

function ofRoom({ room, event, data }, who, has) {
  if (room === undefined) return [who, ` sends ${event}: ${json(data)}`];
  if (event === SAID && typeof data?.text === 'string') return [who, ` in ${room}: ${data.text}`];
  if (event === CAME) return [who, ` ${has} come into ${room}`];
  if (event === LEFT) return [who, ` ${has} left ${room}`];
  return [who, ` in ${room}, ${event}: ${json(data)}`];
}

function ack({ delivered, room, unanswered, unsent }) {
  if (room !== undefined) return [`Done: the room ${room}`];
  if (delivered === undefined) return ['Done'];
  const missing = unsent || unanswered ? ' (not every node of the cluster answered)' : '';
  return [`Handed to ${plural(delivered, 'connection')}${missing}`];
}

function gap({ room, missed }) {
  return [room === undefined ? 'Messages of other nodes may be missing here' : `${plural(missed, 'message')} of ${room} missed here`];
}

const HEARD = {
  registered: (message) => ['You are ', b(message.userId)],
  authenticated: (message) => ['You are ', b(message.userId)],
  pong: () => ['Pong'],
  ack,
  gap,
  presence: ({ room, users }) => [`In ${room}: ${users.join(', ')}`],
  error: ({ message }) => [message],
  chat: (message) => [sender(message), ` to you: ${message.text}`],
  notification: (message) => [sender(message), ` notifies you, ${message.action ?? 'message'}: ${json(message.data ?? message.message)}`],
  broadcast: (message) => [sender(message), ` to everyone, ${message.event}: ${json(message.data)}`],
  message: (message) => ofRoom(message, sender(message), 'has'),
};

const SAID_BY_US = {
  register: ({ userId }) => (userId === undefined ? ['You register'] : ['You register as ', b(userId)]),
  ping: () => ['Ping'],
  join: ({ room }) => [`You join ${room}`],
  leave: ({ room }) => [`You leave ${room}`],
  presence: ({ room }) => [`Who is in ${room}?`],
  chat: ({ targetUserId, text }) => [b('You'), ` to ${targetUserId}: ${text}`],
  publish: (message) => ofRoom(message, b('You'), 'have'),
  broadcast: ({ event, data }) => [b('You'), ` to everyone, ${event}: ${json(data)}`],
};

// Of little interest to who talks.
const ASIDE = new Set(['registered', 'authenticated', 'register', 'pong', 'ping', 'ack', 'presence', 'join', 'leave']);

// {words, isAside} for a message that was received, or sent; {} for one that is unknown.
export function wordsOf(message, isSent) {
  const type = message?.type;
  const known = isSent ? SAID_BY_US : HEARD;
  if (typeof type !== 'string' || !Object.hasOwn(known, type)) return {};
  try {
    return { words: known[type](message), isAside: ASIDE.has(type) };
  } catch {
    // A back end may send what it likes under a known type.
    return {};
  }
}
