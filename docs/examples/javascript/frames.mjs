// A session whose camera is a directory of JPEG pictures, sent in the order of their names and again from the beginning.
//
//   npm install ws
//   NODE_EXTRA_CA_CERTS=web-cert.pem node frames.mjs --url https://door.local:8443 --token-file token --goal identify --frames DIR
//
// Exit code: 0 granted, 1 denied, 2 try again.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Cardea } from './cardea.mjs';

const text = { type: 'string' };
const { values: args } = parseArgs({ options: { url: text, 'token-file': text, goal: text, person: text, target: text, frames: text, fps: text } });
if (!args.url || !args.frames) {
  console.error('usage: frames.mjs --url URL --frames DIR [--token-file FILE] [--goal GOAL] [--person NAME] [--target FILE] [--fps N]');
  process.exit(64);
}

async function* pictures() {
  const files = (await readdir(args.frames)).filter((f) => f.endsWith('.jpg')).sort();
  let due = performance.now();
  for (let i = 0; ; i += 1) {
    due += 1000 / Number(args.fps ?? 10);
    yield await readFile(join(args.frames, files[i % files.length]));
    await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
  }
}

function show(said) {
  if (said.type !== 'prompt') return;
  const words = said.action ?? said.advice ?? said.phase;
  console.error(said.of ? `${words} (${said.step + 1} of ${said.of})` : words);
}

const token = args['token-file'] && (await readFile(args['token-file'], 'utf8')).trim();
const ask = { goal: args.goal ?? 'identify' };
if (args.person) ask.person = args.person;
try {
  const target = args.target && (await readFile(args.target));
  const result = await new Cardea(args.url, { token }).run(pictures(), ask, { target, onMessage: show });
  console.log(JSON.stringify(result));
  process.exit({ granted: 0, denied: 1 }[result.verdict] ?? 2);
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(70);
}
