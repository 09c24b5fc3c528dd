#!/usr/bin/env python3
"""Reads checkpoints with the package safetensors alone, and compares names and values.

usage: read_checkpoint.py WRITE_CHECKPOINT   (the program that writes them)

Exit code 77, which ctest counts as skipped, without the packages of tests/requirements.txt.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77
try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"skipped: {error}; pip install -r tests/requirements.txt")
    sys.exit(SKIPPED)

RATE = 0.5
DECAY = 0.75
WEIGHT = np.array([[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])
BIAS = np.array([-1.0, -2.0])


def fnv1a(data):
    """FNV-1a of 64 bits, as docs/checkpoint-format.md states it."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


class Checkpoint(unittest.TestCase):
    folder = None

    def load(self, name):
        return load_file(self.folder / name)

    def test_parameters_have_their_names_shapes_and_values(self):
        for dtype in (np.float32, np.float64):
            entries = self.load(f"start_{np.dtype(dtype).name}")
            for name, value in (("layer.weight", WEIGHT), ("layer.bias", BIAS)):
                self.assertEqual(entries[name].dtype, dtype)
                self.assertEqual(entries[name].shape, value.shape)
                np.testing.assert_array_equal(entries[name], value)
                momentum = entries["optimizer.momentum." + name]
                self.assertEqual(momentum.dtype, dtype)
                np.testing.assert_array_equal(momentum, np.zeros_like(value))

    def test_nothing_else_looks_like_a_parameter(self):
        entries = self.load("start_float32")
        others = [n for n in entries if not n.startswith(("optimizer.", "blob."))]
        self.assertEqual(sorted(others), ["layer.bias", "layer.weight"])

    def test_blobs_are_bytes(self):
        entries = self.load("start_float32")
        np.testing.assert_array_equal(entries["blob.place"], np.array([0, 128, 255], np.uint8))
        self.assertEqual(entries["blob."].shape, (0,))

    def test_momentum_is_what_moved_the_parameters(self):
        before = self.load("start_float64")
        last = {name: np.zeros_like(before[name]) for name in ("layer.weight", "layer.bias")}
        for step in (1, 2):
            after = self.load(f"step_{step}")
            for name in last:
                velocity = after["optimizer.momentum." + name]
                moved = (after[name] - before[name]) / RATE
                self.assertGreater(np.abs(moved).max(), 1e-3)
                np.testing.assert_allclose(velocity, moved, rtol=0, atol=1e-14)
                # Heavy ball: v = decay v + d, and d is not 0.
                self.assertGreater(np.abs(velocity - DECAY * last[name]).max(), 1e-3)
                last[name] = velocity
            before = after

    def test_settings_and_counters_are_numbers(self):
        for step in (1, 2):
            entries = self.load(f"step_{step}")
            self.assertEqual(entries["optimizer.settings.rate"], RATE)
            self.assertEqual(entries["optimizer.settings.absolute_damping"], 0.125)
            self.assertEqual(entries["optimizer.counters.steps"], step)
            self.assertEqual(entries["optimizer.counters.failures_in_a_row"], 0)
            steps = entries["optimizer.reports.step"]
            self.assertEqual(list(steps[:3]), [1, 2 if step == 2 else 0, 0])

    def test_metadata_names_format_and_optimizer(self):
        with safe_open(self.folder / "step_1", framework="numpy") as file:
            metadata = file.metadata()
        self.assertEqual(metadata["natgrad"], "3")
        self.assertEqual(metadata["optimizer"], "natural gradient with heavy-ball momentum")

    def test_checksums_are_as_documented(self):
        content = (self.folder / "step_2").read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        metadata = header.pop("__metadata__")
        for name, entry in header.items():
            begin, stop = entry["data_offsets"]
            data = content[end + begin : end + stop]
            self.assertEqual(metadata["checksum." + name], fnv1a(data), name)
        stored = metadata["checksum"].encode()
        self.assertEqual(stored.decode(), fnv1a(content[:end].replace(stored, b"0" * 16, 1)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        Checkpoint.folder = pathlib.Path(folder)
        unittest.main(argv=sys.argv[:1])
