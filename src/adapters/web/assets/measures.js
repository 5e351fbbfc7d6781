// The pages of health and of models: what was measured, as plots and as words.
import { el, plot, table } from './dom.js';
import { get } from './api.js';
import { t, when } from './i18n.js';
import { det, histogram, interval, percent, times } from './plots.js';

const facts = (rows) => el('dl', {}, ...rows.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));

export function healthPage(healthCard) {
  return async (place) => {
    const now = el('div'), plots = el('div', { class: 'grid' }), nets = el('div'), rows = el('div');
    place.append(now, plots, el('h2', {}, t('health.times')), nets, rows);
    const series = { fps: [], age: [], sessions: [], disk: [], heat: [] };
    const refresh = async () => {
      const h = await get('/health'), s = h.sessions, heat = h.processor_celsius;
      const dropped = s.frames_replaced_total + s.frames_too_many_total + s.frames_refused_total;
      const push = (list, v) => { list.push(v); if (list.length > 150) list.shift(); };
      push(series.fps, h.camera.fps);
      push(series.age, h.camera.age_ms);
      push(series.sessions, s.sessions);
      push(series.disk, h.disk_free_mb);
      push(series.heat, heat);
      now.replaceChildren(el('div', { class: 'grid' }, healthCard(h), el('section', { class: 'card' }, facts([
        [t('health.disk'), `${h.disk_free_mb} MB`], [t('health.heat'), heat === null ? t('health.unknown') : `${heat.toFixed(1)} °C`], [t('health.pack'), h.model_pack],
        [t('health.pad'), h.passive_pad ? t('state.yes') : t('state.no')], [t('health.records'), String(h.seq)],
        [t('health.sessions'), `${s.sessions} / ${s.sessions_total}`], [t('health.dropped'), `${dropped} / ${s.frames_total}`], ['Cardea', h.version]]))));
      const lines = [[t('health.fps'), series.fps, '/s', 1], [t('health.age'), series.age, 'ms', 0], [t('health.disk'), series.disk, 'MB', 0], [t('health.sessions'), series.sessions, '', 0]];
      if (heat !== null) lines.push([t('health.heat'), series.heat, '°C', 1]);
      plots.replaceChildren(...lines.map(([label, values, unit, digits]) => el('div', { class: 'card' }, plot(label, values, unit, digits))));
      const ran = h.networks.filter((n) => n.runs);
      nets.replaceChildren(el('div', { class: 'grid' }, ...ran.map((n) => el('div', { class: 'card' }, times(`${n.role} · ${n.name}`,
        [{ name: t('health.p50'), now: n.p50_ms, values: n.p50, kind: 'line' }, { name: t('health.p95'), now: n.p95_ms, values: n.p95, kind: 'line second' }], 'ms')))));
      const ms = (v) => (v === null ? '–' : `${v.toFixed(1)} ms`);
      // The table is the reader's own: it is not taken away from whoever scrolls in it.
      const body = h.networks.map((n) => el('tr', {}, el('td', {}, n.role), el('th', { scope: 'row' }, n.name), el('td', {}, ms(n.p50_ms)), el('td', {}, ms(n.p95_ms)), el('td', {}, String(n.runs))));
      const old = rows.querySelector('tbody');
      if (old) old.replaceChildren(...body);
      else rows.replaceChildren(table(t('health.times'), [t('models.role'), t('login.name'), t('health.p50'), t('health.p95'), t('health.runs')], body));
    };
    await refresh();
    const timer = setInterval(() => refresh().catch(() => {}), 2000);
    return () => clearInterval(timer);
  };
}

const COMMANDS = ['cardea eval faces --all-pairs labels.csv --root DIR --templates 3 --keep', 'cardea eval gallery --labels labels.csv --root DIR --keep', 'cardea eval pad --labels labels.csv --root DIR --keep'];

