"""Known answers: what a file gives for an input that is a formula, so that wrong weights are seen without any picture."""

import json
from pathlib import Path

import numpy as np
import onnxruntime

GOLDEN = Path(__file__).resolve().parents[1] / "golden.json"

# Outputs smaller than this on the formula input are near zero everywhere (YuNet's scores on noise): their relative error
# says nothing, so they are held absolutely here and are left out of the manifests.
SMALLEST_NORM = 0.1

# golden.json was computed elsewhere and is rounded to 5 decimals. Between x86 machines fp32 outputs of these networks
# differ by less than 1e-4 of their size (order of summation); the PReLU rewrite adds 1.5e-6. A wrong layer shows as 1e-1.
GOLDEN_TOLERANCE = 1e-3


def formula_input(shape: list, lo: float, hi: float) -> np.ndarray:
    """x[i] = lo + (hi-lo)·((i·7919) mod 1009)/1008 over the flat NCHW tensor."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    return (lo + (hi - lo) * ((i * 7919) % 1009) / 1008).astype(np.float32).reshape(shape)


def session(data: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def answer(data: bytes, input_name: str, shape: list, lo: float, hi: float) -> dict:
    """Output name -> (first values, at most 8; Euclidean norm of the whole output)."""
    run = session(data)
    outputs = run.run(None, {input_name: formula_input(shape, lo, hi)})
    return {info.name: (values.ravel()[:8].tolist(), float(np.linalg.norm(values.astype(np.float64))))
            for info, values in zip(run.get_outputs(), outputs)}


def deviation(first: list, norm: float, want_first: list, want_norm: float) -> float:
    """The largest of: a value's distance over max(1, largest wanted value), and the norm's relative distance.

    One number, comparable with a tolerance; a NaN counts as infinitely far.
    """
    scale = max(1.0, *(abs(v) for v in want_first))
    distances = [abs(a - b) / scale for a, b in zip(first, want_first, strict=True)]
    distances.append(abs(norm - want_norm) / max(abs(want_norm), SMALLEST_NORM))
    worst = max(float("inf") if np.isnan(d) else d for d in distances)
    return worst


def manifest_deviation(data: bytes, file) -> float:
    """How far a file's outputs are from its manifest's known answer."""
    got = answer(data, file.input["name"], file.input["shape"], file.input["lo"], file.input["hi"])
    return max(deviation(*got[want["name"]], want["first8"], want["l2"]) for want in file.known_answer["output"])


def golden_deviation(data: bytes, golden_name: str) -> float:
    """How far a file's outputs are from the golden vectors of the given network."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["models"][golden_name]
    got = answer(data, golden["input"], golden["shape"], golden["lo"], golden["hi"])
    return max(deviation(*got[name], want["first8"], want["l2"]) for name, want in golden["outputs"].items())


def golden_name(file_name: str) -> str:
    """A rewritten file answers like the network it was rewritten from."""
    return file_name.replace("_split.onnx", ".onnx")


# How far a correct file may be from its known answer on another processor. fp32: summation order and fused
# multiply-add change the 5th digit, 0.002 leaves room for every CPU and is far below what a swapped layer does. int8: an
# activation that lies between two steps may round either way, and such flips spread through the layers.
TOLERANCE = {"fp32": 0.002, "int8": 0.05}


def as_toml(data: bytes, network_input: dict, precision: str) -> str:
    from .files import digest
    lines = [f'sha256 = "{digest(data)}"', f"bytes = {len(data)}", "", "[model.file.known_answer]",
             f"tolerance = {TOLERANCE[precision]}"]
    got = answer(data, network_input["name"], network_input["shape"], network_input["lo"], network_input["hi"])
    for name, (first, norm) in got.items():
        if norm < SMALLEST_NORM:
            continue
        values = ", ".join(f"{value:.5f}" for value in first)
        lines += ["", "[[model.file.known_answer.output]]", f'name = "{name}"', f"first8 = [{values}]", f"l2 = {norm:.4f}"]
    return "\n".join(lines)
