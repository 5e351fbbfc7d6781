// The pages of the console. Each fills its place and returns what ends it.
import { el, field, table } from './dom.js';
import { call, get, post, remove, socket } from './api.js';
import { known, t, when } from './i18n.js';
import { healthPage, models } from './measures.js';
import { rules } from './rules.js';
import { settings } from './settings.js';
import { closeCamera, openCamera, picture } from './session.js';

const KIND = { granted: 'good', denied: 'bad', try_again: 'warn' };
const badge = (kind, text) => el('span', { class: `badge ${kind}` }, text);

// What an event is, in one line; the rest of the record is in `why`.
function kindOf(e) {
  if (e.type === 'access.granted') return 'good';
  if (e.type === 'access.denied') return 'bad';
  if (e.type === 'visit.ended') return KIND[e.verdict];
  if (e.type.startsWith('alarm.') || e.type === 'door.forced') return 'bad';
  if (e.type === 'door.held' || e.type === 'system.insecure' || e.type === 'command.rejected') return 'warn';
  return 'info';
}
const reason = (r) => (r ? (known(`reason.${r}`) ? t(`reason.${r}`) : r) : '');

function why(e) {
  const skip = ['v', 'device', 'boot', 'id', 'prev', 'time', 'type', 'seq', 'clock_synced', 'uptime_ms', 'gates'];
  const rows = Object.entries(e).filter(([k]) => !skip.includes(k)).flatMap(([k, v]) => [el('dt', {}, k), el('dd', {}, typeof v === 'object' ? JSON.stringify(v) : String(v))]);
  const gates = Object.entries(e.gates || {}).map(([g, s]) => el('li', {}, `${g}: ${s}`));
  return el('div', {}, e.reason ? el('p', {}, el('strong', {}, reason(e.reason))) : '',
    gates.length ? el('div', {}, el('p', {}, t('events.gates')), el('ul', {}, ...gates)) : '', el('dl', {}, el('dt', {}, 'seq'), el('dd', {}, String(e.seq)), ...rows));
}

function eventRow(e) {
  return el('tr', { 'data-seq': e.seq }, el('td', {}, el('time', { datetime: e.time }, when(e.time))), el('td', {}, badge(kindOf(e), e.type)),
    el('td', {}, e.person || e.by || ''), el('td', {}, el('details', {}, el('summary', {}, reason(e.reason) || t('events.why')), why(e))));
}
const eventTable = (rows) => table(t('nav.events'), [t('events.time'), t('events.what'), t('events.who'), t('events.why')], rows);

const state = (s) => badge({ connected: 'good', lost: 'bad', off: 'info' }[s] || 'info', t(`state.${s}`));

function healthCard(h) {
  return el('section', { class: 'card' }, el('p', {}, badge({ ok: 'good', degraded: 'warn', fault: 'bad' }[h.status], t(`health.${h.status}`))),
    h.problems.length ? el('ul', {}, ...h.problems.map((p) => el('li', {}, p))) : '',
    el('dl', {}, el('dt', {}, t('health.fps')), el('dd', {}, h.camera.fps === null ? '–' : h.camera.fps.toFixed(1)),
      el('dt', {}, t('health.age')), el('dd', {}, h.camera.age_ms === null ? '–' : `${h.camera.age_ms} ms`),
      el('dt', {}, t('health.guard')), el('dd', {}, state(h.guard)), el('dt', {}, t('health.broker')), el('dd', {}, state(h.broker))));
}

