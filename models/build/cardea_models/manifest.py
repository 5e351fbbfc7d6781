"""Reads the pack manifests. They are the only list of files, digests and sources; the recipes only say how."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .files import BuildError

PACKS = Path(__file__).resolve().parents[2] / "packs"


@dataclass(frozen=True)
class MadeFrom:
    """The nearest source and the recipe that turns it into the file."""

    file: str
    sha256: str
    recipe: str
    version: int


@dataclass(frozen=True)
class Origin:
    """Where a file may come from besides a directory: a recipe, a package (`name==version`) or `owner/repo@commit`."""

    file: str
    sha256: str
    made_from: MadeFrom | None = None
    place: str | None = None
    path: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class ModelFile:
    origin: Origin
    role: str
    model: str
    family: str
    crop_scale: float | None
    precision: str
    bytes: int
    input: dict
    outputs: list
    known_answer: dict


@dataclass
class Pack:
    name: str
    files: list = field(default_factory=list)
    sources: list = field(default_factory=list)

    def file(self, name: str) -> ModelFile:
        for file in self.files:
            if file.origin.file == name:
                return file
        known = ", ".join(f.origin.file for f in self.files)
        raise BuildError(f"pack {self.name} has no file {name}; it has {known}")


def load(name: str) -> Pack:
    path = PACKS / f"{name}.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}; the packs are {', '.join(names())}") from error
    except tomllib.TOMLDecodeError as error:
        raise BuildError(f"{path}: {error}") from error
    pack = Pack(raw["name"])
    for model in raw["model"]:
        for entry in model["file"]:
            made = entry.get("made_from")
            origin = Origin(entry["file"], entry["sha256"], MadeFrom(**made) if made else None, entry.get("source"), None, entry.get("url"))
            pack.files.append(
                ModelFile(origin, model["role"], model["name"], model["family"], model.get("crop_scale"),
                          entry["precision"], entry["bytes"], model["input"], model["outputs"], entry["known_answer"]))
    for entry in raw.get("source", []):
        origin = entry["from"]
        if isinstance(origin, dict):
            pack.sources.append(Origin(entry["file"], entry["sha256"], MadeFrom(**origin)))
        else:
            pack.sources.append(Origin(entry["file"], entry["sha256"], None, origin, entry.get("path")))
    return pack


def names() -> list:
    return sorted(path.stem for path in PACKS.glob("*.toml"))
