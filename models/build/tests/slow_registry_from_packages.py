"""The registry pack out of package downloads alone, with no directory to help. Run by `build.py test --registry-from-packages`."""

from support import Scratch

from cardea_models import manifest
from cardea_models.files import Shelves, digest_of_file
from cardea_models.make import make_packs


class RegistryFromPackages(Scratch):
    def test_every_file_of_the_registry_pack_comes_from_packages(self):
        make_packs(["registry"], Shelves([]), self.directory)
        for file in manifest.load("registry").files:
            self.assertEqual(digest_of_file(self.directory / file.origin.file), file.origin.sha256, file.origin.file)
