// A session of Cardea's API v1 from JavaScript: pictures in, prompts and a verdict out. For browsers and for Node 18 or
// newer, there with `npm install ws`.
//
//   const cardea = new Cardea('https://door.local:8443', { token });
//   const result = await cardea.run(camera(video, { fps: 10, width: 640 }), { goal: 'identify' }, { onMessage: console.log });
//
// `result` is {verdict: 'granted' | 'denied' | 'try_again', token?, advice?}. The token goes to your own server, which
// redeems it once: `redeem`.

export class Refused extends Error {
  constructor(problem) {
    super(`${problem.code}: ${problem.detail}`);
    this.code = problem.code;
  }
}

export class Cardea {
  constructor(url, { token } = {}) {
    this.url = url.replace(/\/$/, '');
    this.token = token;
  }

  async post(path, body, kind = 'application/json') {
    const headers = { 'content-type': kind };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const answer = await fetch(this.url + path, { method: 'POST', headers, body: kind === 'application/json' ? JSON.stringify(body) : body });
    const text = await answer.text();
    if (!answer.ok) throw new Refused(text ? JSON.parse(text) : { code: answer.status, detail: answer.statusText });
    return text ? JSON.parse(text) : null;
  }

  // `pictures`: an async iterator of JPEG bytes (Uint8Array, ArrayBuffer or Blob) at the pace at which they are to be sent.
  async run(pictures, ask, { target, onMessage } = {}) {
    const session = await this.post('/api/v1/sessions', ask);
    if (target) await this.post(`/api/v1/sessions/${session.id}/target`, target, 'image/jpeg');
    const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;
    const socket = new WebSocket(this.url.replace(/^http/, 'ws') + session.ws);
    let result = { verdict: 'try_again', advice: 'connection' };
    const closed = new Promise((done) => {
      socket.onclose = done;
      socket.onerror = done;
      socket.onmessage = (message) => {
        const said = JSON.parse(message.data);
        if (said.type === 'result') result = said;
        onMessage?.(said);
      };
    });
    let over = false;
    closed.then(() => { over = true; });
    await Promise.race([closed, new Promise((open) => { socket.onopen = open; })]);
    for await (const picture of pictures) {
      if (over || result.verdict !== 'try_again' || result.advice !== 'connection') break;
      // What is not sent yet would only be old when it arrives: the newest picture is worth most.
      if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount === 0) socket.send(picture);
    }
    socket.close();
    await closed;
    return result;
  }

  redeem(token) {
    return this.post('/api/v1/tokens/introspect', { token });
  }
}

// Pictures of a playing <video>, through a canvas, as JPEG. Never mirrored: left and right are told from them; mirror
// what the person sees with CSS.
export async function* camera(video, { fps = 10, width = 640 } = {}) {
  const canvas = document.createElement('canvas');
  for (;;) {
    const scale = Math.min(1, width / Math.max(video.videoWidth, video.videoHeight, 1));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
    const [blob] = await Promise.all([
      new Promise((done) => canvas.toBlob(done, 'image/jpeg', 0.85)),
      new Promise((done) => setTimeout(done, 1000 / fps)),
    ]);
    if (blob) yield blob;
  }
}
