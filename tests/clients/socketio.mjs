// A client with the real socket.io-client, led by tests/socketio.rs: a command a line on standard input, an event a line on
// standard output.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const [url, transport] = process.argv.slice(2);
const say = (event, data) => process.stdout.write(`${JSON.stringify({ event, data })}\n`);
const socket = io(url, { reconnection: false, ...(transport === 'both' ? {} : { transports: [transport] }) });
socket.on('connect', () => say('connected', socket.id));
socket.on('connect_error', (e) => say('connect_error', e.message));
socket.on('disconnect', (reason) => say('disconnected', reason));
socket.io.engine?.on('upgrade', (t) => say('upgraded', t.name));
socket.onAny((event, data) => say(event, data));

let camera = null;
const commands = {
  // Pictures of a directory in the order of their names, again from the beginning; as text, object or binary.
  async frames({ dir, fps, event = 'video_frame', as = 'text' }) {
    const files = (await readdir(dir)).filter((f) => f.endsWith('.jpg')).sort();
    const all = await Promise.all(files.map((f) => readFile(join(dir, f))));
    const forms = { binary: (p) => p, text: (p) => `data:image/jpeg;base64,${p.toString('base64')}`, object: (p) => ({ image: `data:image/jpeg;base64,${p.toString('base64')}` }) };
    let i = 0;
    clearInterval(camera);
    camera = setInterval(() => socket.emit(event, forms[as](all[i++ % all.length])), 1000 / fps);
  },
  dark: () => clearInterval(camera),
  emit: ({ event, data }) => (data === undefined ? socket.emit(event) : socket.emit(event, data)),
  // Bytes of one value, as many as asked for.
  bytes: ({ event, count, text }) => socket.emit(event, text ? 'x'.repeat(count) : Buffer.alloc(count, 7)),
  // Past the client's own coding: a packet as it goes over the wire.
  raw: ({ packet }) => socket.io.engine.write(packet),
  flood: ({ event, count }) => { for (let i = 0; i < count; i += 1) socket.emit(event, i); },
  async upload({ files = {}, fields = {} }) {
    const form = new FormData();
    for (const [name, path] of Object.entries(files)) form.set(name, new Blob([path ? await readFile(path) : '']), path ? 'face.jpg' : '');
    for (const [name, value] of Object.entries(fields)) form.set(name, value === 'own' ? socket.id : value);
    const answer = await fetch(`${url}/upload_target`, { method: 'POST', body: form });
    say('uploaded', { status: answer.status, body: await answer.json() });
  },
  leave: () => socket.disconnect(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  try {
    await commands[command](rest);
  } catch (e) {
    say('failed', String(e));
  }
}
process.exit(0);
