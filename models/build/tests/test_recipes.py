"""Recipes on small networks: the same bytes twice, the same function afterwards, and what they refuse."""

import pickle
import unittest
from collections import OrderedDict

import numpy as np
from onnx import numpy_helper
from support import small_network

from cardea_models import answers, int8, onnx_file, prelu, torch_state
from cardea_models.files import BuildError

RANGES = {"operators": ["Conv", "Relu"], "float_nodes": [],
          "activations": {"input": [0.0, 1.0], "b": [0.0, 3.0], "c": [-3.0, 3.0]}, "bias": {}}


def run(data: bytes) -> np.ndarray:
    return answers.session(data).run(None, {"input": answers.formula_input([1, 3, 8, 8], 0, 1)})[0].ravel()


class PreluSplit(unittest.TestCase):
    def test_twice_gives_the_same_bytes(self):
        self.assertEqual(prelu.split(small_network(prelu=True)), prelu.split(small_network(prelu=True)))

    def test_the_function_stays_the_same(self):
        network = small_network(prelu=True)
        np.testing.assert_allclose(run(prelu.split(network)), run(network), rtol=1e-5, atol=1e-6)

    def test_no_prelu_is_left(self):
        self.assertNotIn("PRelu", [n.op_type for n in onnx_file.parse(prelu.split(small_network(prelu=True))).graph.node])

    def test_a_network_without_prelu_is_refused(self):
        with self.assertRaisesRegex(BuildError, "no PReLU"):
            prelu.split(small_network())


class Quantising(unittest.TestCase):
    def test_twice_gives_the_same_bytes(self):
        self.assertEqual(int8.quantise(small_network(), RANGES), int8.quantise(small_network(), RANGES))

    def test_the_result_is_close_to_the_float_network(self):
        wanted = run(small_network())
        np.testing.assert_allclose(run(int8.quantise(small_network(), RANGES)), wanted, atol=0.05 * np.abs(wanted).max())

    def test_weights_are_int8_and_stay_within_seven_bits(self):
        weights = [numpy_helper.to_array(t) for t in onnx_file.parse(int8.quantise(small_network(), RANGES)).graph.initializer
                   if t.name.endswith("_w_q")]
        self.assertEqual([w.dtype for w in weights], [np.int8, np.int8])
        self.assertEqual(max(int(np.abs(w.astype(int)).max()) for w in weights), 63)

    def test_a_node_named_float_keeps_its_weights(self):
        names = [t.name for t in onnx_file.parse(int8.quantise(small_network(), dict(RANGES, float_nodes=["second"]))).graph.initializer]
        self.assertIn("w2", names)
        self.assertNotIn("second_w_q", names)

    def test_a_bias_correction_moves_the_output_by_itself(self):
        # The mean over the map of the last layer moves by exactly the correction, up to one step of the output's scale.
        moved = run(int8.quantise(small_network(), dict(RANGES, bias={"second": [0.5] * 4})))
        np.testing.assert_allclose(moved - run(int8.quantise(small_network(), RANGES)), 0.5, atol=6.0 / 255)

    def test_an_activation_without_a_range_is_named(self):
        with self.assertRaisesRegex(BuildError, "no entry for activation c"):
            int8.quantise(small_network(), dict(RANGES, activations={"input": [0.0, 1.0], "b": [0.0, 3.0]}))

    def test_missing_ranges_are_named(self):
        with self.assertRaisesRegex(BuildError, "absent_int8.json: no activation ranges"):
            int8.load_ranges("absent_int8.onnx")


class _Evil:
    def __reduce__(self):
        return print, ("this must not run",)


class TorchState(unittest.TestCase):
    def file(self, state, magic=torch_state.MAGIC):
        parts = [pickle.dumps(value, protocol=2) for value in (magic, 1001, {}, state, [])]
        return b"".join(parts)

    def test_a_pickle_that_names_a_function_is_refused(self):
        with self.assertRaisesRegex(BuildError, "asks for (builtins|__builtin__).print"):
            torch_state.read(self.file(OrderedDict(a=_Evil())))

    def test_a_file_that_is_no_state_dict_is_refused(self):
        with self.assertRaisesRegex(BuildError, "magic number"):
            torch_state.read(self.file(OrderedDict(), magic=1))
        with self.assertRaisesRegex(BuildError, "cannot be read as a state dict"):
            torch_state.read(b"")


class KnownAnswers(unittest.TestCase):
    def test_a_constant_output_and_a_not_a_number_are_far_off(self):
        want, norm = [3.0, -2.0, 0.5], 7.0
        self.assertGreater(answers.deviation([0.1, 0.1, 0.1], 0.2, want, norm), 0.5)
        self.assertEqual(answers.deviation([float("nan")] * 3, norm, want, norm), float("inf"))
        self.assertEqual(answers.deviation(want, norm, want, norm), 0.0)

    def test_other_weights_in_the_last_layer_are_seen(self):
        model = onnx_file.parse(small_network())
        weights = next(t for t in model.graph.initializer if t.name == "w2")
        weights.CopyFrom(onnx_file.constant("w2", numpy_helper.to_array(weights)[::-1]))
        (first, norm), = answers.answer(small_network(), "input", [1, 3, 8, 8], 0, 1).values()
        (other, other_norm), = answers.answer(onnx_file.dump(model), "input", [1, 3, 8, 8], 0, 1).values()
        self.assertGreater(answers.deviation(other, other_norm, first, norm), max(answers.TOLERANCE.values()))
