"""Measures activation ranges and bias corrections for int8 on the pinned clip and portrait; writes `ranges/*.json`.

A maintainer's command: its result is committed, and building from it needs no picture, no ffmpeg and no inference.
One man and one woman are few, so every picture is also seen mirrored, darker, brighter, grey, noisy and blurred.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from . import answers, int8, manifest, onnx_file, packages, vision
from .files import BuildError, write_atomically
from .make import Workshop, note

CLIP_SIZE = (176, 144)
PORTRAIT_SIZE = (512, 512)
CLIP_STEP = 5
BINS = 2048
# Enough for stable means, few enough that the corrections, one convolution after the other, take a minute per network.
BIAS_INPUTS, RANGE_INPUTS, SAMPLED = 32, 128, 20000

# What becomes int8 in which network, and what stays float because it was measured to be needed (models/README.md).
# Bias correction helps where errors add up over many layers to one direction of an embedding. Elsewhere it fits the two
# people of the samples: with it FaceMesh's error rose from 0.4 % to 1.1 % of the eye distance, and PAD passed one more replay.
@dataclass(frozen=True)
class Plan:
    operators: tuple
    float_nodes: tuple = ()
    correct_bias: bool = False


_CONV_RELU = ("Conv", "Relu", "Add", "MaxPool")
# YuNet's two last levels of convolutions, the heads: a step of u8 there is a visible part of a score or of an offset.
_YUNET_HEADS = tuple(f"Conv_{i}" for i in range(54, 78))
# BlazeFace's heads and the two blocks before them. With only the heads in float the points were off by 16 % of the eye
# distance; the last block alone made three quarters of that.
_BLAZEFACE_END = tuple(f"n{i}_Conv" for i in (72, 73, 76, 77, 80, 81, 82, 83))
PLANS = {
    "yunet": Plan(_CONV_RELU, _YUNET_HEADS),
    "blazeface": Plan(("Conv",), _BLAZEFACE_END),
    "dlib_resnet": Plan((*_CONV_RELU, "AveragePool", "Pad"), correct_bias=True),
    "facemesh": Plan(("Conv",)),
    "eye_contour": Plan(("Conv",)),
    "reid0095": Plan(("Conv",), correct_bias=True),
    "minifasnet_v2": Plan(("Conv",)),
    "minifasnet_v1se": Plan(("Conv",)),
}


def run(names: list, shelves, online: bool) -> None:
    packs = [manifest.load(name) for name in manifest.names()]
    targets = {file.origin.file: (pack, file) for pack in packs for file in pack.files if file.precision == "int8"}
    if unknown := sorted(set(names) - set(targets)):
        raise BuildError(f"no int8 file {unknown[0]}; known are {', '.join(sorted(targets))}")
    fp32 = {file.model: Workshop(pack, shelves, online).obtain(file.origin)
            for pack in packs for file in pack.files if file.precision == "fp32"}
    pictures = Pictures(shelves, online, fp32)
    for name in names or sorted(targets):
        file = targets[name][1]
        ranges = measure(fp32[file.model], PLANS[file.model], pictures.inputs(file))
        path = int8.RANGES / f"{Path(name).stem}.json"
        write_atomically(path, as_json(ranges).encode("ascii"))
        note(f"written  {path.name}")


def as_json(ranges: dict) -> str:
    """One line per entry, so that a change is seen in a diff."""
    parts = []
    for key, value in ranges.items():
        if isinstance(value, dict):
            lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f" {json.dumps(key)}: {{\n{lines}\n }}")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


class Pictures:
    """The sample pictures with their faces found, and from them every network's inputs."""

    def __init__(self, shelves, online: bool, fp32: dict):
        self._random = None
        self._mesh = answers.session(fp32["facemesh"])
        detector = answers.session(fp32["yunet"])
        self._faces = []
        for picture in self._load(shelves, online):
            for image in (picture, picture[:, ::-1]):
                if face := self._face(detector, np.ascontiguousarray(image)):
                    self._faces.append(face)
        if len(self._faces) < 20:
            raise BuildError(f"calibrate found only {len(self._faces)} faces in its samples; the detector or the samples are wrong")
        note(f"calibrating on {len(self._faces)} faces")

    @staticmethod
    def _load(shelves, online):
        with tempfile.TemporaryDirectory(prefix="cardea-calibrate-") as scratch:
            for sample, size, step in ((packages.CLIP, CLIP_SIZE, CLIP_STEP), (packages.PORTRAIT, PORTRAIT_SIZE, 1)):
                path = Path(scratch, sample.file)
                path.write_bytes(packages.sample(sample, shelves, online, note))
                yield from vision.decode(str(path), *size)[::step]
                if sample is packages.PORTRAIT:
                    # The portrait once more as a camera would see it from further away, and turned a little.
                    portrait = vision.decode(str(path), *size)[0]
                    for side, angle in ((700, 0.0), (400, 0.2), (400, -0.2), (1000, 0.0)):
                        yield vision.warp(portrait, vision.square((256, 200), side, angle, 320), 320, 320).astype(np.uint8)

    def _face(self, detector, image):
        canvas, scale = vision.scale_to_fit(image, 320)
        names = [output.name for output in detector.get_outputs()]
        found = vision.best_face(dict(zip(names, detector.run(None, {"input": vision.tensor(canvas, "bgr", 0, 255)}))), scale)
        if not found:
            return None
        box, points = found
        centre, side = box[:2] + box[2:] / 2, 1.5 * box[2:].max()
        angle = np.arctan2(*(points[1] - points[0])[::-1])
        matrix = vision.square(centre, side, angle, 192)
        crop = vision.warp(image, matrix, 192, 192)
        landmarks = self._mesh.run(["landmarks"], {"input": vision.tensor(crop, "rgb", 0, 1)})[0].reshape(468, 3)[:, :2]
        inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
        mesh = landmarks @ inverse[:2, :2].T + inverse[:2, 2]
        return image, box, points, (centre, side, angle), mesh

    def inputs(self, file) -> list:
        make = {"detect": self._detect, "landmarks": self._landmarks, "eyes": self._eyes, "embed": self._embed, "pad": self._pad}[file.role]
        # Anew for each file: calibrating one alone or all together gives the same numbers.
        self._random = np.random.default_rng(7)
        spec, crops = file.input, []
        for face in self._faces:
            for crop in make(file, *face):
                crops += [crop, self._varied(crop)]
        return [vision.tensor(crop, spec["order"], spec["lo"], spec["hi"]) for crop in crops]

    def _varied(self, crop):
        kind = self._random.integers(6)
        if kind == 0:
            crop = crop * self._random.uniform(0.4, 0.8)
        elif kind == 1:
            crop = crop * self._random.uniform(1.2, 1.7)
        elif kind == 2:
            crop = np.repeat(crop.mean(axis=2, keepdims=True), 3, axis=2)
        elif kind == 3:
            crop = crop + self._random.normal(0, 8, crop.shape)
        elif kind == 4:
            crop = (crop + np.roll(crop, 1, 0) + np.roll(crop, 1, 1) + np.roll(crop, (1, 1), (0, 1))) / 4
        else:
            crop = (crop - 128) * self._random.uniform(0.5, 1.4) + 128
        return crop.clip(0, 255)

    def _detect(self, file, image, box, _points, _roi, _mesh):
        size = file.input["shape"][2]
        centre = box[:2] + box[2:] / 2
        if file.family == "yunet":
            yield vision.scale_to_fit(image, size)[0]
        else:
            yield vision.centred_square(image, size)
        yield vision.warp(image, vision.square(centre, 2.5 * box[2:].max(), 0.0, size), size, size)

    def _landmarks(self, _file, image, _box, _points, roi, _mesh):
        yield vision.warp(image, vision.square(*roi, 192), 192, 192)
        centre, side, angle = roi
        shift = self._random.uniform(-.05, .05, 2) * side
        yield vision.warp(image, vision.square(centre + shift, side * self._random.uniform(.85, 1.15), angle + .1, 192), 192, 192)

    def _eyes(self, _file, image, _box, _points, _roi, mesh):
        for (first, second), mirrored in ((vision.EYE_LEFT_IN_IMAGE, True), (vision.EYE_RIGHT_IN_IMAGE, False)):
            one, other = mesh[first], mesh[second]
            across = other - one
            crop = vision.warp(image, vision.square((one + other) / 2, 2.3 * np.hypot(*across), np.arctan2(across[1], across[0]), 64), 64, 64)
            yield crop[:, ::-1] if mirrored else crop

    def _embed(self, file, image, _box, points, _roi, mesh):
        size = file.input["shape"][2]
        source, target = (points, vision.TEMPLATE_128) if size == 128 else (mesh[vision.MESH_150], vision.TEMPLATE_150)
        yield vision.warp(image, vision.similarity(source, target), size, size)
        jittered = source + self._random.normal(0, 0.03, source.shape) * np.ptp(source)
        yield vision.warp(image, vision.similarity(jittered, target), size, size)

    def _pad(self, file, image, box, _points, _roi, _mesh):
        yield vision.pad_crop(image, box, file.crop_scale, 80)


