// The figures of the last hour, by their names: what the server kept, and behind it what has come since.

const KEPT_MS = 3_600_000;
const SHORTEST_MS = 30_000;

export class Series {
  constructor() {
    this.columns = [];
    this.rows = [];
  }

  // All that the server has kept; what was heard since the last of it stays.
  begin(columns, rows) {
    const last = rows.at(-1)?.[0] ?? 0;
    this.columns = columns;
    this.rows = [...rows, ...this.rows.filter(([at]) => at > last)];
  }

  add(row) {
    const [at] = row;
    // A clock may have been set back.
    while (this.rows.length > 0 && this.rows.at(-1)[0] >= at) this.rows.pop();
    this.rows.push(row);
    while (this.rows[0][0] < at - KEPT_MS) this.rows.shift();
  }

  get last() {
    return this.rows.at(-1);
  }

  value(row, name) {
    return row?.[this.columns.indexOf(name)] ?? null;
  }

  // [time, value] of the last `seconds`, thinned to at most `points`: of each step the largest, so that no peak is lost.
  points(name, seconds, points) {
    const column = this.columns.indexOf(name);
    const end = this.last?.[0] ?? 0;
    // What has just begun is not pressed into a corner.
    const first = Math.min(this.rows[0]?.[0] ?? 0, end - SHORTEST_MS);
    const begin = Math.max(end - seconds * 1_000, first);
    const step = (end - begin) / points;
    const thinned = [];
    let slot = -1;
    for (const row of this.rows) {
      const [at] = row;
      const value = row[column] ?? null;
      if (at < begin || value === null) continue;
      const own = Math.floor((at - begin) / step);
      if (own === slot) {
        const last = thinned.at(-1);
        if (value >= last[1]) thinned[thinned.length - 1] = [at, value];
      } else {
        thinned.push([at, value]);
        slot = own;
      }
    }
    return { begin, end, thinned };
  }
}
