// How long to wait before trying again: from a second on twice as long each time, up to half a minute, and not everybody at once.

const FIRST_MS = 1_000;
const LAST_MS = 30_000;

export function delayMs(attempt) {
  const most = Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(most * (0.5 + Math.random() / 2));
}
