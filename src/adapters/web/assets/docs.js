// A viewer of our own for the OpenAPI description: it works without internet.
import { el } from './dom.js';

const api = document.getElementById('api');
const spec = await (await fetch('/api/v1/openapi.json')).json();
const name = (ref) => ref.split('/').pop();

function shape(schema) {
  if (!schema) return '';
  if (schema.$ref) return el('a', { href: `#schema-${name(schema.$ref)}` }, name(schema.$ref));
  for (const key of ['oneOf', 'allOf', 'anyOf']) {
    if (schema[key]) return el('span', {}, ...schema[key].flatMap((s, i) => [i ? ' | ' : '', shape(s)]));
  }
  if (schema.type === 'array') return el('span', {}, '[', shape(schema.items), ']');
  const kind = [].concat(schema.type || 'any').join(' | ');
  return schema.enum ? schema.enum.map((v) => JSON.stringify(v)).join(' | ') : schema.format ? `${kind} (${schema.format})` : kind;
}

function operation(path, method, op) {
  const rows = (op.parameters || []).map((p) => el('tr', {},
    el('td', {}, el('code', {}, p.name)), el('td', {}, p.in + (p.required ? ', required' : '')), el('td', {}, shape(p.schema)), el('td', {}, p.description || '')));
  const body = Object.entries(op.requestBody?.content || {}).map(([kind, c]) => el('p', {}, 'Body: ', el('code', {}, kind), ' ', shape(c.schema)));
  const answers = Object.entries(op.responses || {}).map(([code, r]) => el('li', {},
    el('strong', {}, code), ' ', r.description || '', ' ', ...Object.values(r.content || {}).map((c) => shape(c.schema))));
  return el('section', { class: 'card' },
    el('h3', {}, el('span', { class: `method ${method}` }, method.toUpperCase()), ' ', el('code', {}, path)),
    el('p', {}, op.summary || '', op.description ? ` ${op.description}` : ''),
    rows.length ? el('div', { class: 'scroll' }, el('table', {}, el('tbody', {}, ...rows))) : '', ...body, el('ul', {}, ...answers));
}

const tags = new Map();
for (const [path, methods] of Object.entries(spec.paths)) {
  for (const [method, op] of Object.entries(methods)) {
    const tag = op.tags?.[0] || 'other';
    if (!tags.has(tag)) tags.set(tag, []);
    tags.get(tag).push(operation(path, method, op));
  }
}
for (const [tag, all] of tags) api.append(el('h2', {}, tag), ...all);
api.append(el('h2', {}, 'Schemas'));
for (const [id, schema] of Object.entries(spec.components.schemas)) {
  const fields = Object.entries(schema.properties || {}).map(([field, s]) => el('tr', {},
    el('td', {}, el('code', {}, field)), el('td', {}, shape(s)), el('td', {}, (schema.required || []).includes(field) ? 'always' : ''), el('td', {}, s.description || '')));
  api.append(el('section', { class: 'card', id: `schema-${id}` }, el('h3', {}, id), el('p', {}, schema.description || ''),
    fields.length ? el('div', { class: 'scroll' }, el('table', {}, el('tbody', {}, ...fields))) : el('p', {}, shape(schema))));
}
