import { blob, box, denied, open, pause } from "./camera.js";

const byId = (id) => document.getElementById(id);
const [video, over, message, face] = ["video", "over", "message", "face"].map(byId);

async function run() {
  for (;;) {
    const body = await blob(video);
    const answer = await fetch("/face/frame", { method: "POST", headers: { "Content-Type": "image/jpeg" }, body });
    const said = await answer.json();
    if (said.error) throw new Error(said.error);
    message.textContent = said.message;
    face.textContent = said.face ? `Face: ${said.face}` : "";
    face.className = said.face === "real" ? "go" : "no";
    box(over, video, said.box, said.face === "real" ? "#2ea043" : "#da3633", said.face ?? "");
    if (said.next) {
      location.href = said.next;
      return;
    }
    await pause(60);
  }
}

try {
  const close = await open(video);
  await run().finally(close);
} catch (error) {
  if (error instanceof DOMException) denied(message, error);
  else message.textContent = error.message;
}
