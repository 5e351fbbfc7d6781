"""A page that speaks the calls of the system that compares with an uploaded picture, in Chromium, with a clip as its camera.

Called by tests/socketio.rs. The page is the listener's own; socket.io-client is the one from npm. Prints what the page heard.
"""

import argparse
import base64
import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

RUN = """
async ({ picture, tries }) => {
  const heard = [];
  const socket = io();
  await new Promise((done) => socket.on('connect', done));
  const bytes = Uint8Array.from(atob(picture), (c) => c.charCodeAt(0));
  const form = new FormData();
  form.append('target_image', new File([bytes], 'target.jpg', { type: 'image/jpeg' }));
  form.append('socket_id', socket.id);
  const uploaded = await (await fetch('/upload_target', { method: 'POST', body: form })).json();
  const video = document.createElement('video');
  video.muted = true;
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  await video.play();
  const canvas = document.createElement('canvas');
  socket.on('verification_status', (s) => heard.push(s.message));
  const once = () => new Promise((done) => {
    socket.once('verification_result', done);
    socket.emit('start_verify');
  });
  const timer = setInterval(() => {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext('2d').drawImage(video, 0, 0);
    socket.emit('video_frame', canvas.toDataURL('image/jpeg', 0.8));
  }, 200);
  let result;
  for (let i = 0; i < tries; i += 1) {
    result = await once();
    if (!result.message.includes('timed out')) break;
  }
  clearInterval(timer);
  socket.disconnect();
  return { uploaded, heard, result };
}
"""


def main():
    parser = argparse.ArgumentParser()
    for name in ["url", "clip", "target", "client"]:
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={args.clip}",
        "--no-sandbox",
    ]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_context(permissions=["camera"]).new_page()
        page.goto(args.url)
        page.add_script_tag(path=args.client)
        picture = base64.b64encode(Path(args.target).read_bytes()).decode()
        # On a busy machine pictures come too late to be judged; then one tries again, as a person would.
        seen = page.evaluate(RUN, {"picture": picture, "tries": 5})
        browser.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    sys.exit(main())
