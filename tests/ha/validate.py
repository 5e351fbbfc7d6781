#!/usr/bin/env python3
"""Holds announcements for Home Assistant against its own schemas.

usage: validate.py < LINES      one "TOPIC PAYLOAD" a line, as mosquitto_sub -v prints them

For each line a line of JSON: {"topic", "release", "errors": [...], "warnings": [...]}. An error is what Home Assistant refuses, and
what it would drop without a word: a key that a component's schema does not keep. Exit 0 without errors, else 1.
A release without the announcement of whole devices (before 2024.11) sees one for each entity instead.
"""
import asyncio
import importlib
import inspect
import json
import logging
import sys
import tempfile

import homeassistant.components.mqtt.abbreviations as abbreviations
import homeassistant.components.mqtt.discovery as discovery
from homeassistant.const import __version__ as RELEASE
from homeassistant.core import HomeAssistant

# Keys that came later: an older release drops them, which does no harm.
NEWER = {"message_expiry_interval", "default_entity_id"}
KNOWS_DEVICES = hasattr(discovery, "_parse_device_payload")


class Heard(logging.Handler):
    """Home Assistant tells of a refused device in its log alone."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def component(kind, name, given, errors, warnings):
    """One entity against the schema of its kind."""
    try:
        schema = importlib.import_module(f"homeassistant.components.mqtt.{kind}").DISCOVERY_SCHEMA
    except ModuleNotFoundError as e:
        warnings.append(f"{name}: the schema of {kind} needs {e.name}")
        return
    given = {abbreviations.ABBREVIATIONS.get(key, key): value for key, value in given.items()}
    try:
        kept = schema(dict(given))
    except Exception as e:  # vol.Invalid, and others of later releases
        errors.append(f"{name} ({kind}): {e}")
        return
    dropped = set(given) - set(kept)
    if dropped - NEWER:
        errors.append(f"{name} ({kind}): dropped without a word: {sorted(dropped - NEWER)}")
    if dropped & NEWER:
        warnings.append(f"{name}: not known to this release: {sorted(dropped & NEWER)}")
    if "unique_id" not in given:
        errors.append(f"{name}: without unique_id nobody can rename it")
    if not {"availability", "availability_topic"} & set(given):
        errors.append(f"{name}: without availability it looks alive for ever")
    if kind in ("lock", "button"):
        if given.get("retain"):
            errors.append(f"{name}: a retained command opens the door at every reconnection")
        if "message_expiry_interval" not in given:
            errors.append(f"{name}: a command without expiry may open the door late")


def whole(topic, payload, errors, warnings):
    """The announcement of a device, by the very functions that read it in Home Assistant."""
    _, node, name = discovery.TOPIC_MATCHER.match(topic.split("/", 1)[1]).groups()
    with_topic = "topic" in inspect.signature(discovery._parse_device_payload).parameters
    arguments = (None, payload, topic, name, node) if with_topic else (None, payload, name, node)
    parsed = discovery._parse_device_payload(*arguments)
    if not parsed:
        errors.append("refused as a whole")
        return
    for name, part in parsed["components"].items():
        part = dict(part)
        kind = part.pop("platform")
        one = discovery.MQTTDiscoveryPayload(part)
        one["device"], one["origin"] = parsed["device"], parsed["origin"]
        discovery._merge_common_device_options(one, parsed)
        component(kind, name, dict(one), errors, warnings)


def split(payload, errors, warnings):
    """The same device in the manner of before: one announcement for each entity."""
    all_of_it = json.loads(payload)

    def long(table, short):
        return {table.get(key, key): value for key, value in short.items()}

    device = long(abbreviations.DEVICE_ABBREVIATIONS, all_of_it["dev"])
    device.pop("model_id", None)
    device.pop("mdl_id", None)
    origin = long(getattr(abbreviations, "ORIGIN_ABBREVIATIONS", {}), all_of_it["o"])
    available = [long(abbreviations.ABBREVIATIONS, a) for a in all_of_it["avty"]]
    for name, part in all_of_it["cmps"].items():
        part = dict(part)
        kind = part.pop("p", None)
        component(kind, name, {**part, "device": device, "origin": origin, "availability": available}, errors, warnings)


def check(line, heard):
    topic, _, payload = line.partition(" ")
    errors, warnings = [], []
    heard.lines.clear()
    try:
        if KNOWS_DEVICES:
            whole(topic, payload, errors, warnings)
        else:
            split(payload, errors, warnings)
    except Exception as e:
        errors.append(f"{type(e).__name__}: {e}")
    if errors:
        errors += heard.lines
    return {"topic": topic, "release": RELEASE, "errors": errors, "warnings": warnings}


async def main():
    heard = Heard()
    logging.getLogger("homeassistant").addHandler(heard)
    bad = 0
    # Templates refuse to be checked outside of Home Assistant's own event loop.
    with tempfile.TemporaryDirectory() as directory:
        home = HomeAssistant(directory)
        try:
            for line in sys.stdin:
                found = check(line.rstrip("\n"), heard)
                bad += bool(found["errors"])
                print(json.dumps(found), flush=True)
        finally:
            await home.async_stop(force=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
