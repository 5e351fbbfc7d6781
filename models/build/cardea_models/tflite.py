"""MediaPipe's float networks from TFLite (NHWC) to ONNX (NCHW).

Only the operators that the three networks use are known; any other stops the conversion with its number.
Tensors keep their TFLite index in their ONNX name (`t12`, weights `w12`, biases `b12`), which makes the two files
comparable line by line and the result the same on every run.
"""

import numpy as np
from onnx import helper

from . import onnx_file
from .files import BuildError
from .flatbuffer import Table

# TFLite's own numbers (schema.fbs, enum BuiltinOperator).
ADD, CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, MAX_POOL_2D = 0, 2, 3, 4, 6, 17
RELU, RESHAPE, PAD, PRELU = 19, 22, 34, 54
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
PADDING_SAME = 0

# The networks' outputs in the words of the pack manifests.
OUTPUT_NAMES = {
    "conv2d_21": "landmarks",
    "conv2d_31": "face_logit",
    "output_eyes_contours_and_brows": "eye_contour",
    "output_iris": "iris",
}


def convert(data: bytes) -> bytes:
    return _Converter(data).run()


class _Tensor:
    def __init__(self, table: Table, buffers: list):
        self.shape = table.array(0, np.int32).tolist()
        dtype = DTYPES[table.scalar(1, "b")]
        raw = buffers[table.scalar(2, "I")].array(0, np.uint8)
        self.name = table.text(3)
        if table.has(6):
            raise BuildError(f"TFLite tensor {self.name} is sparse, which this converter does not read")
        self.constant = np.frombuffer(raw.tobytes(), dtype).reshape(self.shape) if len(raw) else None

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 4

    def channels_first(self) -> list:
        n, h, w, c = self.shape
        return [n, c, h, w]


