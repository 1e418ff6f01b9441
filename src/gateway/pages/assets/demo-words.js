// What a message of the gateway protocol says, in a sentence.

import { el } from './dom.js';
import { plural } from './format.js';

const b = (text) => el('b', {}, String(text));
const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

// What the page itself publishes in rooms.
export const SAID = 'chat';
export const CAME = 'joined';
export const LEFT = 'left';

function ofRoom({ room, event, data, fromUserId }, from) {
  const whose = fromUserId === undefined ? 'A back end' : from;
  if (room === undefined) return [b(whose), ` sends ${event}: ${json(data)}`];
  if (event === SAID && typeof data?.text === 'string') return [b(whose), ` in ${room}: ${data.text}`];
  if (event === CAME || event === LEFT) return [b(whose), event === CAME ? ` has come into ${room}` : ` has left ${room}`];
  return [b(whose), ` in ${room}, ${event}: ${json(data)}`];
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
  chat: (message) => [b(message.fromUserId ?? 'A back end'), ` to you: ${message.text}`],
  notification: (message) => [b(message.fromUserId ?? 'A back end'), ` notifies you, ${message.action ?? 'message'}: ${json(message.data ?? message.message)}`],
  broadcast: (message) => [b(message.fromUserId ?? 'A back end'), ` to everyone, ${message.event}: ${json(message.data)}`],
  message: (message) => ofRoom(message, message.fromUserId),
};

const SAID_BY_US = {
  register: ({ userId }) => (userId === undefined ? ['You register'] : ['You register as ', b(userId)]),
  ping: () => ['Ping'],
  join: ({ room }) => [`You join ${room}`],
  leave: ({ room }) => [`You leave ${room}`],
  presence: ({ room }) => [`Who is in ${room}?`],
  chat: ({ targetUserId, text }) => [b('You'), ` to ${targetUserId}: ${text}`],
  publish: (message) => ofRoom({ ...message, fromUserId: '' }, 'You').map((part, index) => (index === 1 && typeof part === 'string' ? part.replace(' has ', ' have ') : part)),
  broadcast: ({ event, data }) => [b('You'), ` to everyone, ${event}: ${json(data)}`],
};

// Of little interest to who talks.
const ASIDE = new Set(['registered', 'authenticated', 'register', 'pong', 'ping', 'ack', 'presence', 'join', 'leave']);

// {words, isAside} for a message that was received, or sent; {} for one that is unknown.
export function wordsOf(message, isSent) {
  const type = message?.type;
  const words = (isSent ? SAID_BY_US : HEARD)[type];
  if (!Object.hasOwn(isSent ? SAID_BY_US : HEARD, String(type))) return {};
  try {
    return { words: words(message), isAside: ASIDE.has(type) };
  } catch {
    // A back end may send what it likes under a known type.
    return {};
  }
}
