// The self-service page, and the kiosk: start, camera, prompts step by step, result, again.
import { el, field } from './dom.js';
import { get } from './api.js';
import { language, t, theme, setLanguage, setTheme } from './i18n.js';
import { LANGUAGES, NAMES } from './words.js';
import { closeCamera, openCamera, run } from './session.js';

const main = document.getElementById('main');
const kiosk = location.pathname === '/kiosk';
const query = new URLSearchParams(location.search);
document.body.classList.toggle('kiosk', kiosk);
document.title = `${t('verify.title')} · Cardea`;
const ARROWS = { turn_left: '←', turn_right: '→', nod: '↓', centre: '•', blink: '◡ ◡', mouth_open: 'O', smile: '⌣', brow_raise: '⌃ ⌃', wink_left: '◡ ○', wink_right: '○ ◡', tongue: '⩌' };
const SIGNS = { granted: '✓', denied: '✕', try_again: '↻' };
const AGAIN_AFTER = 8000;
let goal = query.get('goal') || 'identify', person = query.get('person') || '', photo = null;

function choose() {
  const radio = (value) => el('label', { class: 'row' }, el('input', { type: 'radio', name: 'goal', value, checked: goal === value, onchange: () => { goal = value; start(); } }), t(`goal.${value}`));
  const name = el('input', { type: 'text', value: person, autocomplete: 'name', maxlength: 64, oninput: (e) => { person = e.target.value.trim(); } });
  const file = el('input', { type: 'file', accept: 'image/*', onchange: (e) => { photo = e.target.files[0] || null; } });
  return el('fieldset', { class: 'card hide-kiosk' }, el('legend', {}, t('verify.who')), ...['identify', 'verify', 'liveness'].map(radio),
    goal === 'verify' ? field(t('verify.name'), name) : '', goal === 'verify' ? field(t('verify.photo'), file) : '');
}

function start(trouble) {
  main.replaceChildren(el('h1', {}, t('verify.title')), trouble ? el('p', { class: 'note bad', role: 'alert' }, trouble) : '',
    el('p', {}, t('verify.intro')), choose(), el('button', { id: 'start', onclick: begin }, t('verify.start')));
  if (kiosk && !trouble) document.getElementById('start').focus();
}

async function begin() {
  if (kiosk) document.documentElement.requestFullscreen?.().catch(() => {});
  const video = el('video', { muted: true, playsInline: true, autoplay: true, class: 'mirror', 'aria-label': t('verify.preview') });
  const big = el('p', { class: 'big', id: 'prompt' }, t('verify.camera'));
  const arrow = el('div', { class: 'arrow', 'aria-hidden': 'true' }), small = el('p', { class: 'quiet' });
  const bar = el('progress', { max: 1, 'aria-label': t('verify.title') });
  bar.value = 0;
  const abort = new AbortController();
  main.replaceChildren(el('h1', {}, t('verify.title')), el('div', { class: 'ask', role: 'status', 'aria-live': 'assertive' }, arrow, big, small), bar,
    el('div', { class: 'stage' }, video), el('p', {}, el('button', { class: 'plain', onclick: () => abort.abort() }, t('verify.stop'))));
  let stream;
  try {
    stream = await openCamera();
  } catch (e) {
    return start(t(e.name === 'InsecureError' ? 'verify.insecure' : 'verify.nocamera'));
  }
  video.srcObject = stream;
  await video.play().catch(() => {});
  const began = performance.now();
  let steps = 0;
  const hear = (said) => {
    if (said.type !== 'prompt') return;
    const text = said.action ? t(`action.${said.action}`) : said.advice ? t(`advice.${said.advice}`) : t(`phase.${said.phase}`);
    if (big.textContent !== text) big.textContent = text;
    arrow.textContent = said.action ? ARROWS[said.action] || '' : '';
    const count = said.of ? t('verify.step', Math.min(said.step + 1, said.of), said.of) : '';
    small.textContent = [count, said.left > 1 ? t('verify.more', said.left) : ''].filter(Boolean).join(' · ');
    steps = Math.max(steps, said.step);
    if (said.of) { bar.max = said.of; bar.value = said.step; }
  };
  const ask = { goal };
  if (goal === 'verify' && !photo) ask.person = person;
  let result;
  try {
    result = await run(video, ask, { target: goal === 'verify' ? photo : null, on: hear, signal: abort.signal });
  } catch (e) {
    closeCamera(stream);
    return start(e.status === 401 || e.code === 'role' ? t('verify.sign_in') : e.code === 'network' ? t('error.network') : e.message);
  }
  closeCamera(stream);
  done(result, steps, (performance.now() - began) / 1000);
}

function done(result, steps, seconds) {
  const kind = { granted: 'good', denied: 'bad', try_again: 'warn' }[result.verdict];
  const again = el('button', { id: 'again', onclick: () => (kiosk ? start() : begin()) }, t('verify.again'));
  main.replaceChildren(el('h1', {}, t('verify.done')),
    el('section', { class: `card outcome ${kind}`, id: 'outcome', 'data-verdict': result.verdict, role: 'alert' },
      el('div', { class: 'sign', 'aria-hidden': 'true' }, SIGNS[result.verdict]), el('p', { class: 'big' }, t(`verdict.${result.verdict}`)),
      result.advice ? el('p', {}, t(`advice.${result.advice}`)) : ''),
    el('p', { class: 'quiet' }, t('verify.steps', steps), ' · ', t('verify.time', seconds.toFixed(0))), el('p', {}, again));
  again.focus();
  // A page that embeds this one as a window of its own hands the token to its server.
  if (result.token && window.opener && query.get('origin')) window.opener.postMessage({ type: 'cardea', token: result.token }, query.get('origin'));
  if (kiosk) setTimeout(() => document.getElementById('outcome') && start(), AGAIN_AFTER);
}

function foot() {
  const options = LANGUAGES.map((l, i) => el('option', { value: l, selected: l === language, lang: l }, NAMES[i]));
  const themes = ['auto', 'light', 'dark'].map((v) => el('option', { value: v, selected: v === theme() }, t(`theme.${v}`)));
  document.getElementById('foot').replaceChildren(
    el('label', {}, t('nav.language'), ' ', el('select', { onchange: (e) => setLanguage(e.target.value) }, ...options)),
    el('label', {}, t('nav.theme'), ' ', el('select', { onchange: (e) => setTheme(e.target.value) }, ...themes)),
    el('a', { href: '/', class: 'push' }, 'Cardea'));
}

foot();
// Someone who has logged in may begin a session too; the token against forged requests comes with this.
const me = await get('/me').catch(() => null);
if (!me) start(t('error.network'));
else if (!me.self_service && !me.authenticated) start(t('verify.sign_in'));
else start();
