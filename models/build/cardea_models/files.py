"""Files by digest: what is found, what is read, what is written, and never half of it."""

import hashlib
import os
import tempfile
from pathlib import Path

# The largest file that a model directory holds is the mediapipe wheel (36 MB); anything far above is not ours to hash.
LARGEST = 256 * 1024 * 1024


class BuildError(Exception):
    """What was tried, why it failed, and what to do about it, in one text for the person at the keyboard."""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked(data: bytes, sha256: str, name: str, origin: str) -> bytes:
    """The same bytes, or a refusal that names the file: a model with a wrong digest never gets further than this."""
    got = digest(data)
    if got != sha256:
        raise BuildError(f"{name} from {origin}: expected sha256 {sha256}, got {got}; the file was refused, remove or replace it")
    return data


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside the target and renames, so that a reader sees the old file, the new file, or none.

    The directory is synced too: without it a power cut may undo the rename and leave the name without its file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Shelves:
    """Directories searched for files by digest; the name only decides what is looked at first."""

    def __init__(self, directories):
        self._directories = [Path(d) for d in directories]
        for directory in self._directories:
            if not directory.is_dir():
                raise BuildError(f"--from {directory}: not a directory; give a directory that holds model or source files")
        self._files = None
        self._digests = {}

    def find(self, sha256: str, name: str) -> bytes | None:
        # Files of the wanted name first: with that, nothing else is hashed in the usual case.
        for path in sorted(self._listing(), key=lambda p: (p.name != name, str(p))):
            if self._digest(path) == sha256:
                return checked(path.read_bytes(), sha256, name, str(path))
        return None

    def _listing(self):
        if self._files is None:
            self._files = []
            for directory in self._directories:
                for root, inner, names in os.walk(directory):
                    # Hidden directories hold other things: the tool's own environment lies in the cache as .venv.
                    inner[:] = [name for name in inner if not name.startswith(".")]
                    self._files += [path for path in (Path(root, name) for name in names if not name.startswith("."))
                                    if path.is_file() and path.stat().st_size <= LARGEST]
        return self._files

    def _digest(self, path: Path) -> str | None:
        if path not in self._digests:
            try:
                self._digests[path] = digest_of_file(path)
            except OSError:
                self._digests[path] = None
        return self._digests[path]