async function live(place, { me, may }) {
  const health = el('div'), link = el('span'), rows = el('tbody');
  const events = eventTable([]);
  events.querySelector('tbody').replaceWith(rows);
  const view = el('div', { class: 'card' }, el('h2', {}, t('live.camera')));
  let camera = null;
  if (me.live_picture && may('operator')) {
    const img = el('img', { class: 'picture', alt: t('live.camera'), hidden: true });
    view.append(img, el('button', { onclick: (e) => {
      e.target.remove();
      camera = socket('/api/v1/live');
      camera.binaryType = 'blob';
      camera.onmessage = (m) => {
        const old = img.src;
        img.hidden = false;
        img.src = URL.createObjectURL(m.data);
        if (old) URL.revokeObjectURL(old);
      };
    } }, t('live.show')));
  } else view.append(el('p', { class: 'quiet' }, t('live.nopicture')));
  place.append(el('div', { class: 'grid' }, health, view), el('h2', {}, t('live.last')), el('p', {}, t('live.stream'), ': ', link), events);
  const refresh = async () => health.replaceChildren(healthCard(await get('/health')));
  await refresh();
  const add = (e) => {
    rows.prepend(eventRow(e));
    while (rows.children.length > 50) rows.lastChild.remove();
  };
  for (const e of (await get('/events?newest=25&limit=25')).events) add(e);
  let stream = null, over = false, timer = setInterval(() => refresh().catch(() => {}), 3000);
  const listen = () => {
    stream = socket('/api/v1/events/stream');
    stream.onopen = () => link.replaceChildren(badge('good', t('live.on')));
    stream.onmessage = (m) => { const e = JSON.parse(m.data); if (e.seq) add(e); };
    stream.onclose = () => {
      if (over) return;
      link.replaceChildren(badge('warn', t('live.off')));
      setTimeout(() => over || listen(), 2000);
    };
  };
  listen();
  return () => { over = true; clearInterval(timer); stream?.close(); camera?.close(); };
}

async function people(place, { may, say }) {
  const rows = el('tbody'), count = el('p', { class: 'quiet' }), list = table(t('nav.people'), [t('login.name'), t('people.templates'), t('people.since'), ''], []);
  list.querySelector('tbody').replaceWith(rows);
  const search = el('input', { type: 'search', oninput: () => load(true) });
  const more = el('button', { class: 'plain', hidden: true, onclick: () => load(false) }, t('people.more'));
  let next = null, turn = 0;
  async function load(fresh) {
    const mine = ++turn;
    const page = await get(`/people?limit=50&search=${encodeURIComponent(search.value)}${!fresh && next ? `&after=${encodeURIComponent(next)}` : ''}`);
    if (mine !== turn) return;
    if (fresh) rows.replaceChildren();
    next = page.next;
    more.hidden = !next;
    count.textContent = t('people.count', page.total);
    for (const p of page.people) {
      rows.append(el('tr', {}, el('th', { scope: 'row' }, p.person), el('td', {}, String(p.templates)), el('td', {}, when(p.enrolled_unix_ms)),
        el('td', {}, may('admin') ? el('button', { class: 'danger', 'aria-label': `${t('people.remove')} ${p.person}`, onclick: async () => {
          if (!confirm(t('people.sure', p.person))) return;
          await remove(`/people/${encodeURIComponent(p.person)}`).catch((e) => say(e.message));
          await load(true);
        } }, t('people.remove')) : '')));
    }
  }
  let stream = null;
  if (may('admin')) {
    const name = el('input', { required: true, maxlength: 64, name: 'person' }), files = el('input', { type: 'file', accept: 'image/*', multiple: true, name: 'photo' });
    const outcome = el('div', { role: 'status', 'aria-live': 'polite' }), video = el('video', { muted: true, playsInline: true, autoplay: true, class: 'mirror', hidden: true, 'aria-label': t('verify.preview') });
    const taken = [], shots = el('p', { class: 'quiet' });
    const take = el('button', { type: 'button', class: 'plain', hidden: true, onclick: async () => { taken.push(await picture(video, 0.95)); shots.textContent = t('people.taken', taken.length); } }, t('people.take'));
    const camera = el('button', { type: 'button', class: 'plain', onclick: async () => {
      try { stream = await openCamera(); } catch (e) { return outcome.replaceChildren(el('p', { class: 'note bad' }, t(e.name === 'InsecureError' ? 'verify.insecure' : 'verify.nocamera'))); }
      video.srcObject = stream;
      video.hidden = take.hidden = false;
      camera.hidden = true;
    } }, t('people.camera'));
    const send = el('button', { type: 'submit' }, t('people.save'));
    place.append(el('form', { class: 'card', id: 'enrol', onsubmit: async (e) => {
      e.preventDefault();
      const form = new FormData();
      for (const f of files.files) form.append('photo', f, f.name);
      taken.forEach((b, i) => form.append('photo', b, `camera-${i + 1}.jpg`));
      send.disabled = true;
      try {
        const done = await call('POST', `/people/${encodeURIComponent(name.value.trim())}/photos`, form);
        if (done.templates) {
          outcome.replaceChildren(el('p', { class: 'note good' }, t('people.stored', done.person, done.templates)));
          taken.length = 0;
          shots.textContent = '';
          e.target.reset();
        } else outcome.replaceChildren(el('div', { class: 'note bad' }, t('people.refused'), el('ul', {}, ...done.refused.map((r) => el('li', {}, `${r.file}: ${r.reason}${r.person ? ` ${r.person}` : ''}; ${r.hint}`)))));
        await load(true);
      } catch (problem) {
        outcome.replaceChildren(el('p', { class: 'note bad' }, problem.message));
      }
      send.disabled = false;
    } }, el('h2', {}, t('people.enrol')), field(t('login.name'), name), field(t('people.photos'), files), video, shots, el('div', { class: 'row' }, camera, take, send), outcome));
  }
  place.append(field(t('people.search'), search), count, list, more);
  await load(true);
  return () => closeCamera(stream);
}

