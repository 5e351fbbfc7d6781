"""MiniFASNet V2 and V1SE (Silent-Face-Anti-Spoofing) from their state dicts to ONNX.

The architecture is read off the tensor names: a unit is a convolution with its batch normalisation and perhaps a PReLU;
`conv`, `conv_dw` and `project` under one name are a depthwise-separable block; blocks under `.model.N` have a
shortcut; a block with `se_module` weighs its channels before the shortcut is added. The strides are not in the file: the
first convolution and the three blocks named after two stages (23, 34, 45) halve the image.
"""

import numpy as np
from onnx import helper

from . import onnx_file, torch_state
from .files import BuildError

SIZE = 80
HALVING = ("conv1", "conv_23", "conv_34", "conv_45")
EPSILON = 1e-5


def convert(data: bytes) -> bytes:
    return _Converter(torch_state.read(data)).run()


class _Converter:
    def __init__(self, state: dict):
        self._state = state
        self._used = {name for name in state if name.endswith("num_batches_tracked")}
        self._nodes, self._initializers = [], []

    def run(self) -> bytes:
        x = "input"
        # Insertion order of the state dict is the order of the forward pass.
        for stage in dict.fromkeys(name.split(".")[0] for name in self._state):
            if stage in ("linear", "bn", "prob"):
                continue
            x = self._stage(x, stage)
        x = self._node("Flatten", [x], "flatten")
        gain, shift = self._normalisation("bn")
        # linear has no bias of its own; the normalisation behind it is folded in: (x·W)·g + s = x·(W·g) + s.
        x = self._linear(x, "linear", self._take("linear.weight").astype(np.float64) * gain[:, None], shift, "linear")
        self._linear(x, "prob", self._take("prob.weight"), None, "logits")
        if left := sorted(set(self._state) - self._used):
            raise BuildError(f"MiniFASNet: tensors without a place in the known architecture: {', '.join(left[:5])}")
        return onnx_file.finish(self._nodes, "minifasnet", [onnx_file.tensor_info("input", [1, 3, SIZE, SIZE])],
                                [onnx_file.tensor_info("logits", [1, 3])], self._initializers)

    def _stage(self, x: str, stage: str) -> str:
        if f"{stage}.conv.weight" in self._state:
            return self._unit(x, stage, stride=2 if stage in HALVING else 1)
        if f"{stage}.project.conv.weight" in self._state:
            return self._block(x, stage, stride=2 if stage in HALVING else 1)
        index = 0
        while f"{stage}.model.{index}.project.conv.weight" in self._state:
            name = f"{stage}.model.{index}"
            x = self._node("Add", [x, self._block(x, name, stride=1)], f"{name}.sum")
            index += 1
        if index == 0:
            raise BuildError(f"MiniFASNet: {stage} is neither a unit nor a block nor a row of blocks")
        return x

    def _block(self, x: str, name: str, stride: int) -> str:
        x = self._unit(x, f"{name}.conv")
        x = self._unit(x, f"{name}.conv_dw", stride)
        x = self._unit(x, f"{name}.project")
        return self._squeeze_excite(x, f"{name}.se_module") if f"{name}.se_module.fc1.weight" in self._state else x

    def _squeeze_excite(self, x: str, name: str) -> str:
        y = self._node("GlobalAveragePool", [x], f"{name}.mean")
        y = self._convolution(y, f"{name}.fc1", f"{name}.fc1.weight", f"{name}.bn1")
        y = self._convolution(self._node("Relu", [y], f"{name}.relu"), f"{name}.fc2", f"{name}.fc2.weight", f"{name}.bn2")
        return self._node("Mul", [x, self._node("Sigmoid", [y], f"{name}.gate")], f"{name}.out")

    def _unit(self, x: str, name: str, stride: int = 1) -> str:
        x = self._convolution(x, f"{name}.conv", f"{name}.conv.weight", f"{name}.bn", stride)
        slope = f"{name}.prelu.weight"
        if slope not in self._state:
            return x
        return self._node("PRelu", [x, self._constant(slope, self._take(slope).reshape(-1, 1, 1))], f"{name}.prelu")

    def _convolution(self, x: str, name: str, weight: str, normalisation: str, stride: int = 1) -> str:
        gain, shift = self._normalisation(normalisation)
        kernel = self._take(weight).astype(np.float64) * gain[:, None, None, None]
        channels, per_group, height, width = kernel.shape
        groups = channels if per_group == 1 else 1
        # The 5x5 layer is a global depthwise convolution over the last 5x5 map and takes no border; 3x3 keep the size.
        border = 1 if height == 3 else 0
        inputs = [x, self._constant(f"{name}.w", kernel), self._constant(f"{name}.b", shift)]
        return self._node("Conv", inputs, name, kernel_shape=[height, width], strides=[stride, stride],
                          dilations=[1, 1], pads=[border] * 4, group=groups)

    def _normalisation(self, name: str) -> tuple:
        """Batch normalisation at inference is x·gain + shift. In float64, element by element: the same on every machine."""
        weight, bias, mean, variance = (
            self._take(f"{name}.{part}").astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var"))
        gain = weight / np.sqrt(variance + EPSILON)
        return gain, bias - mean * gain

    def _linear(self, x: str, name: str, weights, bias, output: str) -> str:
        inputs = [x, self._constant(f"{name}.w", weights)]
        if bias is not None:
            inputs.append(self._constant(f"{name}.b", bias))
        return self._node("Gemm", inputs, output, transB=1)

    def _take(self, name: str) -> np.ndarray:
        if name not in self._state:
            raise BuildError(f"MiniFASNet: the state dict has no {name}")
        self._used.add(name)
        return self._state[name]

    def _constant(self, name: str, values) -> str:
        self._initializers.append(onnx_file.constant(name, np.asarray(values, np.float32)))
        return name

    def _node(self, op: str, inputs: list, output: str, **attributes) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output
