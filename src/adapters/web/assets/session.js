// A session from the browser's side: camera in, prompts and the verdict out. Knows nothing of pages.
import { post, remove, socket } from './api.js';

const WIDTH = 640;

export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) throw Object.assign(new Error('insecure'), { name: 'InsecureError' });
  return navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: 'user', width: { ideal: WIDTH }, height: { ideal: 480 } } });
}

export function closeCamera(stream) {
  stream?.getTracks().forEach((t) => t.stop());
}

// One picture of a playing video as JPEG, never mirrored: left and right are told from it.
export function picture(video, quality = 0.85) {
  const scale = Math.min(1, WIDTH / Math.max(video.videoWidth, video.videoHeight, 1));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, 'image/jpeg', quality));
}

// Runs one session. `ask` is the body of POST /sessions; `target` a Blob to compare with. `on` hears every message.
// Ends with the result, or {verdict: 'try_again', advice: 'connection'}.
export async function run(video, ask, { target, on, fps = 10, signal } = {}) {
  const session = await post('/sessions', ask);
  try {
    if (target) await post(`/sessions/${session.id}/target`, target);
  } catch (e) {
    remove(`/sessions/${session.id}`).catch(() => {});
    throw e;
  }
  const ws = socket(session.ws);
  ws.binaryType = 'arraybuffer';
  let outcome = null, timer = null;
  const result = new Promise((done) => {
    ws.onmessage = (m) => {
      const said = JSON.parse(m.data);
      if (said.type === 'result') outcome = said;
      on?.(said);
    };
    ws.onclose = () => done(outcome || { verdict: 'try_again', advice: 'connection' });
    ws.onerror = () => ws.close();
  });
  signal?.addEventListener('abort', () => ws.close());
  await new Promise((open) => { ws.addEventListener('open', open); ws.addEventListener('close', open); });
  let busy = false;
  timer = setInterval(async () => {
    // What is not sent yet would only be old when it arrives.
    if (busy || ws.readyState !== WebSocket.OPEN || ws.bufferedAmount > 0 || !video.videoWidth) return;
    busy = true;
    try {
      const blob = await picture(video);
      if (blob && ws.readyState === WebSocket.OPEN) ws.send(await blob.arrayBuffer());
    } finally {
      busy = false;
    }
  }, 1000 / fps);
  const ended = await result;
  clearInterval(timer);
  return ended;
}
