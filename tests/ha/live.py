#!/usr/bin/env python3
"""A real Home Assistant core, a real broker and the daemon: what the terminal announces becomes entities with the right
states, what Home Assistant sends is answered, and a terminal that is taken away leaves nothing behind.

usage: live.py CARDEA       the program; `make ha-live` runs this with the Python that setup.sh prepared

One line of JSON for each thing that is checked; ends with 1 at the first that is not so. Needs mosquitto.
"""

import asyncio
import json
import logging
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

if len(sys.argv) != 2:
    sys.exit(__doc__)

from homeassistant import bootstrap, runner
from homeassistant.const import MAJOR_VERSION, MINOR_VERSION, __version__
from homeassistant.helpers import device_registry, entity_registry

# From here on lock and button send messages that expire, as the terminal wants them.
EXPIRES = (2026, 11)
PATIENCE = 60
NAMES = ["lock", "problem", "access", "last_person", "latency", "open_once", "door", "snapshot"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def check(what, ok, found):
    print(json.dumps({"what": what, "ok": bool(ok), "found": found}, default=str), flush=True)
    if not ok:
        raise AssertionError(what)


async def until(what, look):
    """Asks until the answer is true, and says what it was."""
    end = time.monotonic() + PATIENCE
    while True:
        ok, found = look()
        if ok or time.monotonic() > end:
            return check(what, ok, found)
        await asyncio.sleep(0.1)


class Terminal:
    """The daemon before a camera that shows nobody."""

    def __init__(self, program, home, port):
        self.program, self.home, self.port = program, home, port
        (home / "frames").mkdir()
        try:
            from PIL import Image
        except ImportError:
            sys.exit("live.py: no Pillow in this environment; remove its directory and run make ha-live again")
        for n in range(10):
            dots = bytes((60 + n + 90 * ((x // 20 + y // 8) % 2)) for y in range(240) for x in range(320))
            Image.frombytes("L", (320, 240), dots).convert("RGB").save(home / "frames" / f"frame_{n:05}.jpg")
        (home / "script.json").write_text('{"picture": [320, 240], "rows": []}')
        (home / "contact").write_text("0")
        (home / "key").write_text("0123456789abcdef0123456789abcdef\n")
        (home / "key").chmod(0o600)
        self.child = None

    def arguments(self):
        quoted = lambda p: json.dumps(str(p))
        return [
            'models.pack="scripted"',
            f"models.script={quoted(self.home / 'script.json')}",
            "insecure.scripted_models=true",
            'camera.kind="file"',
            f"camera.path={quoted(self.home / 'frames')}",
            'prompt.kind="none"',
            "door.hold_ms=1500",
            'door.inputs.kind="sim"',
            f"door.inputs.contact={quoted(self.home / 'contact')}",
            "mqtt.enabled=true",
            f"mqtt.port={self.port}",
            'mqtt.remote_unlock="home_assistant"',
            'mqtt.commands=["lock", "ping", "snapshot"]',
            f"mqtt.command_key_file={quoted(self.home / 'key')}",
            "privacy.snapshots=true",
        ]

    def run(self, *command):
        settings = [word for s in self.arguments() for word in ("--set", s)]
        return [self.program, *command, "--state", str(self.home / "state"), *settings]

    def start(self):
        log = open(self.home / "daemon.log", "ab")
        self.child = subprocess.Popen(self.run("run"), stdout=subprocess.DEVNULL, stderr=log)

    def end(self, how):
        self.child.send_signal(how)
        self.child.wait()
        self.child = None

    def openings(self):
        edges = self.home / "state" / "relay.edges"
        lines = edges.read_text().splitlines() if edges.exists() else []
        return sum(line.split(" ")[1] == "1" for line in lines)

    def records(self, kind):
        out = subprocess.run(self.run("events", "list", "--json"), capture_output=True, check=False).stdout
        return [r for r in map(json.loads, out.splitlines()) if r["type"] == kind]


async def connect(hass, port):
    flow = hass.config_entries.flow
    step = await flow.async_init("mqtt", context={"source": "user"})
    if step.get("menu_options"):
        step = await flow.async_configure(step["flow_id"], {"next_step_id": "broker"})
    asked = {str(key) for key in step["data_schema"].schema}
    answer = {"broker": "127.0.0.1", "port": port}
    if "other_settings" in asked:
        answer["other_settings"] = {"set_client_cert": False, "set_ca_cert": "off", "transport": "tcp"}
    step = await flow.async_configure(step["flow_id"], answer)
    check("Home Assistant is connected to the broker", step["type"] == "create_entry", [step["type"], step.get("errors")])


async def visit(hass, terminal):
    entities, devices = entity_registry.async_get(hass), device_registry.async_get(hass)
    ours = lambda: {e.unique_id: e for e in entities.entities.values() if e.unique_id.startswith("cardea_front_")}

    def state(name):
        entry = ours().get(f"cardea_front_{name}")
        found = hass.states.get(entry.entity_id) if entry else None
        return found.state if found else None

    def is_state(name, *right):
        return lambda: (state(name) in right, state(name))

    terminal.start()
    wanted = {f"cardea_front_{n}" for n in NAMES}
    await until("every part that is announced is an entity", lambda: (set(ours()) == wanted, sorted(ours())))
    await until("locked", is_state("lock", "locked"))
    await until("the door is shut", is_state("door", "off"))
    await until("a problem or none, but known", is_state("problem", "on", "off"))
    check("nobody has passed", state("access") == "unknown", state("access"))
    check("pictures wait to be switched on", ours()["cardea_front_snapshot"].disabled_by is not None, None)
    device = next(d for d in devices.devices.values() if ("mqtt", "cardea_front") in d.identifiers)
    check("one device of ours", (device.manufacturer, device.model) == ("Cardea", "Face terminal"), device.name)

    (terminal.home / "contact").write_text("1")
    await until("the door stands open", is_state("door", "on"))
    (terminal.home / "contact").write_text("0")
    await until("the door is shut again", is_state("door", "off"))

    lock = ours()["cardea_front_lock"].entity_id
    await hass.services.async_call("lock", "unlock", {"entity_id": lock}, blocking=True)
    if (MAJOR_VERSION, MINOR_VERSION) >= EXPIRES:
        await until("lock.unlock opens once", lambda: (terminal.openings() == 1, terminal.openings()))
        await until("the lock fell back", is_state("lock", "locked"))
        await until("the event is told", lambda: (state("access") != "unknown", state("access")))
    else:
        refused = lambda: [r["error"] for r in terminal.records("command.rejected")]
        await until("a message that never expires is refused", lambda: (refused() == ["expired"], refused()))
        check("and nothing opens", terminal.openings() == 0, terminal.openings())

    terminal.end(signal.SIGKILL)
    await until("a terminal that vanishes is unavailable", is_state("lock", "unavailable"))
    terminal.start()
    await until("and comes back", is_state("lock", "locked"))
    terminal.end(signal.SIGTERM)
    await until("a terminal that stops is unavailable", is_state("lock", "unavailable"))
    subprocess.run(terminal.run("mqtt", "remove"), check=True, stdout=subprocess.DEVNULL)
    await until("one that is taken away leaves no entity", lambda: (not ours(), sorted(ours())))


async def main(home):
    broker_port = free_port()
    configuration = home / "mosquitto.conf"
    configuration.write_text(f"listener {broker_port} 127.0.0.1\nallow_anonymous true\n" + ("user root\n" if os.geteuid() == 0 else ""))
    mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if mosquitto is None:
        sys.exit("live.py: mosquitto is missing; run: apt-get install mosquitto")
    broker = subprocess.Popen([mosquitto, "-c", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    terminal = Terminal(sys.argv[1], home, broker_port)
    config = home / "homeassistant"
    config.mkdir()
    # Neither a front end nor anybody who is on board: the core starts without either.
    (config / "configuration.yaml").write_text(
        f"http:\n  server_host: 127.0.0.1\n  server_port: {free_port()}\nlogger:\n  default: critical\n"
    )
    hass = None
    try:
        hass = await bootstrap.async_setup_hass(runner.RuntimeConfig(config_dir=str(config), skip_pip=True))
        check("Home Assistant starts", hass is not None, __version__)
        await hass.async_start()
        await connect(hass, broker_port)
        await visit(hass, terminal)
        return 0
    except AssertionError:
        return 1
    finally:
        if terminal.child is not None:
            terminal.end(signal.SIGKILL)
        if hass is not None:
            await hass.async_stop(force=True)
        broker.terminate()
        broker.wait()


for noisy in ["homeassistant.setup", "homeassistant.util.loop"]:
    logging.getLogger(noisy).setLevel(logging.CRITICAL)
place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
code = asyncio.run(main(pathlib.Path(place.name)))
log = pathlib.Path(place.name) / "daemon.log"
if code and log.exists():
    print(log.read_text()[-4000:], file=sys.stderr)
# Home Assistant watches over work with files on the thread that was its own.
cleaner = threading.Thread(target=place.cleanup)
cleaner.start()
cleaner.join()
sys.exit(code)
