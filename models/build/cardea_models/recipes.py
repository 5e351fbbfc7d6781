"""The recipes by name and version. A manifest's `made_from` names one; a change of its output raises its version."""

from dataclasses import dataclass
from typing import Callable

from . import dlib, int8, minifasnet, openvino, prelu, tflite
from .files import BuildError


@dataclass(frozen=True)
class Recipe:
    """`run(source, target, companion)`: the source's bytes, the name of the file to make, and a way to another source."""

    version: int
    run: Callable[[bytes, str, Callable[[str], bytes]], bytes]


RECIPES = {
    "tflite-onnx": Recipe(1, lambda source, _target, _companion: tflite.convert(source)),
    "dlib-onnx": Recipe(1, lambda source, _target, _companion: dlib.convert(source)),
    # The IR is two files; the manifest names the graph, and the weights lie beside it under the same name.
    "openvino-onnx": Recipe(1, lambda source, _target, companion: openvino.convert(source, companion(".bin"))),
    "minifasnet-onnx": Recipe(1, lambda source, _target, _companion: minifasnet.convert(source)),
    "prelu-split": Recipe(1, lambda source, _target, _companion: prelu.split(source)),
    "int8-static": Recipe(1, lambda source, target, _companion: int8.quantise(source, int8.load_ranges(target))),
}


def recipe(name: str, version: int) -> Recipe:
    found = RECIPES.get(name)
    if found is None or found.version != version:
        known = ", ".join(f"{n} {r.version}" for n, r in sorted(RECIPES.items()))
        raise BuildError(f"recipe {name} version {version} is not in this tool (it has {known}); use the tool of the manifest's release")
    return found
