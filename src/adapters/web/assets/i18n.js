// The language: chosen on the page, else that of the browser, else English.
import { LANGUAGES, WORDS } from './words.js';

const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const asked = new URLSearchParams(location.search).get('lang');
const wished = [asked, stored('lang'), ...(navigator.languages || [])].filter(Boolean).map((l) => l.slice(0, 2).toLowerCase());
export const language = wished.find((l) => LANGUAGES.includes(l)) || 'en';
const column = LANGUAGES.indexOf(language);
document.documentElement.lang = language;

export function t(key, ...values) {
  const row = WORDS[key];
  // A word that is missing is seen, not hidden.
  const text = row ? row[column] : key;
  return text.replace(/\{(\d)\}/g, (_, n) => values[n]);
}
export const known = (key) => key in WORDS;

export function setLanguage(l) {
  try { localStorage.setItem('lang', l); } catch { /* private windows keep nothing */ }
  location.search = '';
  location.reload();
}

export const theme = () => stored('theme') || 'auto';
export function setTheme(value) {
  try { localStorage.setItem('theme', value); } catch { /* as above */ }
  applyTheme(value);
}
function applyTheme(value) {
  if (value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}
applyTheme(theme());

export const when = (iso) => new Date(iso).toLocaleString(language, { dateStyle: 'short', timeStyle: 'medium' });
