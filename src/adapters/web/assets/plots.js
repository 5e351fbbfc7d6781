// Plots drawn as SVG without a library. What a plot shows stands beside it as text or as a table.
import { el, svg } from './dom.js';

const text = (x, y, words, anchor = 'middle') => svg('text', { x, y, 'text-anchor': anchor }, words);
export const percent = (v) => (v === null || v === undefined ? '–' : `${(v * 100).toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 3 })} %`);

function figure(title, label, width, height, legend, ...parts) {
  return el('figure', { class: 'plot chart' }, el('figcaption', {}, el('strong', {}, title), legend),
    svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, ...parts));
}

// Which line is which: the stroke itself, in colour and pattern, with its name.
const key = (names) => el('span', { class: 'keys' }, ...names.map(([name, kind]) => el('span', {}, svg('svg', { viewBox: '0 0 26 8', width: 26, height: 8, 'aria-hidden': 'true' }, svg('line', { x1: 1, x2: 25, y1: 4, y2: 4, class: kind })), ` ${name}`)));

// Both errors on logarithmic axes. What is zero lies on the edge.
export function det(title, points, across, up) {
  const width = 420, height = 300, left = 58, bottom = 44, right = 14, over = 12;
  const least = Math.min(...points.flatMap((p) => [p.fmr, p.fnmr]).filter((v) => v > 0), 0.01);
  const floor = Math.floor(Math.log10(least)), place = (v) => Math.max(floor, v > 0 ? Math.log10(v) : floor);
  const x = (v) => left + ((place(v) - floor) / -floor) * (width - left - right);
  const y = (v) => height - bottom - ((place(v) - floor) / -floor) * (height - bottom - over);
  const powers = Array.from({ length: 1 - floor }, (_, i) => floor + i), name = (p) => (p === 0 ? '1' : `1e${p}`);
  const grid = powers.flatMap((p) => [
    svg('line', { x1: x(10 ** p), x2: x(10 ** p), y1: over, y2: height - bottom, class: 'axis' }), text(x(10 ** p), height - bottom + 16, name(p)),
    svg('line', { x1: left, x2: width - right, y1: y(10 ** p), y2: y(10 ** p), class: 'axis' }), text(left - 6, y(10 ** p) + 4, name(p), 'end')]);
  const turned = text(0, 0, up);
  turned.setAttribute('transform', `translate(14 ${(height - bottom) / 2}) rotate(-90)`);
  return figure(title, `${title}: ${across}, ${up}`, width, height, '', ...grid, text((left + width) / 2, height - 6, across), turned,
    svg('polyline', { class: 'line', points: points.map((p) => `${x(p.fmr).toFixed(1)},${y(p.fnmr).toFixed(1)}`).join(' ') }));
}

// Shares of each kind in classes, as outlines: one drawn through, one dashed.
export function histogram(title, h, genuine, impostor) {
  const width = 420, height = 240, left = 14, bottom = 34, over = 10;
  const share = (list) => { const all = list.reduce((a, b) => a + b, 0) || 1; return list.map((n) => n / all); };
  const [a, b] = [share(h.impostor), share(h.genuine)], most = Math.max(...a, ...b, 1e-9);
  const x = (i) => left + (i / Math.max(1, a.length)) * (width - 2 * left), y = (v) => height - bottom - (v / most) * (height - bottom - over);
  const outline = (list) => list.flatMap((v, i) => [`${x(i).toFixed(1)},${y(v).toFixed(1)}`, `${x(i + 1).toFixed(1)},${y(v).toFixed(1)}`]).join(' ');
  const marks = [0, 0.25, 0.5, 0.75, 1].map((p) => text(x(p * a.length), height - bottom + 17, (h.from + p * (h.to - h.from)).toFixed(2), p === 0 ? 'start' : p === 1 ? 'end' : 'middle'));
  return figure(title, `${title}: ${genuine}, ${impostor}`, width, height, key([[genuine, 'line'], [impostor, 'line second']]),
    svg('line', { x1: left, x2: width - left, y1: height - bottom, y2: height - bottom, class: 'axis' }), ...marks,
    svg('polyline', { class: 'line second', points: outline(a) }), svg('polyline', { class: 'line', points: outline(b) }));
}

// A rate with its interval, for a cell of a table whose text says the same.
export function interval(rate, lo, hi) {
  const x = (v) => 4 + v * 112;
  return svg('svg', { viewBox: '0 0 120 14', width: 120, height: 14, 'aria-hidden': 'true', class: 'interval' }, svg('line', { x1: 4, x2: 116, y1: 7, y2: 7, class: 'axis' }),
    svg('line', { x1: x(lo), x2: x(hi), y1: 7, y2: 7, class: 'line' }), svg('circle', { cx: x(rate), cy: 7, r: 3.5, class: 'dot' }));
}

// Several lines over time; values that are not there leave a gap.
export function times(title, lines, unit) {
  const width = 300, height = 80, all = lines.flatMap((l) => l.values).filter((v) => v !== null), most = Math.max(1e-9, ...all);
  const now = lines.map((l) => `${l.name} ${l.now === null ? '–' : `${l.now.toFixed(1)} ${unit}`}`).join(', ');
  const runs = (values) => values.reduce((out, v, i) => {
    if (v === null) out.push([]);
    else out[out.length - 1].push(`${(4 + (i / Math.max(1, values.length - 1)) * (width - 8)).toFixed(1)},${(height - 6 - (v / most) * (height - 16)).toFixed(1)}`);
    return out;
  }, [[]]).filter((r) => r.length);
  const drawn = lines.flatMap((l) => runs(l.values).map((r) => svg('polyline', { class: l.kind, points: (r.length === 1 ? [r[0], r[0]] : r).join(' ') })));
  return figure(title, `${title}: ${now}, max ${most.toFixed(1)} ${unit}`, width, height, key(lines.map((l) => [`${l.name} ${l.now === null ? '–' : `${l.now.toFixed(1)} ${unit}`}`, l.kind])),
    svg('line', { x1: 4, x2: width - 4, y1: height - 6, y2: height - 6, class: 'axis' }), ...drawn);
}
