// The page of settings: all keys to read, and a form for those that may be changed from here.
import { el, field, table } from './dom.js';
import { get, post } from './api.js';
import { t } from './i18n.js';

// A value as TOML writes it, as a page shows it in a field.
const plain = (toml) => (toml.startsWith('"') ? JSON.parse(toml) : toml.startsWith("'") ? toml.slice(1, -1) : toml);

function input(s) {
  const now = plain(s.next ?? s.value);
  if (s.choices.length) return el('select', {}, ...s.choices.map((c) => el('option', { value: c, selected: c === now }, c)));
  if (s.kind === 'boolean') return el('select', {}, ...['true', 'false'].map((c) => el('option', { value: c, selected: c === now }, t(c === 'true' ? 'state.yes' : 'state.no'))));
  if (s.range.length) return el('input', { type: 'number', min: s.range[0], max: s.range[1], step: s.kind === 'integer' ? 1 : 'any', value: now, placeholder: t('settings.unset') });
  return el('input', { type: 'text', value: now, placeholder: t('settings.unset') });
}

// As the API takes it; empty takes the key out of the console's file.
function value(s, text) {
  if (text === '') return null;
  if (s.kind === 'boolean') return text === 'true';
  return s.kind === 'integer' || s.kind === 'number' ? Number(text) : text;
}

function changing(all, load) {
  const outcome = el('div', { role: 'status', 'aria-live': 'polite', id: 'settings-said' });
  const rows = all.filter((s) => s.editable).map((s) => {
    const i = input(s), wrong = el('small', { class: 'note bad', hidden: true }), before = i.value;
    i.name = s.key;
    const f = field(s.key, i, s.description);
    wrong.id = `${i.id}w`;
    i.setAttribute('aria-describedby', `${i.id}h ${wrong.id}`);
    f.append(wrong);
    if (s.own) f.append(el('button', { type: 'button', class: 'plain', 'aria-label': `${t('settings.reset')} ${s.key}`, onclick: () => send({ [s.key]: null }) }, t('settings.reset')));
    return { s, i, wrong, f, before };
  });
  async function send(changes) {
    for (const r of rows) { r.wrong.hidden = true; r.i.removeAttribute('aria-invalid'); }
    try {
      const done = await post('/settings', { changes });
      await load(done.changed.length ? t('settings.saved', done.changed.join(', ')) : t('settings.same'));
    } catch (p) {
      const fields = p.fields || [];
      for (const r of rows) {
        const fault = fields.find((f) => f.key === r.s.key);
        if (!fault) continue;
        r.wrong.textContent = fault.what;
        r.wrong.hidden = false;
        r.i.setAttribute('aria-invalid', 'true');
      }
      const others = fields.filter((f) => !rows.some((r) => r.s.key === f.key));
      outcome.replaceChildren(el('div', { class: 'note bad' }, fields.length ? t('settings.wrong') : p.message, el('ul', {}, ...others.map((f) => el('li', {}, `${f.key}: ${f.what}`)))));
      (rows.find((r) => r.i.getAttribute('aria-invalid'))?.i || outcome).focus?.();
    }
  }
  return { outcome, form: el('form', { class: 'card', id: 'settings', novalidate: true, onsubmit: (e) => {
    e.preventDefault();
    const changes = rows.filter((r) => r.i.value !== r.before).map((r) => [r.s.key, value(r.s, r.i.value)]);
    if (changes.length) send(Object.fromEntries(changes));
    else outcome.replaceChildren(el('p', { class: 'note' }, t('settings.same')));
  } }, el('h2', {}, t('settings.change')), el('p', { class: 'quiet' }, t('settings.note')), el('div', { class: 'grid fields' }, ...rows.map((r) => r.f)), el('button', { type: 'submit' }, t('settings.save')), outcome) };
}

export async function settings(place) {
  async function load(said) {
    const all = await get('/settings'), rows = el('tbody');
    const list = table(t('nav.settings'), [t('settings.key'), t('settings.value'), t('settings.origin')], []);
    list.querySelector('tbody').replaceWith(rows);
    const only = el('input', { type: 'checkbox', onchange: fill }), search = el('input', { type: 'search', oninput: fill });
    function fill() {
      const shown = all.filter((s) => (!only.checked || s.origin !== 'built-in default') && s.key.includes(search.value.toLowerCase()));
      rows.replaceChildren(...shown.map((s) => el('tr', {}, el('th', { scope: 'row' }, el('code', {}, s.key), el('div', { class: 'quiet' }, s.description)),
        el('td', {}, el('code', {}, s.value || '–'), s.next === null ? '' : el('div', {}, el('span', { class: 'badge warn' }, t('settings.next')), ' ', el('code', {}, s.next || '–'))), el('td', {}, s.origin))));
    }
    const { form, outcome } = changing(all, load);
    if (said) outcome.append(el('p', { class: 'note good' }, said));
    const waiting = all.filter((s) => s.next !== null).map((s) => s.key);
    place.replaceChildren(place.querySelector('h1'), ...(waiting.length ? [el('p', { class: 'note warn' }, t('settings.restart', waiting.join(', ')))] : []),
      form, el('h2', {}, t('settings.all')), el('div', { class: 'row' }, field(t('people.search'), search), field(t('settings.changed'), only)), list);
    fill();
  }
  await load();
}