function faces(f) {
  const rates = Object.entries(f.fnmr_at_fmr).filter(([, r]) => r).map(([fmr, r]) => el('tr', {}, el('th', { scope: 'row' }, fmr), el('td', {}, percent(r.fnmr)),
    el('td', {}, `${percent(r.lo)} – ${percent(r.hi)}`), el('td', {}, r.threshold.toFixed(3)), el('td', {}, r.shown ? '' : t('models.few'))));
  const step = Math.max(1, Math.ceil(f.det.length / 12)), points = f.det.filter((_, i) => i % step === 0 || i === f.det.length - 1);
  const counts = (h) => h.genuine.map((g, i) => [h.from + (i / h.genuine.length) * (h.to - h.from), g, h.impostor[i]]);
  return [facts([[t('models.pairs'), `${f.genuine} ${t('models.genuine')}, ${f.impostor} ${t('models.impostor')}`], [t('models.eer'), percent(f.eer)]]),
    el('div', { class: 'grid charts' }, f.det.length ? det(t('models.det'), f.det, t('models.fmr'), t('models.fnmr')) : '', f.histogram ? histogram(t('models.scores'), f.histogram, t('models.genuine'), t('models.impostor')) : ''),
    table(`${t('models.fnmr')} / ${t('models.fmr')}`, [t('models.fmr'), t('models.fnmr'), t('models.interval'), t('models.threshold'), ''], rates),
    el('details', {}, el('summary', {}, t('models.numbers')),
      f.det.length ? table(t('models.det'), [t('models.threshold'), t('models.fmr'), t('models.fnmr')], points.map((p) => el('tr', {}, el('td', {}, p.threshold.toFixed(3)), el('td', {}, percent(p.fmr)), el('td', {}, percent(p.fnmr))))) : '',
      f.histogram ? table(t('models.scores'), [t('models.scores'), t('models.genuine'), t('models.impostor')], counts(f.histogram).map(([s, g, i]) => el('tr', {}, el('td', {}, s.toFixed(2)), el('td', {}, String(g)), el('td', {}, String(i))))) : '')];
}

const gallery = (g) => [facts([[t('models.enrolled'), String(g.enrolled)],
  [t('models.missed'), `${percent(g.fnir)} (≤ ${percent(g.fnir_hi)}; ${g.genuine_tries})`], [t('models.wrong'), String(g.wrong_person)],
  [t('models.strangers'), `${percent(g.fpir)} (≤ ${percent(g.fpir_hi)}; ${g.strangers_accepted} / ${g.strangers})`], [t('models.threshold'), g.threshold.toFixed(3)]])];

const pad = (p) => [table(t('health.pad'), [t('models.source'), t('models.species'), t('models.error'), t('models.rate'), t('models.interval'), ''], p.groups.map((g) => el('tr', {}, el('td', {}, g.source),
  el('th', { scope: 'row' }, `${g.species} (${g.kind})`), el('td', {}, t(g.species === 'live' ? 'models.refused' : 'models.accepted', g.errors, g.n)), el('td', {}, percent(g.rate)),
  el('td', {}, `${percent(g.lo)} – ${percent(g.hi)}`), el('td', {}, interval(g.rate, g.lo, g.hi)))))];

function result(e) {
  const head = el('h3', {}, `cardea eval ${e.name}`);
  if (e.problem) return el('section', { class: 'card' }, head, el('p', { class: 'note bad' }, e.problem));
  return el('section', { class: 'card' }, head, el('p', { class: 'quiet' }, [when(e.at), e.pack, e.precision].filter(Boolean).join(' · ')),
    ...(e.faces ? faces(e.faces) : []), ...(e.gallery ? gallery(e.gallery) : []), ...(e.pad ? pad(e.pad) : []));
}

export async function models(place) {
  const rows = (await get('/models')).map((m) => el('tr', {}, el('td', {}, m.role), el('td', {}, m.name), el('td', {}, m.precision),
    el('td', {}, el('code', {}, m.file), el('br'), el('code', { class: 'quiet' }, m.sha256.slice(0, 16))), el('td', {}, m.licence)));
  const kept = await get('/evaluations');
  place.append(table(t('nav.models'), [t('models.role'), t('login.name'), t('models.precision'), t('models.file'), t('models.licence')], rows), el('h2', {}, t('models.measured')), ...kept.map(result));
  if (!kept.length) place.append(el('p', {}, t('models.none')), el('ul', {}, ...COMMANDS.map((c) => el('li', {}, el('code', { class: 'code' }, c)))));
}