async function events(place) {
  const kinds = { all: '', access: 'access.', alarm: 'alarm.', door: 'door.,relay.', visit: 'visit.,session.', admin: 'system.admin,person.,command.' };
  const kind = el('select', { onchange: () => load(true) }, ...Object.keys(kinds).map((k) => el('option', { value: k }, t(`events.${k}`))));
  const who = el('input', { type: 'search', onchange: () => load(true) });
  const rows = el('tbody'), list = eventTable([]), none = el('p', { class: 'quiet', hidden: true }, t('events.none'));
  list.querySelector('tbody').replaceWith(rows);
  const PAGE = 500;
  let oldest = null;
  const older = el('button', { class: 'plain', onclick: () => load(false) }, t('events.older'));
  async function load(fresh) {
    if (fresh) { rows.replaceChildren(); oldest = (await get('/events?newest=0&limit=1')).newest + 1; }
    const from = Math.max(0, oldest - 1 - PAGE);
    const filter = `${kinds[kind.value] ? `&type=${kinds[kind.value]}` : ''}${who.value ? `&person=${encodeURIComponent(who.value)}` : ''}`;
    const page = await get(`/events?after=${from}&limit=1000${filter}`);
    for (const e of page.events.filter((e) => e.seq < oldest).reverse()) rows.append(eventRow(e));
    oldest = from + 1;
    older.hidden = from === 0;
    none.hidden = rows.children.length > 0;
  }
  place.append(el('div', { class: 'row' }, field(t('events.kind'), kind), field(t('events.who'), who)), list, none, older);
  await load(true);
}

async function doors(place, { me, may, say }) {
  const { health } = { health: await get('/health') };
  place.append(el('section', { class: 'card' }, el('h2', {}, me.device), el('p', {}, t('health.guard'), ': ', state(health.guard)),
    me.remote_unlock && may('operator') ? el('button', { id: 'unlock', onclick: async () => {
      if (!confirm(t('doors.sure'))) return;
      try { await post('/door/unlock'); say(t('doors.done')); } catch (e) { say(e.message); }
    } }, t('doors.unlock')) : el('p', { class: 'quiet' }, t('doors.off'))));
  const page = await get('/events?newest=500&limit=500&type=access.,door.,relay.,command.');
  place.append(el('h2', {}, t('live.last')), eventTable(page.events.reverse().slice(0, 50).map(eventRow)));
}

