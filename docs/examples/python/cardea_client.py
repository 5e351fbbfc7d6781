"""A session of Cardea's API v1 from Python: pictures in, prompts and a verdict out.

    pip install websockets
    python cardea_client.py --url https://door.local:8443 --ca web-cert.pem --token-file token --goal identify --frames DIR

DIR holds JPEG pictures, sent in the order of their names and again from the beginning. In a program of your own hand
`run` any source of JPEG bytes, for example a camera:

    def camera():
        capture = cv2.VideoCapture(0)
        while True:
            ok, picture = capture.read()
            if ok:
                yield cv2.imencode(".jpg", picture)[1].tobytes()

    result = Cardea("https://door.local:8443", ca="web-cert.pem", token="cardea_...").run(camera(), goal="identify")

Exit code: 0 granted, 1 denied, 2 try again.
"""

import argparse
import itertools
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Refused(Exception):
    """The terminal said no: `code` is a stable word, `detail` a sentence."""

    def __init__(self, problem):
        super().__init__(f"{problem.get('code')}: {problem.get('detail')}")
        self.code = problem.get("code")
        self.detail = problem.get("detail")


class Cardea:
    def __init__(self, url, ca=None, token=None):
        self.url = url.rstrip("/")
        self.token = token
        # The terminal's certificate is its own: trust this file and nothing else.
        self.tls = ssl.create_default_context(cafile=ca) if url.startswith("https") else None

    def post(self, path, body, kind="application/json"):
        headers = {"Content-Type": kind}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(json.loads(error.read())) from error
        return json.loads(text) if text else None

    def run(self, pictures, goal="identify", person=None, target=None, fps=10, on_message=None):
        """One session. Returns its result: {"verdict": "granted|denied|try_again", "token"?, "advice"?}."""
        ask = {"goal": goal}
        if person:
            ask["person"] = person
        session = self.post("/api/v1/sessions", ask)
        if target:
            self.post(f"/api/v1/sessions/{session['id']}/target", target, kind="image/jpeg")
        address = self.url.replace("http", "ws", 1) + session["ws"]
        with connect(address, ssl=self.tls, max_size=1 << 20) as socket:
            for picture in pictures:
                due = time.monotonic() + 1 / fps
                try:
                    socket.send(picture)
                except ConnectionClosed:
                    # Over; what was said before is still there to be heard.
                    due += 1
                result = hear_until(socket, due, on_message)
                if result:
                    return result
        return {"verdict": "try_again", "advice": "connection"}

    def redeem(self, token):
        """What a token says; only the first time. For your server, with a token of the role operator."""
        return self.post("/api/v1/tokens/introspect", {"token": token})


def hear_until(socket, due, on_message):
    """Hears what there is until `due`; the result, if it is among it."""
    while (left := due - time.monotonic()) > 0:
        try:
            said = json.loads(socket.recv(timeout=left))
        except TimeoutError:
            return None
        except ConnectionClosed:
            return {"verdict": "try_again", "advice": "connection"}
        if on_message:
            on_message(said)
        if said["type"] == "result":
            return said
    return None


def show(said):
    if said["type"] == "prompt":
        words = said.get("action") or said.get("advice") or said["phase"]
        print(f"{words} ({said['step'] + 1} of {said['of']})" if said.get("of") else words, file=sys.stderr)
    elif said["type"] == "error":
        print(f"error: {said['detail']}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="One session of Cardea with the pictures of a directory as camera.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", help="the terminal's certificate, PEM")
    parser.add_argument("--token-file", help="file with an API token of the role operator")
    parser.add_argument("--goal", default="identify", choices=["identify", "verify", "liveness"])
    parser.add_argument("--person")
    parser.add_argument("--target", help="picture to compare with, JPEG")
    parser.add_argument("--frames", required=True, help="directory of JPEG pictures")
    parser.add_argument("--fps", type=float, default=10)
    args = parser.parse_args()
    token = Path(args.token_file).read_text().strip() if args.token_file else None
    target = Path(args.target).read_bytes() if args.target else None
    files = sorted(Path(args.frames).glob("*.jpg"))
    pictures = (f.read_bytes() for f in itertools.cycle(files))
    cardea = Cardea(args.url, ca=args.ca, token=token)
    try:
        result = cardea.run(pictures, args.goal, args.person, target, args.fps, show)
    except Refused as error:
        sys.exit(f"error: {error}")
    print(json.dumps(result))
    return {"granted": 0, "denied": 1}.get(result["verdict"], 2)


if __name__ == "__main__":
    sys.exit(main())
