// The API as pages use it. The token against forged requests lives in memory only.
let csrf = null;

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    Object.assign(this, problem);
  }
}

export async function call(method, path, body, extra = {}) {
  const headers = { ...extra };
  if (csrf && method !== 'GET') headers['X-CSRF-Token'] = csrf;
  let payload = body;
  if (body !== undefined && !(body instanceof Blob) && !(body instanceof FormData)) {
    headers['Content-Type'] = 'application/json';
    payload = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, { method, headers, body: payload, credentials: 'same-origin' });
  } catch {
    throw new Refused({ status: 0, code: 'network', title: 'network', detail: '' });
  }
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok && !(value && value.person)) throw new Refused(value || { status: answer.status, code: 'http', title: answer.statusText });
  if (value && value.csrf) csrf = value.csrf;
  return value;
}

export const get = (path) => call('GET', path);
export const post = (path, body) => call('POST', path, body);
export const remove = (path) => call('DELETE', path);
export const forget = () => { csrf = null; };

export function socket(path) {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return new WebSocket(`${scheme}://${location.host}${path}`);
}
