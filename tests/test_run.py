"""Tests of run.py: the judge must not let anything slip."""

import unittest

import run

GOOD = """\
   Compiling cardea v0.1.0 (here)
    Finished `test` profile [optimized + debuginfo] target(s) in 53.43s
     Running unittests src/lib.rs (target/debug/deps/cardea-cbde5e504d2a4c0b)

running 3 tests
test base::slot::tests::the_newest_wins ... ok
test domain::properties::no_relay_without_a_grant ... ok
test base::stop::tests::it_panics - should panic ... ok

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 14 filtered out; finished in 0.29s

     Running unittests src/main.rs (target/debug/deps/cardea-1)

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/broker.rs (target/debug/deps/broker-1)

running 1 test
test every_seq_arrives has been running for over 60 seconds
test every_seq_arrives ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s

     Running tests/faces.rs (target/debug/deps/faces-1)

running 1 test
test a_face ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s

   Doc-tests cardea

running 1 test
test src/base/slot.rs - base::slot (line 4) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.20s
"""

NONE = dict.fromkeys(run.KINDS, 0)


def judge(text, expected=None, cargo_failed=False):
    return run.faults(run.parse(text.splitlines(keepends=True)), {**NONE, **(expected or {})}, cargo_failed)


class Reading(unittest.TestCase):
    def test_every_test_is_sorted_by_where_it_lives(self):
        passed = run.parse(GOOD.splitlines()).passed
        self.assertEqual(passed, {**NONE, "unit": 2, "property": 1, "real broker": 1, "real clips": 1, "doc": 1})

    def test_files_have_kinds(self):
        for binary, kind in [
            ("tests/processes.rs", run.PROCESSES), ("tests/store_kills.rs", run.PROCESSES), ("tests/cameras.rs", run.PROCESSES),
            ("tests/demo.rs", run.PROCESSES), ("tests/clips.rs", run.CLIPS), ("tests/architecture.rs", run.INTEGRATION),
            ("tests/properties.rs", run.PROPERTY), ("src/main.rs", run.UNIT), ("benches/slot.rs", run.INTEGRATION),
        ]:
            self.assertEqual(run.kind_of(binary, "a_test"), kind, binary)

    def test_what_was_left_out_is_found(self):
        text = GOOD.replace("running 1 test\n", "running 1 test\nleft out: every_seq_arrives (without mosquitto)\n", 1)
        self.assertEqual(run.parse(text.splitlines()).left_out, ["every_seq_arrives (without mosquitto)"])


class Judging(unittest.TestCase):
    def test_a_good_run_is_good(self):
        self.assertEqual(judge(GOOD, {"unit": 2, "property": 1, "doc": 1}), [])

    def test_a_failed_test_is_named(self):
        text = GOOD.replace("test a_face ... ok", "test a_face ... FAILED").replace("ok. 1 passed; 0 failed", "FAILED. 0 passed; 1 failed", 2)
        self.assertIn("failed: tests/faces.rs: a_face", judge(text))

    def test_an_ignored_test_fails_the_run(self):
        text = GOOD.replace("test a_face ... ok", "test a_face ... ignored, no camera")
        self.assertTrue(any(f.startswith("ignored") and "a_face" in f for f in judge(text)))

    def test_a_binary_that_dies_fails_the_run(self):
        for cut in ["     Running tests/faces.rs", "   Doc-tests cardea"]:
            before, after = GOOD.split(cut)
            died = before[: before.rindex("test result")] + cut + after
            self.assertTrue(any("died without a result" in f for f in judge(died)), cut)
        self.assertEqual(judge(GOOD[: GOOD.rindex("test result")]), ["died without a result: doc"])

    def test_a_torn_line_is_counted_by_the_totals(self):
        torn = GOOD.replace("test a_face ... ok", "test a_face ... a child says hello\nok")
        self.assertEqual(judge(torn, {"real clips": 1}), [])
        failed = torn.replace("ok. 1 passed; 0 failed", "FAILED. 0 passed; 1 failed")
        self.assertIn("failed: tests/faces.rs: a test whose name was not read", judge(failed))

    def test_a_test_that_prints_a_test_line_fails_the_run(self):
        text = GOOD.replace("test a_face ... ok", "test invented ... ok\ntest a_face ... ok")
        self.assertTrue(any("contradicts itself" in f for f in judge(text)))

    def test_too_few_of_a_kind_fail_the_run(self):
        self.assertEqual(judge(GOOD, {"unit": 3}), ["2 tests of the kind `unit` passed, tests/expected wants 3"])
        self.assertEqual(len(judge("", {"unit": 1})), 1)

    def test_cargo_failing_for_another_reason_fails_the_run(self):
        self.assertEqual(len(judge(GOOD, cargo_failed=True)), 1)
        self.assertEqual(len(judge("error: could not compile `cardea`", cargo_failed=True)), 1)


class Expected(unittest.TestCase):
    def test_the_file_names_every_kind(self):
        run.read_expected(run.EXPECTED.read_text())
        with self.assertRaises(ValueError):
            run.read_expected("unit 3\n")
        with self.assertRaises(ValueError):
            run.read_expected(run.EXPECTED.read_text() + "units 3\n")


if __name__ == "__main__":
    unittest.main()
