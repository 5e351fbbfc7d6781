"""OpenVINO IR version 5 (XML graph, binary float16 weights) to ONNX, for face-reidentification-retail-0095."""

import xml.etree.ElementTree as ElementTree
from collections import namedtuple

import numpy as np
from onnx import helper

from . import onnx_file
from .files import BuildError

_Layer = namedtuple("_Layer", "id type data blobs inputs input_shapes output_shape")


def convert(xml: bytes, weights: bytes, output_name: str = "embedding") -> bytes:
    root = ElementTree.fromstring(xml)
    edges = {(edge.get("to-layer"), edge.get("to-port")): edge.get("from-layer") for edge in root.find("edges")}
    consumed = set(edges.values())
    nodes, initializers, values = [], [], {}
    input_shape = last = None
    for element in root.find("layers"):
        layer = _read(element, weights, edges, values)
        if layer.type == "Input":
            values[layer.id], input_shape = "input", layer.output_shape
            continue
        _emit(layer, nodes, initializers)
        values[layer.id] = f"L{layer.id}"
        if layer.id not in consumed:
            last = layer
    nodes.append(helper.make_node("Flatten", [values[last.id]], [output_name], name="flat"))
    size = int(np.prod(last.output_shape[1:]))
    return onnx_file.finish(nodes, "ov", [onnx_file.tensor_info("input", input_shape)],
                            [onnx_file.tensor_info(output_name, [1, size])], initializers)


def _read(element, weights: bytes, edges: dict, values: dict) -> _Layer:
    data = element.find("data")
    ports = element.find("input")
    blobs = {}
    for blob in element.find("blobs") if element.find("blobs") is not None else []:
        start, size = int(blob.get("offset")), int(blob.get("size"))
        dtype = {"FP16": "<f2", "FP32": "<f4"}[blob.get("precision") or element.get("precision")]
        blobs[blob.tag] = np.frombuffer(weights[start:start + size], dtype).astype(np.float32)
    ports = list(ports) if ports is not None else []
    return _Layer(
        element.get("id"), element.get("type"), dict(data.attrib) if data is not None else {}, blobs,
        [values[edges[(element.get("id"), port.get("id"))]] for port in ports],
        [[int(dim.text) for dim in port] for port in ports],
        [[int(dim.text) for dim in port] for port in element.find("output")][0])


def _emit(layer: _Layer, nodes: list, initializers: list) -> None:
    def weight(values, prefix):
        initializers.append(onnx_file.constant(f"{prefix}_{layer.id}", values))
        return f"{prefix}_{layer.id}"

    def node(op, inputs, output=f"L{layer.id}", **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{layer.id}_{len(nodes)}", **attributes))

    def numbers(key):
        return [int(value) for value in layer.data[key].split(",")]

    source = layer.inputs
    if layer.type == "ScaleShift":
        scaled = f"L{layer.id}m"
        node("Mul", [source[0], weight(layer.blobs["weights"].reshape(1, -1, 1, 1), "s")], scaled)
        node("Add", [scaled, weight(layer.blobs["biases"].reshape(1, -1, 1, 1), "t")])
    elif layer.type == "Convolution":
        kernel, groups, channels = numbers("kernel"), int(layer.data["group"]), int(layer.data["output"])
        shape = [channels, layer.input_shapes[0][1] // groups] + kernel
        inputs = [source[0], weight(layer.blobs["weights"].reshape(shape), "w")]
        if "biases" in layer.blobs:
            inputs.append(weight(layer.blobs["biases"], "b"))
        node("Conv", inputs, kernel_shape=kernel, strides=numbers("strides"), dilations=numbers("dilations"),
             pads=numbers("pads_begin") + numbers("pads_end"), group=groups)
    elif layer.type == "PReLU":
        slope = np.broadcast_to(layer.blobs["weights"].reshape(-1, 1, 1), (layer.input_shapes[0][1], 1, 1))
        node("PRelu", [source[0], weight(slope, "a")])
    elif layer.type == "Pooling" and layer.data["pool-method"] == "avg" and numbers("kernel") == layer.input_shapes[0][2:]:
        node("GlobalAveragePool", [source[0]])
    elif layer.type in ("Activation", "Sigmoid") and layer.data.get("type", "sigmoid") == "sigmoid":
        node("Sigmoid", [source[0]])
    elif layer.type == "Eltwise":
        node({"sum": "Add", "mul": "Mul", "prod": "Mul"}[layer.data["operation"]], source)
    else:
        raise BuildError(f"OpenVINO layer {layer.id}: type {layer.type} {layer.data} is not known to this converter")
