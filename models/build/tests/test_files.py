"""Files are found by digest, refused by digest, and written whole or not at all."""

import os
from unittest import mock

from support import Scratch

from cardea_models import files
from cardea_models.files import BuildError, Shelves, checked, digest, write_atomically


class Writing(Scratch):
    def test_a_written_file_is_whole_and_alone(self):
        write_atomically(self.directory / "deep" / "a.onnx", b"abc")
        self.assertEqual((self.directory / "deep" / "a.onnx").read_bytes(), b"abc")
        self.assertEqual(os.listdir(self.directory / "deep"), ["a.onnx"])

    def test_an_interrupted_write_leaves_nothing(self):
        for step in ("fsync", "replace"):
            with self.subTest(interrupted_at=step), mock.patch.object(files.os, step, side_effect=KeyboardInterrupt):
                with self.assertRaises(KeyboardInterrupt):
                    write_atomically(self.directory / "a.onnx", b"abc")
                self.assertEqual(os.listdir(self.directory), [])

    def test_an_interrupted_write_keeps_the_older_file(self):
        path = self.directory / "a.onnx"
        write_atomically(path, b"old")
        with mock.patch.object(files.os, "fsync", side_effect=OSError(28, "No space left on device")):
            with self.assertRaises(OSError):
                write_atomically(path, b"new")
        self.assertEqual(path.read_bytes(), b"old")
        self.assertEqual(os.listdir(self.directory), ["a.onnx"])


class Finding(Scratch):
    def test_a_file_is_found_by_its_digest_under_any_name_and_depth(self):
        write_atomically(self.directory / "x" / "y" / "renamed.bin", b"abc")
        self.assertEqual(Shelves([self.directory]).find(digest(b"abc"), "a.onnx"), b"abc")

    def test_the_right_name_with_the_wrong_bytes_is_not_found(self):
        write_atomically(self.directory / "a.onnx", b"other")
        self.assertIsNone(Shelves([self.directory]).find(digest(b"abc"), "a.onnx"))

    def test_a_directory_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(BuildError, "nowhere: not a directory"):
            Shelves([self.directory / "nowhere"])

    def test_a_wrong_digest_is_refused_with_the_files_name_and_both_digests(self):
        with self.assertRaisesRegex(BuildError, f"a.onnx from here: expected sha256 {digest(b'abc')}, got {digest(b'abd')}"):
            checked(b"abd", digest(b"abc"), "a.onnx", "here")
