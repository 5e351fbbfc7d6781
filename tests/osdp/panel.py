#!/usr/bin/env python3
"""An access panel (libosdp's Python package) that asks one reader on a pseudo-terminal.

usage: panel.py KEY ADDRESS     KEY is that of the secure channel, 32 hex digits

Prints JSON lines: {"device"} first, then {"secure"} whenever that changes and {"card"} for each, its bits as a text.
Ends when its input ends, and says {"cards"}: how many came.
"""
import json
import os
import select
import sys
import time
import tty

from osdp import Channel, ControlPanel, Event, LibFlag, LogLevel, PDInfo

if len(sys.argv) != 3:
    sys.exit(__doc__)
key, address = bytes.fromhex(sys.argv[1]), int(sys.argv[2])
ours, theirs = os.openpty()
tty.setraw(ours)
# The reader's side stays open here, so that a reader may come and go.
tty.setraw(theirs)
os.set_blocking(ours, False)


class Line(Channel):
    def read(self, most):
        try:
            return os.read(ours, most)
        except BlockingIOError:
            return b""

    def write(self, data):
        try:
            return os.write(ours, data)
        except BlockingIOError:
            return 0

    def flush(self):
        pass


def say(**what):
    print(json.dumps(what), flush=True)


panel = ControlPanel([PDInfo(address, Line(), scbk=key, flags=[LibFlag.EnforceSecure])], log_level=LogLevel.Error)
panel.start()
say(device=os.ttyname(theirs))
secure, cards, tried = False, 0, time.monotonic()
# The library leaves a reader that did not answer alone for five minutes. A reader of this test may start late.
RETRY_S = 5


def retry():
    global tried
    if secure or time.monotonic() - tried < RETRY_S:
        return
    if panel.is_pd_enabled(address):
        panel.disable_pd(address)
    else:
        panel.enable_pd(address)
        tried = time.monotonic()


def look():
    global secure, cards
    if panel.is_sc_active(address) != secure:
        secure = not secure
        say(secure=secure)
    while (event := panel.get_event(address, timeout=-1)) is not None:
        if event["event"] == Event.CardRead:
            cards += 1
            bits = "".join(f"{b:08b}" for b in event["data"])
            say(card=bits[: event.get("length") or len(bits)])


while not select.select([sys.stdin], [], [], 0.02)[0]:
    look()
    retry()
look()
say(cards=cards)
sys.stdout.flush()
os._exit(0)
