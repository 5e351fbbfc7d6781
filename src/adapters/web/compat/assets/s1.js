import { box, denied, grab, open } from "./camera.js";

// Another address: ?ws=ADDRESS; the pause between pictures in milliseconds: ?interval=200; their width: ?width=320.
const asked = new URLSearchParams(location.search);
const here = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
const byId = (id) => document.getElementById(id);
const [video, over, message, start, reset] = ["video", "over", "message", "start", "reset"].map(byId);

function show(said) {
  if (said.type !== "result") {
    if (said.message) message.textContent = said.message;
    return;
  }
  if (!said.face_detected) {
    box(over, video, null);
    message.textContent = said.message;
    return;
  }
  const word = said.is_real ? "REAL" : "SPOOF";
  box(over, video, said.bbox, said.is_real ? "#2ea043" : "#da3633", word);
  message.className = said.is_real ? "go" : "no";
  message.dataset.passed = said.active_check_passed;
  message.textContent = `${word}: ${said.active_check_message}`;
}

start.addEventListener("click", async () => {
  start.hidden = true;
  try {
    await open(video, Number(asked.get("width") ?? 640));
  } catch (error) {
    start.hidden = false;
    return denied(message, error);
  }
  const socket = new WebSocket(asked.get("ws") ?? here);
  let timer;
  socket.onopen = () => {
    reset.hidden = false;
    timer = setInterval(() => {
      if (socket.bufferedAmount > 1e6) return;
      socket.send(JSON.stringify({ type: "frame", data: grab(video).split(",")[1] }));
    }, Number(asked.get("interval") ?? 100));
  };
  socket.onmessage = (event) => show(JSON.parse(event.data));
  socket.onclose = () => {
    clearInterval(timer);
    message.textContent = "The connection is closed. Reload the page.";
  };
  reset.onclick = () => socket.send(JSON.stringify({ type: "reset_active_check" }));
});