async function logs(place) {
  const rows = el('tbody'), list = table(t('nav.logs'), [t('events.time'), t('events.kind'), t('events.what')], []);
  list.querySelector('tbody').replaceWith(rows);
  place.append(list);
  const refresh = async () => rows.replaceChildren(...(await get('/logs')).reverse().slice(0, 200).map((l) => el('tr', {}, el('td', {}, when(l.time)),
    el('td', {}, badge({ error: 'bad', warn: 'warn' }[l.level] || 'info', l.level)), el('td', { class: 'code' }, l.text))));
  await refresh();
  const timer = setInterval(() => refresh().catch(() => {}), 5000);
  return () => clearInterval(timer);
}

async function accounts(place, { say }) {
  const roles = () => el('select', {}, ...['viewer', 'operator', 'admin'].map((r) => el('option', { value: r }, t(`role.${r}`))));
  const removal = (path, name) => el('button', { class: 'danger', 'aria-label': `${t('people.remove')} ${name}`, onclick: async () => {
    if (!confirm(`${t('people.remove')}: ${name}?`)) return;
    await remove(path).catch((e) => say(e.message));
    await load();
  } }, t('people.remove'));
  const users = el('div'), tokens = el('div'), secret = el('div', { role: 'status' });
  async function load() {
    users.replaceChildren(table(t('nav.accounts'), [t('login.name'), t('accounts.role'), ''], (await get('/users')).map((u) => el('tr', {}, el('th', { scope: 'row' }, u.name), el('td', {}, t(`role.${u.role}`)), el('td', {}, removal(`/users/${u.name}`, u.name))))));
    tokens.replaceChildren(table(t('accounts.tokens'), [t('login.name'), t('accounts.role'), ''], (await get('/api-tokens')).map((k) => el('tr', {}, el('th', { scope: 'row' }, k.name), el('td', {}, t(`role.${k.role}`)), el('td', {}, removal(`/api-tokens/${k.id}`, k.name))))));
  }
  const name = el('input', { required: true }), password = el('input', { type: 'password', required: true, minlength: 10, autocomplete: 'new-password' }), role = roles();
  const tokenName = el('input', { required: true }), tokenRole = roles();
  const submit = (what) => async (e) => { e.preventDefault(); try { await what(); e.target.reset(); await load(); } catch (p) { say(p.message); } };
  place.append(users, el('form', { class: 'card', onsubmit: submit(() => post('/users', { name: name.value, role: role.value, password: password.value })) },
    el('h2', {}, t('accounts.add')), el('div', { class: 'row' }, field(t('login.name'), name), field(t('login.password'), password, t('login.hint')), field(t('accounts.role'), role), el('button', {}, t('setup.make')))),
  el('h2', {}, t('accounts.tokens')), tokens, el('form', { class: 'card', onsubmit: submit(async () => {
    const made = await post('/api-tokens', { name: tokenName.value, role: tokenRole.value });
    secret.replaceChildren(el('p', { class: 'note warn' }, t('accounts.secret'), el('br'), el('code', {}, made.secret)));
  }) }, el('h2', {}, t('accounts.token')), el('div', { class: 'row' }, field(t('login.name'), tokenName), field(t('accounts.role'), tokenRole), el('button', {}, t('setup.make'))), secret));
  await load();
}

export const PAGES = [
  { name: 'live', role: 'viewer', show: live },
  { name: 'people', role: 'viewer', show: people },
  { name: 'events', role: 'viewer', show: events },
  { name: 'doors', role: 'viewer', show: doors },
  { name: 'rules', role: 'operator', show: rules },
  { name: 'health', role: 'viewer', show: healthPage(healthCard) },
  { name: 'models', role: 'viewer', show: models },
  { name: 'settings', role: 'admin', show: settings },
  { name: 'logs', role: 'admin', show: logs },
  { name: 'accounts', role: 'admin', show: accounts },
];
