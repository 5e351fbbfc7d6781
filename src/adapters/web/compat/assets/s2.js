import { box, denied, grab, open, pause } from "./camera.js";

const byId = (id) => document.getElementById(id);
const [video, over, message, step, start] = ["video", "over", "message", "step", "start"].map(byId);

const call = async (path, body) => {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
};

async function run() {
  const session = await call("/start", {});
  if (!session.success) throw new Error(session.error);
  const { session_id } = session;
  message.textContent = session.instruction;
  for (;;) {
    const said = await call("/process", { session_id, image: grab(video) });
    if (!said.success) throw new Error(said.error);
    message.textContent = said.instruction ?? said.message;
    step.textContent = `Step ${said.current_step} of ${said.total_steps}`;
    if (said.verification_complete) return (await call("/complete", { session_id })).timestamp;
    if (said.verification_failed) return null;
    await pause(100);
  }
}

start.addEventListener("click", async () => {
  start.hidden = true;
  let close;
  try {
    close = await open(video);
  } catch (error) {
    start.hidden = false;
    return denied(message, error);
  }
  try {
    const done = await run();
    message.className = done ? "go" : "no";
  } catch (error) {
    message.className = "no";
    message.textContent = error.message;
  }
  close();
  box(over, video, null);
  start.textContent = "Try again";
  start.hidden = false;
});
