"""The ONNX Runtime shared library, out of the pinned wheel for this machine's processor."""

import platform
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from . import packages
from .files import BuildError, write_atomically
from .make import note
from .packages import Package

VERSION = "1.31.1"
LIBRARY = "libonnxruntime.so"
# What must accompany it wherever it is handed on.
NOTICES = ("LICENSE", "ThirdPartyNotices.txt")
# Always the wheel for CPython 3.11: the library inside does not depend on Python, and one wheel means one digest.
_WHEELS = {
    "x86_64": "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f",
    "aarch64": "da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3",
}


def package(machine: str) -> Package:
    if machine not in _WHEELS:
        raise BuildError(f"no ONNX Runtime wheel is pinned for {machine} (pinned: {', '.join(_WHEELS)}); "
                         "install libonnxruntime from your system and name it with `models.runtime` or ORT_DYLIB_PATH")
    archive = f"onnxruntime-{VERSION}-cp311-cp311-manylinux_2_28_{machine}.whl"
    return Package(f"onnxruntime=={VERSION}", archive, _WHEELS[machine], packages.wheel("3.11", f"manylinux_2_28_{machine}"))


def install(out: Path, machine: str | None = None) -> None:
    wanted = package(machine or platform.machine())
    target, stamp = out / LIBRARY, out / f"{LIBRARY}.from"
    whole = all(path.is_file() for path in (target, stamp, *(out / f"onnxruntime-{text}" for text in NOTICES)))
    if whole and stamp.read_text(encoding="ascii").strip() == f"{wanted.archive} {wanted.sha256}":
        note(f"present  {LIBRARY} {VERSION}")
        return
    with zipfile.ZipFile(BytesIO(packages.fetch(wanted, note))) as wheel:
        member = f"onnxruntime/capi/{LIBRARY}.{VERSION}"
        if member not in wheel.namelist():
            raise BuildError(f"{wanted.archive} holds no {member}; the pinned wheel is not the one this tool was written for")
        for text in NOTICES:
            write_atomically(out / f"onnxruntime-{text}", wheel.read(f"onnxruntime/{text}"))
        # The stamp goes first and comes last: a stamp without its library, or with an older one, cannot be left behind.
        stamp.unlink(missing_ok=True)
        write_atomically(target, wheel.read(member))
        write_atomically(stamp, f"{wanted.archive} {wanted.sha256}\n".encode("ascii"))
    note(f"written  {LIBRARY} {VERSION} for {machine or platform.machine()}")
    print(target, file=sys.stdout)
