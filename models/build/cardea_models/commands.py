"""The commands behind build.py. Progress goes to stderr, results to stdout; a refusal is one line and exit code 1."""

import sys
from pathlib import Path

from . import answers, make, manifest, packages, runtime
from .files import BuildError, Shelves, digest, digest_of_file, write_atomically


def run(arguments) -> int:
    try:
        return {"make": _make, "file": _file, "runtime": _runtime, "samples": _samples, "check": _check, "calibrate": _calibrate, "pin": _pin,
                "test": _test}[arguments.command](arguments)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"build.py: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1


def _packs(name: str) -> list:
    return manifest.names() if name == "all" else [name]


def _shelves(arguments) -> Shelves:
    """The given directories, and what lies at the target already: an int8 file is made from the fp32 file beside it."""
    return Shelves([*arguments.sources, *([arguments.out] if arguments.out.is_dir() else [])])


def _make(arguments) -> int:
    make.make_packs(_packs(arguments.pack), _shelves(arguments), arguments.out, not arguments.offline)
    return 0


def _file(arguments) -> int:
    make.make_one(arguments.name, _shelves(arguments), arguments.out, not arguments.offline)
    return 0


def _runtime(arguments) -> int:
    runtime.install(arguments.out, arguments.machine)
    return 0


def _samples(arguments) -> int:
    shelves = _shelves(arguments)
    for wanted in (packages.CLIP, packages.PORTRAIT):
        path = arguments.out / wanted.file
        if not (path.is_file() and digest_of_file(path) == wanted.sha256):
            write_atomically(path, packages.sample(wanted, shelves, not arguments.offline, make.note))
        make.note(f"present  {wanted.file}")
    return 0


def _check(arguments) -> int:
    failed = 0
    print(f"{'file':44} {'golden':>10} {'own answer':>11}  verdict")
    for name, file in {f.origin.file: f for pack in _packs(arguments.pack) for f in manifest.load(pack).files}.items():
        path = arguments.out / name
        if not path.is_file():
            raise BuildError(f"{path} is missing; run `build.py make` first")
        data = path.read_bytes()
        own = answers.manifest_deviation(data, file)
        golden = answers.golden_deviation(data, answers.golden_name(name)) if file.precision == "fp32" else None
        good = (digest(data) == file.origin.sha256 and own <= file.known_answer["tolerance"]
                and (golden is None or golden <= answers.GOLDEN_TOLERANCE))
        failed += not good
        print(f"{name:44} {'-' if golden is None else f'{golden:.1e}':>10} {own:>11.1e}  {'good' if good else 'WRONG'}")
    return 1 if failed else 0


def _calibrate(arguments) -> int:
    from . import calibrate
    calibrate.run(arguments.names, _shelves(arguments), not arguments.offline)
    return 0


def _pin(arguments) -> int:
    data = arguments.path.read_bytes()
    for pack in manifest.names():
        for file in manifest.load(pack).files:
            if file.origin.file == arguments.path.name:
                print(answers.as_toml(data, file.input, file.precision))
                return 0
    raise BuildError(f"{arguments.path.name} is in no manifest; add its [[model.file]] entry first, the digests may be placeholders")


def _test(arguments) -> int:
    import unittest
    here = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(here / "tests"))
    if arguments.registry_from_packages:
        suite = unittest.defaultTestLoader.loadTestsFromName("slow_registry_from_packages")
    elif arguments.only:
        suite = unittest.defaultTestLoader.loadTestsFromNames(arguments.only)
    else:
        suite = unittest.defaultTestLoader.discover(str(here / "tests"))
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1
