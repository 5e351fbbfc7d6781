// The visitor's camera, and single pictures of it as JPEG.

export async function open(video, width = 640) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { width, height: (width * 3) / 4, facingMode: "user" },
    audio: false,
  });
  video.srcObject = stream;
  await video.play();
  return () => stream.getTracks().forEach((track) => track.stop());
}

const canvas = document.createElement("canvas");

function draw(video) {
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
}

// As `data:image/jpeg;base64,…`.
export function grab(video) {
  draw(video);
  return canvas.toDataURL("image/jpeg", 0.9);
}

export function blob(video) {
  draw(video);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
}

// Draws a box in the picture's pixels over the mirrored video.
export function box(over, video, rect, colour, word) {
  over.width = video.videoWidth;
  over.height = video.videoHeight;
  const pen = over.getContext("2d");
  pen.clearRect(0, 0, over.width, over.height);
  if (!rect) return;
  const [x, y, w, h] = rect;
  const left = over.width - x - w;
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 4;
  pen.strokeRect(left, y, w, h);
  pen.font = "bold 24px sans-serif";
  pen.fillText(word, left, Math.max(24, y - 8));
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export function denied(message, error) {
  message.textContent =
    error.name === "NotAllowedError"
      ? "The camera was not allowed. Allow it in the browser's address bar and reload the page."
      : "There is no camera, or the page was not loaded over HTTPS or from this machine.";
}
