"""Static int8 quantisation (QDQ form): a pure function of the fp32 file and the committed ranges.

Activations are u8 with one scale, weights s8 with a scale per output channel, biases s32. Inputs and outputs of the
network stay float32. Whatever is measured (ranges, bias corrections) comes from `ranges/<file>.json`; nothing here depends on
the machine: every number is made by single IEEE operations on those numbers and the weights, never by a sum.

On x86 activations must be u8 (s8·s8 runs 20 times slower in ONNX Runtime).
Weights use 7 bits (-63..63): processors without VNNI add two u8·s8 products in 16 bits, which overflows for 8-bit weights
(2·255·127 > 32767) without any error; with 63 it cannot (2·255·63 = 32130).
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from . import onnx_file
from .files import BuildError

RANGES = Path(__file__).resolve().parents[1] / "ranges"
WEIGHT_LIMIT = 63
WEIGHTED = ("Conv",)


def load_ranges(target: str) -> dict:
    """`activations`: tensor -> [min, max]; `float_nodes`: kept in float; `operators`: kinds to quantise; `bias`: corrections."""
    path = RANGES / f"{Path(target).stem}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(f"{path.name}: no activation ranges are committed for {target}; `build.py calibrate {target}` measures them") from None


def quantise(data: bytes, ranges: dict) -> bytes:
    return _Quantiser(onnx_file.parse(data), ranges).run()


def quantised_nodes(graph, operators, float_nodes) -> list:
    """The nodes that become int8. A node that makes an output of the network stays float: there is nothing left to save."""
    outputs = {output.name for output in graph.output}
    return [node for node in graph.node
            if node.op_type in operators and node.name not in float_nodes and not outputs & set(node.output)]


def quantised_tensors(graph, nodes: list) -> list:
    """The activations that get a scale, in graph order.

    What only feeds a ReLU has none of its own: the range is ReLU's, whose zero point is 0, and ONNX Runtime runs the two as one.
    """
    constants = {tensor.name for tensor in graph.initializer}
    chosen_relus = {node.input[0] for node in nodes if node.op_type == "Relu"}
    uses = Counter(name for node in graph.node for name in node.input)
    fused = {name for node in nodes if node.op_type in ("Conv", "Add") for name in node.output
             if name in chosen_relus and uses[name] == 1}
    touched = dict.fromkeys(name for node in nodes for name in [*node.input, *node.output])
    return [name for name in touched if name and name not in constants and name not in fused]


def activation_scale(low: float, high: float) -> tuple:
    """(scale, zero point) of a u8 activation. Zero is always exactly representable, as padding needs it."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255.0) if high > low else np.float32(1.0)
    return scale, np.uint8(min(max(round(-low / float(scale)), 0), 255))


class _Quantiser:
    def __init__(self, model, ranges: dict):
        self._model, self._graph, self._ranges = model, model.graph, ranges
        self._constants = {tensor.name: tensor for tensor in self._graph.initializer}
        if any(not node.name for node in self._graph.node if node.op_type in ranges["operators"]):
            raise BuildError("int8: a node without a name cannot be chosen by name; name it in its conversion")
        self._chosen = {n.name for n in quantised_nodes(self._graph, ranges["operators"], ranges["float_nodes"])}
        nodes = [node for node in self._graph.node if node.name in self._chosen]
        self._scaled = set(quantised_tensors(self._graph, nodes))
        self._from_chosen = {name for node in nodes for name in node.output}
        self._nodes, self._added = [], []

    def run(self) -> bytes:
        for info in self._graph.input:
            self._quantise_activation(info.name)
        for node in list(self._graph.node):
            self._emit(node)
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used] + self._added
        del self._graph.node[:], self._graph.initializer[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(kept)
        # Scales per channel exist from opset 13 on. The operators of an older file used here did not change in between.
        for opset in self._model.opset_import:
            opset.version = max(opset.version, onnx_file.OPSET)
        return onnx_file.dump(self._model)

    def _emit(self, node) -> None:
        chosen = node.name in self._chosen
        for position, name in enumerate(node.input):
            # A float node reads the float value where one exists; a chosen one always reads the quantised.
            if name in self._scaled and (chosen or name in self._from_chosen):
                node.input[position] = f"{name}_dq"
        if chosen and node.op_type in WEIGHTED:
            self._quantise_weights(node)
        self._nodes.append(node)
        for name in node.output:
            self._quantise_activation(name)

    def _quantise_activation(self, name: str) -> None:
        if name not in self._scaled:
            return
        scale, zero = self._scale(name)
        scale_name, zero_name = self._add(f"{name}_scale", scale), self._add(f"{name}_zero", zero)
        self._nodes.append(helper.make_node("QuantizeLinear", [name, scale_name, zero_name], [f"{name}_q"], name=f"{name}_Q"))
        self._nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", scale_name, zero_name], [f"{name}_dq"], name=f"{name}_DQ"))

    def _scale(self, name: str) -> tuple:
        if name not in self._ranges["activations"]:
            raise BuildError(f"int8: the ranges have no entry for activation {name}; calibrate again for this network")
        return activation_scale(*self._ranges["activations"][name])

    def _quantise_weights(self, node) -> None:
        source, weight_name = node.input[0].removesuffix("_dq"), node.input[1]
        weights = numpy_helper.to_array(self._constants[weight_name]).astype(np.float32)
        largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
        scales = np.where(largest > 0, largest, np.float32(1)) / np.float32(WEIGHT_LIMIT)
        steps = np.rint(weights / scales.reshape(-1, *[1] * (weights.ndim - 1)))
        # A name of its own per node: two nodes may share weights but not the scale of what they read.
        prefix = f"{node.name}_w"
        node.input[1] = self._dequantised(prefix, np.clip(steps, -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8), scales)
        bias = np.zeros(len(weights), np.float32)
        if len(node.input) > 2:
            bias = numpy_helper.to_array(self._constants[node.input[2]]).astype(np.float32)
        if correction := self._ranges["bias"].get(node.name):
            bias = bias + np.array(correction, np.float32)
        bias_scales = scales * self._scale(source)[0]
        limit = 2.0**31 - 1
        bias_steps = np.clip(np.rint(bias.astype(np.float64) / bias_scales), -limit, limit).astype(np.int32)
        bias_name = self._dequantised(f"{node.name}_b", bias_steps, bias_scales)
        if len(node.input) > 2:
            node.input[2] = bias_name
        else:
            node.input.append(bias_name)

    def _dequantised(self, prefix: str, steps, scales) -> str:
        inputs = [self._add(f"{prefix}_q", steps), self._add(f"{prefix}_scale", scales.astype(np.float32)),
                  self._add(f"{prefix}_zero", np.zeros(len(scales), steps.dtype))]
        self._nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{prefix}_dq"], name=f"{prefix}_DQ", axis=0))
        return f"{prefix}_dq"

    def _add(self, name: str, values) -> str:
        # Not onnx_file.constant, which makes a vector of a single number: QLinearAdd wants its scales as scalars.
        self._added.append(numpy_helper.from_array(np.asarray(values), name))
        return name
