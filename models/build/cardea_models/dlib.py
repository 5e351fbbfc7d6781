"""dlib's face recognition ResNet from its serialised form to ONNX.

dlib writes the layers from the input on. Each begins with a tag (`con_4`, `affine_`, `fc_2`, ...), and every layer with
parameters follows it with one tensor: version 2, four dimensions as variable-length integers, little-endian float32.
"""

import re

import numpy as np
from onnx import helper

from . import onnx_file
from .files import BuildError

SIZE = 150
# dlib's input layer: the channel means it subtracts, and the 1/256 it multiplies by (input_rgb_image_sized<150>).
MEAN = (122.782, 117.001, 104.298)
EMBEDDING = 128
# Blocks from the input on: channels, number of residual blocks, does the first one halve the image.
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))

_TAG = re.compile(rb"\x01([\x03-\x20])(con_\d?|affine_|fc_\d?|max_pool_\d?)")


class _Reader:
    def __init__(self, data: bytes, position: int):
        self._data, self.position = data, position

    def integer(self) -> int:
        """A head byte (low nibble: number of bytes, top bit: sign) and the little-endian magnitude."""
        head = self._data[self.position]
        count = head & 0x0F
        value = int.from_bytes(self._data[self.position + 1:self.position + 1 + count], "little")
        self.position += 1 + count
        return -value if head & 0x80 else value

    def integers(self, count: int) -> list:
        return [self.integer() for _ in range(count)]

    def tensor(self) -> np.ndarray:
        version = self.integer()
        if version != 2:
            raise BuildError(f"dlib tensor of version {version}; this reader knows version 2")
        count = int(np.prod(self.integers(4)))
        values = np.frombuffer(self._data, "<f4", count, self.position).copy()
        self.position += 4 * count
        return values


def _layers(data: bytes):
    """Yields (kind, tensor or None, numbers) from the input on."""
    position = 0
    while match := _TAG.search(data, position):
        tag = match.group(2).decode()
        if match.group(1)[0] != len(tag):
            position = match.start() + 1
            continue
        reader = _Reader(data, match.end())
        if tag.startswith("con_"):
            tensor = reader.tensor()
            yield "conv", tensor, reader.integers(7)
        elif tag.startswith("affine_"):
            yield "affine", reader.tensor(), []
        elif tag.startswith("fc_"):
            sizes = reader.integers(2)
            yield "fc", reader.tensor(), sizes
        else:
            yield "max_pool", None, reader.integers(6)
        position = reader.position


def convert(data: bytes) -> bytes:
    return _Converter(data).run()


def _out_size(size: int, kernel: int, stride: int, padding: int) -> int:
    return 1 + (size + 2 * padding - kernel) // stride


class _Converter:
    def __init__(self, data: bytes):
        layers = list(_layers(data))
        pools = [numbers for kind, _, numbers in layers if kind == "max_pool"]
        if len(pools) != 1 or pools[0][:2] != [3, 3]:
            raise BuildError(f"dlib network: expected one 3x3 max pooling, found {pools}")
        self._pool = pools[0]
        self._weights = iter([layer for layer in layers if layer[0] != "max_pool"])
        self._nodes, self._initializers = [], []

    def run(self) -> bytes:
        x = self._node("Sub", ["input", self._constant(np.array(MEAN, np.float32).reshape(1, 3, 1, 1), "mean")])
        x = self._node("Mul", [x, self._constant(np.float32(1 / 256), "scale")])
        x, channels, (_, kernel, _, stride, _, padding, _) = self._convolution(x, 3)
        size = _out_size(SIZE, kernel, stride, padding)
        x = self._node("Relu", [x])
        _, _, stride_y, stride_x, pad_y, pad_x = self._pool
        x = self._node("MaxPool", [x], kernel_shape=[3, 3], strides=[stride_y, stride_x], pads=[pad_y, pad_x] * 2)
        size = _out_size(size, 3, stride_y, pad_y)
        for width, blocks, halve in STAGES:
            for block in range(blocks):
                x, channels, size = self._residual(x, channels, size, width, halve and block == 0)
        x = self._node("Flatten", [self._node("GlobalAveragePool", [x])])
        kind, tensor, _ = next(self._weights)
        if kind != "fc" or tensor.size != channels * EMBEDDING or next(self._weights, None) is not None:
            raise BuildError("dlib network: expected one last fully connected layer of 256 x 128")
        weights = self._constant(tensor.reshape(channels, EMBEDDING), "fc")
        self._nodes.append(helper.make_node("MatMul", [x, weights], ["embedding"]))
        return onnx_file.finish(self._nodes, "dlib_resnet_v1", [onnx_file.tensor_info("input", [1, 3, SIZE, SIZE])],
                                [onnx_file.tensor_info("embedding", [1, EMBEDDING])], self._initializers)

    def _convolution(self, x: str, channels_in: int) -> tuple:
        """A convolution with the affine layer behind it folded in: W·g, b·g + beta."""
        kind, tensor, numbers = next(self._weights)
        channels, rows, columns, stride_y, stride_x, pad_y, pad_x = numbers if kind == "conv" else [0] * 7
        count = channels * channels_in * rows * columns
        kind_after, affine, _ = next(self._weights)
        if kind != "conv" or kind_after != "affine" or affine.size != 2 * channels or tensor.size not in (count, count + channels):
            raise BuildError(f"dlib network: expected a convolution and its affine layer, found {kind} and {kind_after}")
        weights = tensor[:count].reshape(channels, channels_in, rows, columns)
        bias = tensor[count:] if tensor.size > count else np.zeros(channels, np.float32)
        gain, shift = affine[:channels], affine[channels:]
        inputs = [x, self._constant(weights * gain[:, None, None, None], "w"), self._constant(bias * gain + shift, "b")]
        return self._node("Conv", inputs, kernel_shape=[rows, columns], strides=[stride_y, stride_x],
                          pads=[pad_y, pad_x] * 2), channels, numbers

    def _residual(self, x: str, channels: int, size: int, width: int, halve: bool) -> tuple:
        """Two 3x3 convolutions beside the identity, which is pooled when the block halves and padded with zeros to fit."""
        y, _, first = self._convolution(x, channels)
        y, _, second = self._convolution(self._node("Relu", [y]), width)
        inner = _out_size(_out_size(size, 3, first[3], first[5]), 3, second[3], second[5])
        identity, outer = x, size
        if halve:
            identity = self._node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            outer = _out_size(size, 2, 2, 0)
        if channels != width or outer != inner:
            larger = max(outer, inner)
            if (channels, outer) != (width, larger):
                identity = self._pad(identity, width - channels, larger - outer)
            if inner != larger:
                y = self._pad(y, 0, larger - inner)
            inner = larger
        return self._node("Relu", [self._node("Add", [y, identity])]), width, inner

    def _pad(self, x: str, channels: int, pixels: int) -> str:
        return self._node("Pad", [x, self._constant(np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64), "pad")])

    def _constant(self, values, prefix: str) -> str:
        name = f"{prefix}{len(self._initializers)}"
        self._initializers.append(onnx_file.constant(name, values))
        return name

    def _node(self, op: str, inputs: list, **attributes) -> str:
        number = len(self._nodes) + 1
        self._nodes.append(helper.make_node(op, inputs, [f"v{number}"], name=f"{op}_{number}", **attributes))
        return f"v{number}"
