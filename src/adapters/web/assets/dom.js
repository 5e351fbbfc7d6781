// Elements without a framework. Text is always text: nothing is ever parsed as HTML.
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name === 'class') e.className = value;
    else if (['value', 'checked', 'disabled', 'hidden', 'srcObject', 'muted', 'playsInline', 'autoplay', 'indeterminate'].includes(name)) e[name] = value;
    else e.setAttribute(name, value === true ? '' : value);
  }
  e.append(...children.flat().filter((c) => c !== undefined && c !== null && c !== false));
  return e;
}

const SVG = 'http://www.w3.org/2000/svg';
export function svg(tag, attributes = {}, ...children) {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// A table that scrolls inside itself on a phone, and can be reached and scrolled with the keyboard.
export function table(caption, heads, rows) {
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    el('table', {}, el('caption', { class: 'quiet' }, caption), el('thead', {}, el('tr', {}, ...heads.map((h) => el('th', { scope: 'col' }, h)))),
      el('tbody', {}, ...rows)));
}

export function field(label, input, hint) {
  const id = `f${field.next++}`;
  input.id = id;
  if (hint) input.setAttribute('aria-describedby', `${id}h`);
  return el('div', { class: 'field' }, el('label', { for: id }, label), input, hint ? el('small', { id: `${id}h` }, hint) : '');
}
field.next = 1;

// A line over time. The newest value stands beside it in words.
export function plot(label, values, unit, digits = 0) {
  const width = 300, height = 70;
  const known = values.filter((v) => v !== null);
  const most = Math.max(1e-9, ...known), last = known.length ? known[known.length - 1] : null;
  const x = (i) => (i / Math.max(1, values.length - 1)) * (width - 8) + 4;
  const y = (v) => height - 6 - (v / most) * (height - 14);
  const points = values.flatMap((v, i) => (v === null ? [] : [`${x(i).toFixed(1)},${y(v).toFixed(1)}`]));
  const now = last === null ? '–' : `${last.toFixed(digits)} ${unit}`;
  return el('figure', { class: 'plot' },
    el('figcaption', {}, el('span', {}, label), el('strong', {}, now)),
    svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${label}: ${now}, max ${most.toFixed(digits)} ${unit}` },
      svg('line', { x1: 4, x2: width - 4, y1: height - 6, y2: height - 6, class: 'axis' }),
      svg('polyline', { points: points.join(' '), class: 'line' })));
}
