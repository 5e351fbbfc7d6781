#!/usr/bin/env python3
"""Makes Cardea's model files and fetches its inference library.

Needs Python 3.11 or newer with venv, and nothing else: on its first run it makes an environment of its own in
models/cache/.venv from requirements.txt (digests required), and starts itself again inside.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / "cache" / ".venv"
REQUIREMENTS = HERE / "requirements.txt"
STAMP = VENV / "requirements.sha256"


def main() -> int:
    arguments = parse()
    if Path(sys.prefix).resolve() != VENV.resolve():
        return restart_inside()
    sys.path.insert(0, str(HERE))
    from cardea_models.commands import run
    return run(arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text, sources=False):
        sub = commands.add_parser(name, help=text, description=text)
        if sources:
            sub.add_argument("--from", dest="sources", metavar="DIR", action="append", default=[],
                             help="search this directory for finished files and sources, by digest; may be repeated")
            sub.add_argument("--out", type=Path, default=HERE.parent / "cache", help="where to put the files (default: models/cache)")
            sub.add_argument("--offline", action="store_true", help="use the directories only; download nothing")
        return sub

    make = command("make", "make every file of a pack", sources=True)
    make.add_argument("--pack", default="all", help="a pack's name, or all (default)")
    file = command("file", "make one file of a pack", sources=True)
    file.add_argument("name", help="the file's name in the manifest")
    runtime = command("runtime", "fetch the pinned ONNX Runtime library for this machine")
    runtime.add_argument("--out", type=Path, default=HERE.parent / "cache", help="where to put libonnxruntime.so (default: models/cache)")
    runtime.add_argument("--machine", choices=["x86_64", "aarch64"], help="for this processor instead of the machine's own")
    command("samples", "fetch the clip and the portrait that the demo and calibration use", sources=True)
    check = command("check", "compare made files with the golden vectors and the manifests' known answers")
    check.add_argument("--out", type=Path, default=HERE.parent / "cache", help="where the files are (default: models/cache)")
    check.add_argument("--pack", default="all", help="a pack's name, or all (default)")
    calibrate = command("calibrate", "measure the activation ranges for int8 anew (for maintainers; changes digests)", sources=True)
    calibrate.add_argument("names", nargs="*", metavar="FILE", help="int8 files to calibrate (default: all)")
    pin = command("pin", "print sha256, bytes and known answer of a made file in the manifest's form (for maintainers)")
    pin.add_argument("path", type=Path, help="the .onnx file; its name must be in a manifest")
    test = command("test", "run the tool's tests")
    test.add_argument("--registry-from-packages", action="store_true",
                      help="only: build the whole registry pack from package downloads, without any directory (slow)")
    test.add_argument("only", nargs="*", metavar="TEST", help="names in unittest's form (default: all but the slow class)")
    return parser.parse_args()


def restart_inside() -> int:
    """Makes the environment if it is missing or made from other requirements, then runs the same command in it."""
    if sys.version_info < (3, 11):
        print(f"build.py needs Python 3.11 or newer, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not (STAMP.is_file() and STAMP.read_text(encoding="ascii").strip() == wanted):
        try:
            make_environment(wanted)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"build.py: making its Python environment in {VENV} failed: {error}\n"
                  "check that the packages python3-venv and python3-pip are installed and that pip reaches its index", file=sys.stderr)
            return 1
    python = str(VENV / "bin" / "python")
    os.execv(python, [python, str(HERE / "build.py"), *sys.argv[1:]])


def make_environment(wanted: str) -> None:
    print("making the build tool's Python environment (once)", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    subprocess.run([str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
                    "--require-hashes", "--requirement", str(REQUIREMENTS)], check=True, stdout=sys.stderr)
    # Written last: an interrupted installation has no stamp and is made anew.
    STAMP.write_text(wanted + "\n", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