# Measuring.

def measure(data: bytes, plan: Plan, inputs: list) -> dict:
    graph = onnx_file.parse(data).graph
    nodes = int8.quantised_nodes(graph, plan.operators, plan.float_nodes)
    tensors = int8.quantised_tensors(graph, nodes)
    note(f"  {len(nodes)} nodes, {len(tensors)} activations, {len(inputs)} inputs")
    ranges = {
        "operators": list(plan.operators),
        "float_nodes": list(plan.float_nodes),
        "activations": _activation_ranges(data, tensors, inputs[::max(1, len(inputs) // RANGE_INPUTS)]),
        "bias": {},
    }
    if plan.correct_bias:
        ranges["bias"] = _bias_corrections(data, ranges, nodes, inputs[::max(1, len(inputs) // BIAS_INPUTS)])
    return ranges


def _with_outputs(data: bytes, names: list):
    """A session that also gives the named activations."""
    model = onnx_file.parse(data)
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return answers.session(onnx.shape_inference.infer_shapes(model).SerializeToString(), threads=2)


def _activation_ranges(data: bytes, tensors: list, inputs: list) -> dict:
    given = [t.name for t in onnx_file.parse(data).graph.input]
    inner = [name for name in tensors if name not in given]
    run = _with_outputs(data, inner)

    def values():
        for x in inputs:
            yield from zip(inner, run.run(None, {given[0]: x}))
            if given[0] in tensors:
                yield given[0], x

    lows, highs = dict.fromkeys(tensors, 0.0), dict.fromkeys(tensors, 0.0)
    for name, value in values():
        lows[name], highs[name] = min(lows[name], float(value.min())), max(highs[name], float(value.max()))
    counts = {name: np.zeros(BINS) for name in tensors}
    for name, value in values():
        if highs[name] > lows[name]:
            sampled = value.ravel()[::max(1, value.size // SAMPLED)]
            counts[name] += np.histogram(sampled, BINS, (lows[name], highs[name]))[0]
    return {name: [float(f"{v:.6g}") for v in _best_range(lows[name], highs[name], counts[name])] for name in tensors}


def _best_range(low: float, high: float, counts: np.ndarray) -> tuple:
    """The range with the smallest mean square error: clipping few large values may give all others finer steps."""
    if high <= low:
        return low, high
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    best = None
    for shrink_low in SHRINKS if low < 0 else (1.0,):
        for shrink_high in SHRINKS:
            a, b = low * shrink_low, high * shrink_high
            step = (b - a) / 255
            error = float((counts * (a + step * np.rint((centres.clip(a, b) - a) / step) - centres) ** 2).sum())
            if best is None or error < best[0]:
                best = (error, a, b)
    return best[1:]


SHRINKS = np.linspace(0.5, 1.0, 11)


def _bias_corrections(data: bytes, ranges: dict, nodes: list, inputs: list) -> dict:
    """Per convolution and channel, the mean error that quantising everything before and in it makes, with the sign turned.

    From the input on, one convolution at a time, so that each sees the corrected ones before it.
    """
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    run = _with_outputs(data, [node.output[0] for node in convolutions])
    given = run.get_inputs()[0].name
    wanted = [np.mean(means, axis=0) for means in zip(*(_channel_means(run, given, x) for x in inputs))]
    corrections = {}
    for node, mean in zip(convolutions, wanted):
        run = _with_outputs(int8.quantise(data, dict(ranges, bias=corrections)), [node.output[0]])
        got = np.mean([_channel_means(run, given, x)[0] for x in inputs], axis=0)
        corrections[node.name] = [float(f"{v:.4g}") for v in mean - got]
    return corrections


def _channel_means(run, given: str, x) -> list:
    return [value.mean(axis=(0, 2, 3), dtype=np.float64) for value in run.run(None, {given: x})]
