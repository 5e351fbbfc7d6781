"""Every file of both packs, made from its upstream file as the manifests say.

Takes sources from CARDEA_MODELS_FROM (directories, separated by colons) and models/cache, else from their packages and
repositories. Where none of these is at hand the tests fail and say what is missing; they are never skipped.
"""

import unittest

from support import workshops

from cardea_models import answers, manifest
from cardea_models.files import digest
from cardea_models.recipes import recipe


class EveryFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.workshops = workshops()

    def made(self):
        """(file or source, workshop, what its recipe gives) for everything that a recipe makes, in both packs."""
        for pack, workshop in self.workshops:
            names = {o.file: o for o in pack.sources}
            sources = {o.sha256: o for o in [*pack.sources, *(f.origin for f in pack.files)]}
            for origin in sources.values():
                if not origin.made_from:
                    continue
                step = recipe(origin.made_from.recipe, origin.made_from.version)
                source = workshop.obtain(sources[origin.made_from.sha256])
                stem = origin.made_from.file.rsplit(".", 1)[0]

                def companion(suffix):
                    return workshop.obtain(names[stem + suffix])

                yield origin, lambda: step.run(source, origin.file, companion)

    def test_each_recipe_gives_the_manifests_bytes_twice(self):
        for origin, make in self.made():
            with self.subTest(file=origin.file):
                self.assertEqual(digest(make()), origin.sha256)
                self.assertEqual(digest(make()), origin.sha256)

    def test_each_file_gives_its_known_answer(self):
        for pack, workshop in self.workshops:
            for file in pack.files:
                with self.subTest(pack=pack.name, file=file.origin.file):
                    data = workshop.obtain(file.origin)
                    self.assertEqual(len(data), file.bytes)
                    self.assertLessEqual(answers.manifest_deviation(data, file), file.known_answer["tolerance"])

    def test_each_fp32_file_agrees_with_the_golden_vectors(self):
        for pack, workshop in self.workshops:
            for file in (f for f in pack.files if f.precision == "fp32"):
                with self.subTest(pack=pack.name, file=file.origin.file):
                    deviation = answers.golden_deviation(workshop.obtain(file.origin), answers.golden_name(file.origin.file))
                    self.assertLessEqual(deviation, answers.GOLDEN_TOLERANCE)

    def test_no_file_gives_the_known_answer_of_another(self):
        """The two PAD networks have one form; only the answer tells their weights apart."""
        (pack, workshop), = [(p, w) for p, w in self.workshops if p.name == "standard"]
        files = [f for f in pack.files if f.role == "pad"]
        for one in files:
            for other in files:
                if one.model != other.model:
                    self.assertGreater(answers.manifest_deviation(workshop.obtain(one.origin), other), other.known_answer["tolerance"])


class Coverage(unittest.TestCase):
    def test_no_recipe_is_without_a_file_that_uses_it(self):
        from cardea_models.recipes import RECIPES
        used = {o.made_from.recipe for pack in map(manifest.load, manifest.names())
                for o in [*pack.sources, *(f.origin for f in pack.files)] if o.made_from}
        self.assertEqual(used, set(RECIPES))
