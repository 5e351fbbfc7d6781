import { denied, grab, open, pause } from "./camera.js";

const CHALLENGES = ["front", "right", "left", "blink"];
const EVERY_MS = 500;
const byId = (id) => document.getElementById(id);
const [video, message, start, summary, results] = ["video", "message", "start", "summary", "results"].map(byId);

const call = async (path, body) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
};

const mark = (challenge, word) => {
  document.querySelector(`#steps [data-challenge=${challenge}]`).className = word;
};

// One step: pictures until it is done. The one that did it is kept for the end; after it none is sent.
async function step(challenge) {
  mark(challenge, "now");
  for (;;) {
    const began = performance.now();
    const frame = grab(video);
    const said = await call("/api/process-frame", { challenge, frame });
    message.textContent = said.message;
    if (said.success) {
      mark(challenge, "done");
      return { challenge, frame };
    }
    if (said.debug_info?.restart) {
      mark(challenge, "failed");
      return null;
    }
    await pause(Math.max(0, EVERY_MS - (performance.now() - began)));
  }
}

async function run() {
  const frames = [];
  for (const challenge of CHALLENGES) {
    const done = await step(challenge);
    if (!done) return false;
    frames.push(done);
  }
  const said = await call("/api/liveness-detection", { frames });
  message.textContent = said.message;
  results.replaceChildren(
    ...said.results.map((r) => {
      const row = document.createElement("li");
      row.className = r.success ? "done" : "failed";
      row.textContent = `${r.challenge}: ${r.message}`;
      return row;
    }),
  );
  summary.hidden = false;
  return said.success;
}

start.addEventListener("click", async () => {
  start.hidden = summary.hidden = true;
  CHALLENGES.forEach((c) => mark(c, ""));
  let close;
  try {
    close = await open(video);
  } catch (error) {
    start.hidden = false;
    return denied(message, error);
  }
  let success = false;
  try {
    success = await run();
  } catch (error) {
    message.textContent = error.message;
  }
  close();
  message.className = success ? "go" : "no";
  message.dataset.success = success;
  start.textContent = success ? "Once more" : "Try again";
  start.hidden = false;
});
