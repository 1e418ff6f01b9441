// Numbers, times and close codes for people.

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export const count = (number) => whole.format(number);

// A number that need not be exact: 1,234 or 12.3k.
export function about(number) {
  const size = Math.abs(number);
  if (size >= 999_500) return `${short.format(number / 1e6)}M`;
  if (size >= 10_000) return `${short.format(number / 1e3)}k`;
  return size >= 100 ? whole.format(Math.round(number)) : short.format(number);
}

export function bytes(number) {
  let unit = 0;
  let size = number;
  while (size >= 1023.5 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(Math.round(size)) : short.format(size)} ${UNITS[unit]}`;
}

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function microseconds(number) {
  if (number === null || number === undefined) return '–';
  if (number >= 1e6) return `${short.format(number / 1e6)} s`;
  return number >= 1e3 ? `${short.format(number / 1e3)} ms` : `${short.format(number)} µs`;
}

export function duration(seconds) {
  const parts = [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'min'],
    [1, 's'],
  ];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return '0 s';
  let rest = Math.floor(seconds);
  const shown = parts.slice(first, first + 2).map(([size, name]) => {
    const number = Math.floor(rest / size);
    rest -= number * size;
    return `${number} ${name}`;
  });
  return shown.filter((part) => !part.startsWith('0 ')).join(' ');
}

const two = (number) => String(number).padStart(2, '0');

// The time of the day; with milliseconds where `exact`.
export function clock(date, exact = false) {
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return exact ? `${time}.${String(date.getMilliseconds()).padStart(3, '0')}` : time;
}

const CODES = {
  1000: 'closed normally',
  1001: 'going away: the server stops, or the page was left',
  1002: 'a breach of the WebSocket protocol',
  1003: 'a kind of message that is not taken here',
  1005: 'closed without a code',
  1006: 'lost: the connection ended without a Close frame',
  1007: 'a text that is not UTF-8',
  1008: 'against a rule of the server',
  1009: 'a message larger than is allowed',
  1010: 'an extension that is missing',
  1011: 'an error or a time limit at the server',
  1012: 'the server restarts',
  1013: 'try again later: too much waits to be sent',
  1014: 'a bad answer behind a gateway',
  1015: 'TLS failed',
  4401: 'the access token has expired',
};

// What a close code says; the metrics write those of libraries and applications as ranges.
export function closeWords(code) {
  const text = String(code);
  if (CODES[text]) return CODES[text];
  if (text.startsWith('3')) return 'a code of a library';
  return text.startsWith('4') ? 'a code of an application' : 'an unknown code';
}
