"""What every recipe shares about ONNX files: how one is finished, read and written, always to the same bytes."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
# IR 8 is read by every ONNX Runtime since 1.10.
IR_VERSION = 8


def constant(name: str, values) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(values), name)


def tensor_info(name: str, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def finish(nodes, graph_name, inputs, outputs, initializers, producer: str | None = None) -> bytes:
    """Checks the graph and returns the file's bytes."""
    graph = helper.make_graph(nodes, graph_name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                              **({"producer_name": producer} if producer else {}))
    # An empty text, but a present one, as older versions of the onnx package wrote it: the digests of the files that are
    # already in use were taken over this form.
    model.doc_string = ""
    model.ir_version = IR_VERSION
    return dump(model)


def dump(model) -> bytes:
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def parse(data: bytes):
    return onnx.load_model_from_string(data)
