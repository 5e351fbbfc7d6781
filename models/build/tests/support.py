"""What several tests need: the tool on the path, networks in miniature, and where the real files are."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
from onnx import helper

BUILD = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BUILD))

from cardea_models import manifest, onnx_file  # noqa: E402
from cardea_models.files import Shelves  # noqa: E402
from cardea_models.make import Workshop  # noqa: E402


def directories() -> list:
    """The directories of CARDEA_MODELS_FROM, and the cache if it is there."""
    named = [d for d in os.environ.get("CARDEA_MODELS_FROM", "").split(":") if d]
    cache = BUILD.parent / "cache"
    return named + ([str(cache)] if cache.is_dir() else [])


class Scratch(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.directory = Path(scratch.name)


def workshops() -> list:
    """(pack, workshop) for each pack; sources come from the directories, else from packages or their repositories."""
    shelves = Shelves(directories())
    return [(pack, Workshop(pack, shelves)) for pack in map(manifest.load, manifest.names())]


def small_network(prelu: bool = False) -> bytes:
    """Two convolutions with a (P)ReLU between them and a second path around, as the real networks have."""
    random = np.random.default_rng(3)
    middle = ("PRelu", ["a", "slope"]) if prelu else ("Relu", ["a"])
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["a"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node(*middle, ["b"], name="middle"),
        helper.make_node("Conv", ["b", "w2"], ["c"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"], name="sum"),
        helper.make_node("GlobalAveragePool", ["d"], ["out"], name="mean"),
    ]
    constants = [
        onnx_file.constant("w1", random.normal(0, .3, (4, 3, 3, 3)).astype(np.float32)),
        onnx_file.constant("b1", random.normal(0, .3, 4).astype(np.float32)),
        onnx_file.constant("w2", random.normal(0, .3, (4, 4, 3, 3)).astype(np.float32)),
    ]
    if prelu:
        constants.append(onnx_file.constant("slope", random.uniform(-.5, 1.5, (4, 1, 1)).astype(np.float32)))
    return onnx_file.finish(nodes, "small", [onnx_file.tensor_info("input", [1, 3, 8, 8])],
                            [onnx_file.tensor_info("out", [1, 4, 1, 1])], constants)
