// A plot of one or two lines over time, with the values at the right end written out, and those under the pointer.

import { el, svg } from './dom.js';
import { clock } from './format.js';

const WIDTH = 600;
const HEIGHT = 120;
const POINTS_MAX = 300;

// A round number that is not smaller; of bytes so many units of 1,024.
function roundUp(value, base) {
  const unit = base ** Math.max(0, Math.floor(Math.log(value) / Math.log(base)));
  const power = 10 ** Math.floor(Math.log10(value / unit));
  return [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power * unit >= value) * power * unit;
}

export class Plot {
  // lines: one or two of {name, title}; format writes a value.
  constructor({ title, lines, format, least, base = 10 }) {
    Object.assign(this, { title, lines, format, least, base });
    this.values = lines.map(() => el('strong', {}, '–'));
    const now = lines.map((line, index) => this.#now(line, this.values[index]));
    this.picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
    this.left = el('span', {});
    this.right = el('span', {});
    this.top = el('span', {});
    this.picture.addEventListener('pointermove', (event) => this.#point(event));
    this.picture.addEventListener('pointerleave', () => this.#point(null));
    this.node = el(
      'figure',
      { class: 'card plot' },
      el('h3', {}, title),
      el('div', { class: 'now' }, ...now),
      this.picture,
      el('p', { class: 'axis', 'aria-hidden': 'true' }, this.left, this.top, this.right),
    );
  }

  #now({ title }, value) {
    const index = this.values.indexOf(value);
    const key = this.lines.length > 1 ? el('span', { class: index === 0 ? 'key' : 'key second' }) : null;
    return el('span', {}, key, value, ' ', el('small', {}, title));
  }

  draw(series, seconds) {
    this.drawn = this.lines.map(({ name }) => series.points(name, seconds, POINTS_MAX));
    this.current = this.lines.map(({ name }) => series.value(series.last, name));
    const { begin, end } = this.drawn[0];
    const values = this.drawn.flatMap(({ thinned }) => thinned.map(([, value]) => value));
    this.most = roundUp(Math.max(this.least, ...values), this.base);
    this.x = (at) => ((at - begin) / Math.max(1, end - begin)) * WIDTH;
    this.y = (value) => HEIGHT - (value / this.most) * (HEIGHT - 2);
    const rules = [0, HEIGHT / 2, HEIGHT].map((y) => svg('line', { class: 'rule', x1: 0, x2: WIDTH, y1: y, y2: y }));
    const paths = this.drawn.flatMap(({ thinned }, index) => this.#paths(thinned, index));
    this.picture.replaceChildren(...rules, ...paths);
    this.picture.setAttribute('aria-label', this.#sentence());
    this.left.textContent = clock(new Date(begin));
    this.right.textContent = clock(new Date(end));
    this.pointed = null;
    if (this.pointer) this.#point(this.pointer);
    else this.#write(this.current, null);
  }

  #paths(thinned, index) {
    if (thinned.length === 0) return [];
    const steps = thinned.map(([at, value]) => `${this.x(at).toFixed(1)} ${this.y(value).toFixed(1)}`).join('L');
    const line = svg('path', { class: index === 0 ? 'line' : 'line second', d: `M${steps}` });
    if (index > 0) return [line];
    const [from, to] = [thinned[0][0], thinned.at(-1)[0]].map((at) => this.x(at).toFixed(1));
    return [svg('path', { class: 'area', d: `M${from} ${HEIGHT}L${steps}L${to} ${HEIGHT}Z` }), line];
  }

  // What a picture says to who does not see it.
  #sentence() {
    const each = this.lines.map(({ title }, index) => {
      const values = this.drawn[index].thinned.map(([, value]) => value);
      if (values.length === 0) return `${title}: nothing yet`;
      const [least, most] = [Math.min(...values), Math.max(...values)].map(this.format);
      return `${title}: now ${this.format(this.current[index])}, between ${least} and ${most}`;
    });
    return `${this.title}. ${each.join('. ')}.`;
  }

  #write(values, at) {
    values.forEach((value, index) => {
      this.values[index].textContent = value === null ? '–' : this.format(value);
    });
    this.top.textContent = at === null ? `up to ${this.format(this.most)}` : `at ${clock(new Date(at))}`;
  }

  #point(event) {
    this.pointer = event && { clientX: event.clientX };
    this.pointed?.remove();
    this.pointed = null;
    if (!this.drawn) return;
    if (!event) return this.#write(this.current, null);
    const { left, width } = this.picture.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * WIDTH;
    const nearest = (thinned) => thinned.reduce((best, one) => (best && Math.abs(this.x(best[0]) - x) <= Math.abs(this.x(one[0]) - x) ? best : one), null);
    const points = this.drawn.map(({ thinned }) => nearest(thinned));
    if (!points[0]) return;
    const at = this.x(points[0][0]);
    this.pointed = svg('line', { class: 'at', x1: at, x2: at, y1: 0, y2: HEIGHT });
    this.picture.append(this.pointed);
    this.#write(points.map((point) => point?.[1] ?? null), points[0][0]);
  }
}
