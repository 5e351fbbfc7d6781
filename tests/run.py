#!/usr/bin/env python3
"""Runs all Rust tests once and judges the run.

Sorts every test by kind, holds the counts against tests/expected, and fails when a test failed or was ignored, when a
test binary died, or when a kind is below its number. What CARDEA_TEST_WITHOUT left out is listed. The last line is
`N passed, N failed`.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "tests" / "expected"

UNIT, PROPERTY, INTEGRATION, DOC = "unit", "property", "integration", "doc"
BROKER, PROCESSES, CLIPS, BENCH = "real broker", "real processes", "real clips", "virtual bench"
KINDS = [UNIT, PROPERTY, BROKER, PROCESSES, CLIPS, BENCH, INTEGRATION, DOC]

# By the name of the file in tests/; every other one is `integration`.
KIND_OF_FILE = {
    "broker": BROKER,
    "commands": BROKER,
    "processes": PROCESSES,
    "kills": PROCESSES,
    "store_kills": PROCESSES,
    "power_cuts": PROCESSES,
    "records": PROCESSES,
    "removal": PROCESSES,
    "cameras": PROCESSES,
    "demo": PROCESSES,
    "daemon": PROCESSES,
    "web": PROCESSES,
    "browser": PROCESSES,
    "compat": PROCESSES,
    "compat_browser": PROCESSES,
    "socketio": PROCESSES,
    "osdp": PROCESSES,
    "load": PROCESSES,
    "abuse": PROCESSES,
    "deploy": PROCESSES,
    "schemathesis": PROCESSES,
    "examples": PROCESSES,
    "dev": PROCESSES,
    "rules_at_door": PROCESSES,
    "site": BROKER,
    "clips": CLIPS,
    "attacks": CLIPS,
    "faces": CLIPS,
    "liars": CLIPS,
    "pad": CLIPS,
    "hil": BENCH,
}

RUNNING = re.compile(r"^\s+Running (?:unittests )?(\S+) \(")
DOC_TESTS = re.compile(r"^\s+Doc-tests ")
TEST = re.compile(r"^test (\S+(?: .*?)?) \.\.\. (ok|FAILED|ignored)\b")
RESULT = re.compile(r"^test result: (ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored")
LEFT_OUT = re.compile(r"^left out: (.+)$")


@dataclass
class Run:
    """What the output of `cargo test` says."""

    passed: dict = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    failed: list = field(default_factory=list)
    ignored: list = field(default_factory=list)
    left_out: list = field(default_factory=list)
    # Binaries that began and never gave a result: they were aborted or killed.
    died: list = field(default_factory=list)
    # Binaries with more tests read than their totals tell.
    unread: list = field(default_factory=list)

    def passed_in_all(self) -> int:
        return sum(self.passed.values())

    def failed_in_all(self) -> int:
        return len(self.failed) + len(self.ignored) + len(self.died) + len(self.unread)


def kind_of(binary: str, test: str) -> str:
    """The kind of a test by where it lives."""
    if "propert" in binary or "propert" in test:
        return PROPERTY
    if binary == "doc":
        return DOC
    if binary.startswith("src/"):
        return UNIT
    return KIND_OF_FILE.get(Path(binary).stem, INTEGRATION)


def parse(lines) -> Run:
    """Reads the output of `cargo test`, standard error and output together."""
    run = Run()
    binary, seen = None, (0, 0, 0)

    def begin(name):
        nonlocal binary, seen
        if binary is not None:
            run.died.append(binary)
        binary, seen = name, (0, 0, 0)

    for line in lines:
        line = line.rstrip("\n")
        if match := RUNNING.match(line):
            begin(match[1])
        elif DOC_TESTS.match(line):
            begin("doc")
        elif match := LEFT_OUT.match(line):
            run.left_out.append(match[1])
        elif binary is None:
            continue
        elif match := TEST.match(line):
            test, how = match[1].removesuffix(" - should panic"), match[2]
            seen = (seen[0] + (how == "ok"), seen[1] + (how == "FAILED"), seen[2] + (how == "ignored"))
            if how == "ok":
                run.passed[kind_of(binary, test)] += 1
            else:
                (run.failed if how == "FAILED" else run.ignored).append(f"{binary}: {test}")
        elif match := RESULT.match(line):
            settle(run, binary, [int(match[i]) - seen[i - 2] for i in (2, 3, 4)])
            binary = None
    if binary is not None:
        run.died.append(binary)
    return run


def settle(run: Run, binary: str, missing: list) -> None:
    """Adds what a binary's totals tell beyond the lines that were read.

    On one processor libtest writes a test's name before the test runs and its result after, and what a child process
    says stands between the two. The totals are never torn so.
    """
    if min(missing) < 0:
        run.unread.append(f"{binary}: more tests were read than its totals tell")
        return
    run.passed[kind_of(binary, "")] += missing[0]
    run.failed += [f"{binary}: a test whose name was not read"] * missing[1]
    run.ignored += [f"{binary}: a test whose name was not read"] * missing[2]


def read_expected(text: str) -> dict:
    """`kind number` a line; every kind must be there."""
    expected = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            kind, number = line.rsplit(None, 1)
            expected[kind.strip()] = int(number)
    if sorted(expected) != sorted(KINDS):
        raise ValueError(f"tests/expected must name each of {', '.join(KINDS)} once")
    return expected


def faults(run: Run, expected: dict, cargo_failed: bool) -> list:
    """Why the run is no success, as sentences; empty if it is one."""
    found = [f"failed: {test}" for test in run.failed]
    found += [f"ignored, which no test may be: {test}" for test in run.ignored]
    found += [f"died without a result: {binary}" for binary in run.died]
    found += [f"the output contradicts itself: {what}" for what in run.unread]
    for kind in KINDS:
        if run.passed[kind] < expected[kind]:
            found.append(f"{run.passed[kind]} tests of the kind `{kind}` passed, tests/expected wants {expected[kind]}")
    if cargo_failed and not found:
        found.append("cargo test failed; its reason stands above")
    return found


def table(run: Run, expected: dict) -> str:
    rows = [f"{'kind':<16}{'passed':>8}{'at least':>10}"]
    rows += [f"{kind:<16}{run.passed[kind]:>8}{expected[kind]:>10}" for kind in KINDS]
    return "\n".join(rows)


def main() -> int:
    expected = read_expected(EXPECTED.read_text())
    without = os.environ.get("CARDEA_TEST_WITHOUT", "")
    command = ["cargo", "test", "--features", "v4l2,panel,drm,tract,osdp,keyboard", "--no-fail-fast"]
    if without:
        # Shows what tests that passed have printed: which of them were left out.
        command += ["--", "--show-output"]
    print("$", " ".join(command), flush=True)
    lines = []
    # Colours would stand between the parser and the words.
    env = dict(os.environ, CARGO_TERM_COLOR="never")
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as cargo:
        for line in cargo.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    run = parse(lines)
    found = faults(run, expected, cargo.returncode != 0)
    print("\n" + table(run, expected))
    if without:
        print(f"\nCARDEA_TEST_WITHOUT={without} left out {len(run.left_out)} tests")
        for test in run.left_out:
            print(f"  left out: {test}")
    for fault in found:
        print(f"error: {fault}")
    print(f"{run.passed_in_all()} passed, {run.failed_in_all()} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