def _same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple:
    """TensorFlow's SAME: the odd pixel goes behind, which ONNX's SAME_UPPER also does; written out for clarity."""
    out = -(-size // stride)
    total = max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


class _Converter:
    def __init__(self, data: bytes):
        model = Table.root(data)
        # Two fields hold the operator's number: a byte in old files, an int in new ones; the other is 0.
        self._codes = [max(code.scalar(0, "b"), code.scalar(3, "i")) for code in model.tables(1)]
        graph = model.tables(2)[0]
        buffers = model.tables(4)
        self._tensors = [_Tensor(table, buffers) for table in graph.tables(0)]
        self._inputs = graph.array(1, np.int32).tolist()
        self._outputs = graph.array(2, np.int32).tolist()
        self._operators = graph.tables(3)
        self._constants = {i: t.constant for i, t in enumerate(self._tensors) if t.constant is not None}
        self._nodes, self._initializers, self._known = [], [], set()
        self._fresh = 0

    def run(self) -> bytes:
        steps = {
            ADD: self._add, CONCATENATION: self._concatenation, CONV_2D: self._convolution,
            DEPTHWISE_CONV_2D: self._convolution, DEQUANTIZE: self._dequantize, MAX_POOL_2D: self._max_pool,
            RELU: self._relu, RESHAPE: self._reshape, PAD: self._pad, PRELU: self._prelu,
        }
        for operator in self._operators:
            code = self._codes[operator.scalar(0, "I")]
            if code not in steps:
                raise BuildError(f"TFLite operator {code} is not known to this converter")
            inputs = operator.array(1, np.int32).tolist()
            output = operator.array(2, np.int32).tolist()[0]
            steps[code](code, inputs, output, operator.table(4))
        return self._finish()

    # Operators.

    def _dequantize(self, _code, inputs, output, _options):
        # Weights are stored as float16 and widened at load; here they are widened once.
        self._constants[output] = self._constants[inputs[0]].astype(np.float32)

    def _convolution(self, code, inputs, output, options):
        source, weights = inputs[0], self._constants[inputs[1]].astype(np.float32)
        padding, stride_w, stride_h = options.scalar(0, "b"), options.scalar(1, "i", 1), options.scalar(2, "i", 1)
        if code == CONV_2D:
            first, groups, weights = 3, 1, weights.transpose(0, 3, 1, 2)
        else:
            first, groups, weights = 4, self._tensors[source].shape[3], weights.transpose(3, 0, 1, 2)
        activation = options.scalar(first, "b")
        dilation_w, dilation_h = options.scalar(first + 1, "i", 1), options.scalar(first + 2, "i", 1)
        height, width = self._tensors[source].shape[1:3]
        kernel_h, kernel_w = weights.shape[2:]
        top = bottom = left = right = 0
        if padding == PADDING_SAME:
            top, bottom = _same_padding(height, kernel_h, stride_h, dilation_h)
            left, right = _same_padding(width, kernel_w, stride_w, dilation_w)
        arguments = [self._name(source), self._initializer(f"w{inputs[1]}", weights)]
        if len(inputs) > 2 and inputs[2] >= 0:
            arguments.append(self._initializer(f"b{inputs[2]}", self._constants[inputs[2]].astype(np.float32)))
        self._activated(activation, output, "Conv", arguments, kernel_shape=[kernel_h, kernel_w],
                        strides=[stride_h, stride_w], dilations=[dilation_h, dilation_w],
                        pads=[top, left, bottom, right], group=groups)

    def _max_pool(self, _code, inputs, output, options):
        padding, stride_w, stride_h, kernel_w, kernel_h, activation = (
            options.scalar(0, "b"), options.scalar(1, "i", 1), options.scalar(2, "i", 1), options.scalar(3, "i", 1),
            options.scalar(4, "i", 1), options.scalar(5, "b"))
        height, width = self._tensors[inputs[0]].shape[1:3]
        top = bottom = left = right = 0
        if padding == PADDING_SAME:
            top, bottom = _same_padding(height, kernel_h, stride_h)
            left, right = _same_padding(width, kernel_w, stride_w)
        self._activated(activation, output, "MaxPool", [self._name(inputs[0])], kernel_shape=[kernel_h, kernel_w],
                        strides=[stride_h, stride_w], pads=[top, left, bottom, right])

    def _add(self, _code, inputs, output, options):
        self._activated(options.scalar(0, "b") if options else 0, output, "Add", [self._name(i) for i in inputs])

    def _relu(self, _code, inputs, output, _options):
        self._node("Relu", [self._name(inputs[0])], self._name(output))

    def _prelu(self, _code, inputs, output, _options):
        slope = self._constants[inputs[1]].astype(np.float32).reshape(-1, 1, 1)
        self._node("PRelu", [self._name(inputs[0]), self._initializer(f"a{inputs[1]}", slope)], self._name(output))

    def _pad(self, _code, inputs, output, _options):
        pads = self._constants[inputs[1]].astype(np.int64)[[0, 3, 1, 2]]
        flat = np.concatenate([pads[:, 0], pads[:, 1]])
        self._node("Pad", [self._name(inputs[0]), self._initializer(f"p{inputs[1]}", flat)], self._name(output), mode="constant")

    def _concatenation(self, _code, inputs, output, options):
        axis = options.scalar(0, "i")
        if self._tensors[output].is_image:
            axis = {0: 0, 1: 2, 2: 3, 3: 1, -1: 1}[axis]
        self._node("Concat", [self._name(i) for i in inputs], self._name(output), axis=axis)

    def _reshape(self, _code, inputs, output, _options):
        # The flat order is that of NHWC, so an image is turned back before it is flattened. A 1x1 image is the same in both.
        source, name = self._tensors[inputs[0]], self._name(inputs[0])
        if source.is_image and source.shape[1:3] != [1, 1]:
            name = self._node("Transpose", [name], self._temporary(), perm=[0, 2, 3, 1])
        target = self._tensors[output]
        shape = self._initializer(f"shp{output}", np.array(target.shape, np.int64))
        if target.is_image:
            flat = self._node("Reshape", [name, shape], self._temporary())
            self._node("Transpose", [flat], self._name(output), perm=[0, 3, 1, 2])
        else:
            self._node("Reshape", [name, shape], self._name(output))

    # Names and nodes.

    @staticmethod
    def _name(index: int) -> str:
        return f"t{index}"

    def _temporary(self) -> str:
        self._fresh += 1
        return f"x{self._fresh}"

    def _initializer(self, name: str, values) -> str:
        if name not in self._known:
            self._known.add(name)
            self._initializers.append(onnx_file.constant(name, values))
        return name

    def _node(self, op: str, inputs: list, output: str, **attributes) -> str:
        self._nodes.append(helper.make_node(op, inputs, [output], name=f"n{len(self._nodes)}_{op}", **attributes))
        return output

    def _activated(self, activation: int, output: int, op: str, inputs: list, **attributes):
        """The operator and the activation that TFLite keeps inside it: none (0) or ReLU (1)."""
        if activation == 0:
            self._node(op, inputs, self._name(output), **attributes)
        elif activation == 1:
            self._node("Relu", [self._node(op, inputs, self._temporary(), **attributes)], self._name(output))
        else:
            raise BuildError(f"TFLite activation {activation} is not known to this converter")

    def _finish(self) -> bytes:
        rename = {self._name(self._inputs[0]): "input"}
        for index in self._outputs:
            own = self._tensors[index].name
            rename[self._name(index)] = OUTPUT_NAMES.get(own, own)
        for node in self._nodes:
            for names in (node.input, node.output):
                for position, name in enumerate(names):
                    names[position] = rename.get(name, name)

        def info(index):
            tensor = self._tensors[index]
            return onnx_file.tensor_info(rename[self._name(index)], tensor.channels_first() if tensor.is_image else tensor.shape)

        return onnx_file.finish(self._nodes, "tfl", [info(i) for i in self._inputs], [info(i) for i in self._outputs],
                                self._initializers, producer="tfl2onnx")
