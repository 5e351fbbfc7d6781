// The page of rules: what is in force, in words, and who may pass when.
import { el, field, table } from './dom.js';
import { get } from './api.js';
import { known, language, t } from './i18n.js';

// The 5th of January 1970 was a Monday.
const DAYS = Array.from({ length: 7 }, (_, i) => new Date(Date.UTC(1970, 0, 5 + i)).toLocaleDateString(language, { weekday: 'long', timeZone: 'UTC' }));
const need = (n) => (known(`need.${n}`) ? t(`need.${n}`) : n.startsWith('somebody of ') ? t('need.somebody', n.slice(12)) : n);
const list = (all) => all.map(need).join(', ') || '–';
const door = (d) => (d === '*' ? t('rules.everydoor') : d), group = (g) => (g === 'everyone' ? t('rules.everyone') : g), schedule = (s) => (s === 'always' ? t('rules.always') : s);
const spans = (all) => (all.length ? all.map((s) => s.replace('-', ' – ')).join(', ') : t('rules.closed'));

// Days with the same hours are told together.
function week(days) {
  const parts = [];
  days.forEach((d, i) => {
    const last = parts[parts.length - 1], said = spans(d);
    if (last && last.said === said) last.to = i;
    else parts.push({ from: i, to: i, said });
  });
  return parts.map((p) => el('div', {}, `${DAYS[p.from]}${p.to > p.from ? ` – ${DAYS[p.to]}` : ''}: ${p.said}`));
}

function whoCan(r) {
  const doors = [...new Set([r.door, ...r.doors.map((d) => d.name), ...r.grants.flatMap((g) => g.doors)])].filter((d) => d !== '*');
  const which = el('select', { name: 'door' }, ...doors.map((d) => el('option', { value: d }, d)));
  const here = new Date(), two = (n) => String(n).padStart(2, '0');
  const at = el('input', { type: 'datetime-local', name: 'at', required: true, value: `${here.getFullYear()}-${two(here.getMonth() + 1)}-${two(here.getDate())}T${two(here.getHours())}:${two(here.getMinutes())}` });
  const answer = el('div', { role: 'status', 'aria-live': 'polite', id: 'who-can' });
  return el('form', { class: 'card', onsubmit: async (e) => {
    e.preventDefault();
    try {
      const a = await get(`/rules/who-can?door=${encodeURIComponent(which.value)}&at=${encodeURIComponent(at.value)}`);
      const can = a.people.map((p) => el('tr', {}, el('th', { scope: 'row' }, p.person), el('td', {}, el('span', { class: 'badge good' }, t('rules.can'))), el('td', {}, p.needs.length ? t('rules.needs', list(p.needs)) : '')));
      const cannot = a.others.map((p) => el('tr', {}, el('th', { scope: 'row' }, p.person), el('td', {}, el('span', { class: 'badge bad' }, t('rules.cannot'))), el('td', {}, known(`reason.${p.reason}`) ? t(`reason.${p.reason}`) : p.rule)));
      answer.replaceChildren(can.length + cannot.length ? table(`${a.door}, ${at.value.replace('T', ' ')} ${a.zone}`, [t('events.who'), '', t('events.why')], [...can, ...cannot]) : el('p', {}, t('rules.nobody')));
    } catch (p) {
      answer.replaceChildren(el('p', { class: 'note bad' }, p.message));
    }
  } }, el('h2', {}, t('rules.whocan')), el('div', { class: 'row' }, field(t('nav.doors'), which), field(`${t('rules.at')} (${r.zone})`, at), el('button', { type: 'submit' }, t('rules.ask'))), answer);
}

export async function rules(place) {
  const r = await get('/rules');
  const open = (s) => (s.open === null ? el('span', { class: 'badge warn' }, t('rules.clock')) : s.open ? el('span', { class: 'badge good' }, t('rules.open')) : el('span', { class: 'badge info' }, t('rules.shut')));
  const holiday = (s) => ({ closed: t('rules.closed'), as_usual: t('rules.usual'), spans: spans(s.holiday_spans) }[s.holiday]);
  const fact = (name, value) => [el('dt', {}, name), el('dd', {}, value)];
  place.append(
    table(t('rules.grants'), [t('rules.groups'), t('rules.doors'), t('rules.when')], r.grants.map((g) => el('tr', {}, el('td', {}, g.groups.map(group).join(', ')), el('td', {}, g.doors.map(door).join(', ')), el('td', {}, schedule(g.when))))),
    whoCan(r), el('div', { class: 'grid' },
      el('section', { class: 'card' }, el('h2', {}, t('nav.people')), el('dl', {}, ...fact(t('nav.people'), String(r.people)), ...fact(t('rules.pin'), String(r.with_pin)), ...fact(t('rules.card'), String(r.with_card)), ...fact(t('rules.duress'), r.duress ? t('state.yes') : t('state.no')))),
      el('section', { class: 'card' }, el('h2', {}, t('rules.clocks')), el('dl', {}, ...fact(t('rules.zone'), r.zone), ...fact(t('rules.holidays'), r.holidays.join(', ') || '–'), ...fact(t('rules.window'), `${r.pair_window_s} s`), ...fact(t('rules.factorwindow'), `${r.factor_window_s} s`)))),
    el('h2', {}, t('rules.schedules')), table(t('rules.schedules'), [t('login.name'), t('rules.when'), t('rules.onholiday'), ''], r.schedules.map((s) => el('tr', {}, el('th', { scope: 'row' }, s.name), el('td', {}, ...week(s.days)), el('td', {}, holiday(s)), el('td', {}, open(s))))),
    el('h2', {}, t('rules.groups')), table(t('rules.groups'), [t('login.name'), t('nav.people'), t('rules.factor'), t('rules.pair')], r.groups.map((g) => el('tr', {}, el('th', { scope: 'row' }, group(g.name)), el('td', {}, String(g.people)), el('td', {}, list(g.second_factor)), el('td', {}, g.two_person ? t('need.somebody', g.two_person) : '–')))),
    el('h2', {}, t('rules.doors')), table(t('rules.doors'), [t('login.name'), t('rules.factor'), t('rules.pair'), t('rules.passback'), t('rules.hold')], r.doors.map((d) => el('tr', {}, el('th', { scope: 'row' }, d.name), el('td', {}, list(d.second_factor)),
      el('td', {}, d.two_person ? t('need.somebody', d.two_person) : '–'), el('td', {}, d.anti_passback ? t('rules.until', d.anti_passback) : '–'), el('td', {}, d.hold_open ? `${schedule(d.hold_open)}${d.first_person ? ` (${t('rules.first')})` : ''}` : '–')))));
}
