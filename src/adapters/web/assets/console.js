// The console: who is there, which page, and the frame around it.
import { el, field } from './dom.js';
import { call, forget, get, post } from './api.js';
import { language, setLanguage, setTheme, t, theme } from './i18n.js';
import { LANGUAGES, NAMES } from './words.js';
import { PAGES } from './pages.js';

const main = document.getElementById('main'), top = document.getElementById('top'), nav = document.getElementById('nav');
const menu = document.getElementById('menu');
let leave = null, me = null, turn = 0;

export function say(text) {
  const said = document.getElementById('said');
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ''; }, 6000);
}

const RANK = { viewer: 1, operator: 2, admin: 3 };
const may = (role) => RANK[me.role] >= RANK[role];

function frame() {
  document.getElementById('skip').textContent = t('nav.skip');
  document.getElementById('device').textContent = me?.device || 'Cardea';
  const options = LANGUAGES.map((l, i) => el('option', { value: l, selected: l === language, lang: l }, NAMES[i]));
  const themes = ['auto', 'light', 'dark'].map((v) => el('option', { value: v, selected: v === theme() }, t(`theme.${v}`)));
  document.getElementById('foot').replaceChildren(
    el('label', {}, t('nav.language'), ' ', el('select', { onchange: (e) => setLanguage(e.target.value) }, ...options)),
    el('label', {}, t('nav.theme'), ' ', el('select', { onchange: (e) => setTheme(e.target.value) }, ...themes)),
    el('a', { href: '/docs' }, 'API'), el('a', { href: '/verify' }, t('nav.verify')),
    ...(me?.authenticated ? [el('span', { class: 'push' }, `${me.name.split(':').pop()} (${t(`role.${me.role}`)})`),
      el('button', { class: 'plain', id: 'logout', onclick: logout }, t('nav.logout'))] : []));
  top.hidden = !me?.authenticated;
  menu.textContent = t('nav.menu');
  nav.setAttribute('aria-label', t('nav.main'));
  if (me?.authenticated) nav.replaceChildren(...PAGES.filter((p) => may(p.role)).map((p) => el('a', { href: `#/${p.name}`, 'data-page': p.name }, t(`nav.${p.name}`))));
}

menu.addEventListener('click', () => {
  const open = nav.classList.toggle('open');
  menu.setAttribute('aria-expanded', String(open));
});

async function logout() {
  leave?.();
  leave = null;
  await post('/logout').catch(() => {});
  forget();
  // Before the hash: its change shows the first page to whoever is still known here.
  me = null;
  location.hash = '';
  await begin();
}

function form(title, fields, button, submit) {
  const trouble = el('p', { class: 'note bad', role: 'alert', hidden: true });
  const send = el('button', { type: 'submit' }, button);
  const f = el('form', { class: 'card narrow', onsubmit: async (e) => {
    e.preventDefault();
    send.disabled = true;
    trouble.hidden = true;
    try {
      await submit();
    } catch (problem) {
      trouble.textContent = problem.code === 'network' ? t('error.network') : problem.message;
      trouble.hidden = false;
    }
    send.disabled = false;
  } }, el('h1', {}, title), trouble, ...fields, send);
  main.replaceChildren(f);
  f.querySelector('input')?.focus();
}

function login() {
  document.title = `${t('login.title')} · Cardea`;
  const name = el('input', { name: 'name', autocomplete: 'username', required: true }), password = el('input', { type: 'password', name: 'password', autocomplete: 'current-password', required: true });
  form(t('login.title'), [field(t('login.name'), name), field(t('login.password'), password)], t('login.title'), async () => {
    await post('/login', { name: name.value, password: password.value });
    await begin();
  });
}

function setup() {
  document.title = `${t('setup.title')} · Cardea`;
  const code = el('input', { name: 'code', autocomplete: 'one-time-code', required: true }), name = el('input', { name: 'name', autocomplete: 'username', required: true, pattern: '[A-Za-z0-9_.\\-]{1,32}' });
  const password = el('input', { type: 'password', name: 'password', autocomplete: 'new-password', required: true, minlength: 10 });
  form(t('setup.title'), [field(t('setup.code'), code, t('setup.where')), field(t('login.name'), name), field(t('login.password'), password, t('login.hint'))], t('setup.make'), async () => {
    await post('/setup', { code: code.value, name: name.value, password: password.value });
    await begin();
  });
}

async function show() {
  if (!me?.authenticated) return;
  leave?.();
  leave = null;
  const mine = ++turn;
  const wanted = location.hash.slice(2).split('?')[0];
  const page = PAGES.find((p) => p.name === wanted && may(p.role)) || PAGES[0];
  for (const a of nav.querySelectorAll('a')) {
    if (a.dataset.page === page.name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  nav.classList.remove('open');
  menu.setAttribute('aria-expanded', 'false');
  document.title = `${t(`nav.${page.name}`)} · ${me.device} · Cardea`;
  const place = el('div', { id: `page-${page.name}` }, el('h1', {}, t(`nav.${page.name}`)));
  main.replaceChildren(place);
  main.focus({ preventScroll: true });
  try {
    const end = await page.show(place, { me, may, say });
    // Somebody may have gone on to another page while this one was loading.
    if (mine !== turn) return end?.();
    leave = end;
    place.dataset.ready = 'yes';
  } catch (problem) {
    if (problem.status === 401) return begin();
    place.append(el('p', { class: 'note bad', role: 'alert' }, problem.code === 'network' ? t('error.network') : problem.message));
  }
}

async function begin() {
  leave?.();
  leave = null;
  try {
    me = await get('/me');
  } catch {
    main.replaceChildren(el('p', { class: 'note bad', role: 'alert' }, t('error.network')));
    setTimeout(begin, 3000);
    return;
  }
  frame();
  if (me.authenticated) await show();
  else if (me.setup_needed) setup();
  else login();
}

addEventListener('hashchange', show);
await begin();
