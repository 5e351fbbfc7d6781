"""Pages of the listeners for other clients in Chromium, with films as its camera.

Called by tests/compat_browser.rs. Prints one JSON object. Screenshots go to --shots.
"""

import argparse
import json
import shutil
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

PATIENCE_MS = 180_000


class Visitor:
    """One browser whose camera is a film."""

    def __init__(self, play, shots, film):
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        flags = [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={film}",
            "--ignore-certificate-errors",
            "--no-sandbox",
        ]
        self.shots = shots
        self.seen = {"errors": [], "axe": [], "calls": []}
        self.browser = play.chromium.launch(executable_path=chromium, args=flags)
        context = self.browser.new_context(ignore_https_errors=True, permissions=["camera"])
        context.set_default_timeout(PATIENCE_MS)
        self.page = context.new_page()
        self.page.on("pageerror", lambda e: self.seen["errors"].append(str(e)))
        self.page.on("request", lambda r: self.seen["calls"].append(r.url.split("/", 3)[3]))

    def look(self, name):
        self.page.screenshot(path=str(Path(self.shots) / f"compat-{name}.png"), full_page=True)
        found = Axe().run(self.page).response["violations"]
        serious = [v for v in found if v["impact"] in ("serious", "critical")]
        self.seen["axe"] += [f"{name}: {v['id']}: {v['nodes'][0]['html'][:200]}" for v in serious]

    def close(self):
        self.browser.close()
        return self.seen


def s3(play, args):
    """Start, allow, and do the steps: the page goes on by itself."""
    v = Visitor(play, args.shots, args.film)
    v.page.goto(args.url)
    v.look("s3-start")
    v.page.locator("#start").click()
    message = v.page.locator("#message")
    steps = {}
    for challenge in ["front", "right", "left", "blink"]:
        expect(v.page.locator(f"#steps [data-challenge={challenge}]")).to_have_class("done")
        steps[challenge] = message.inner_text()
    expect(v.page.locator("#summary")).to_be_visible()
    v.look("s3-summary")
    seen = {"steps": steps, "message": message.inner_text(), "results": v.page.locator("#results li").all_inner_texts()}
    # The camera is off and nothing is sent any more.
    calls = len(v.seen["calls"])
    v.page.wait_for_timeout(1500)
    seen["after"] = len(v.seen["calls"]) - calls
    seen["calls"] = sorted(set(v.seen["calls"]))
    return {**v.close(), **seen}


def s4(play, args):
    """Name and password by hand, then the face."""
    v = Visitor(play, args.shots, args.film)
    v.page.goto(args.url)
    v.look("s4-login")
    # On a busy machine pictures come too late to be judged; then one tries again, as a person would.
    for tries in range(args.tries):
        v.page.locator("input[name=username]").fill(args.user)
        v.page.locator("input[name=password]").fill("correct horse battery")
        v.page.locator("button[type=submit]").click()
        v.page.wait_for_url("**/face")
        expect(v.page.locator("#message")).to_contain_text("Please")
        if tries == 0:
            v.look(f"s4-face-{args.user}")
        v.page.wait_for_url(lambda url: "/main" in url or "/login" in url)
        if "/main" in v.page.url:
            break
    v.look(f"s4-end-{args.user}")
    name = v.page.locator("input[name=username]")
    seen = {
        "at": v.page.url.split("/", 3)[3].split("?")[0],
        "heading": v.page.locator("h1").inner_text(),
        "kept": name.input_value() if name.count() else None,
    }
    return {**v.close(), **seen}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["s3", "s4"])
    for name in ["url", "film", "shots", "user"]:
        parser.add_argument(f"--{name}")
    parser.add_argument("--tries", type=int, default=1)
    args = parser.parse_args()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as play:
        print(json.dumps({"s3": s3, "s4": s4}[args.what](play, args)))


if __name__ == "__main__":
    main()
