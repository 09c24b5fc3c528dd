"""usage: scripts_test.py BENCH NATGRAD_TRAIN EXAMPLE_GAUSSIAN_PATHS

Tests what bench/plot, bench/large_batches.py, bench/defaults.py and bench/gaussian_paths.py read and
measure, on runs of a few steps, and their pictures where matplotlib can be imported.
"""

import csv
import importlib.machinery
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

BENCH, TRAIN, EXAMPLE = (pathlib.Path(argument) for argument in sys.argv[1:])
CAN_DRAW = importlib.util.find_spec("matplotlib") is not None


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.removesuffix(".py"), str(BENCH / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def script(name, *arguments):
    return run(sys.executable, "-B", BENCH / name, *arguments)


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def write(self, name, text):
        (self.path / name).write_text(text)
        return self.path / name

    def test_all_scripts_are_python(self):
        for path in [BENCH / "plot", *BENCH.glob("*.py")]:
            compile(path.read_text(), str(path), "exec")

    def test_plot_reads_every_step_and_evaluation_once(self):
        metrics = self.path / "run.jsonl"
        trained = run(TRAIN, "digits", "--hidden", "8", "--steps", "5", "--evaluate-every", "2",
                      "--quiet", "--metrics", metrics)
        self.assertEqual(trained.returncode, 0, trained.stderr)
        curves = load("plot").read(metrics)
        final = json.loads(metrics.read_text().splitlines()[-1])
        self.assertEqual(curves["loss"][0], [1, 2, 3, 4, 5])
        self.assertEqual(curves["test_accuracy"][0], [2, 4, 5])
        self.assertEqual(curves["loss"][2][-1], final["loss"])
        self.assertEqual(curves["test_accuracy"][2][-1], final["test_accuracy"])
        self.assertEqual(curves["loss"][1], sorted(curves["loss"][1]))
        if CAN_DRAW:
            picture = self.path / "curves.svg"
            drawn = script("plot", metrics, metrics, "--log", "loss", "--output", picture)
            self.assertEqual(drawn.returncode, 0, drawn.stderr)
            self.assertIn("<svg", picture.read_text())

    def test_plot_reads_null_and_a_line_that_is_being_written(self):
        path = self.write("run.jsonl", '{"step":1,"seconds":0.5,"loss":null}\n{"step":2,"sec')
        steps, seconds, losses = load("plot").read(path)["loss"]
        self.assertEqual((steps, seconds), ([1], [0.5]))
        self.assertTrue(math.isnan(losses[0]))

    def test_plot_names_what_is_wrong(self):
        good = self.write("good.jsonl", '{"step":1,"seconds":0.5,"loss":2}\n')
        bad = self.write("bad.jsonl", '{"step":1,"seconds":0.5,"loss":2}\nno JSON\n')
        empty = self.write("empty.jsonl", "")
        for arguments, message in [
                ([bad], "bad.jsonl:2: expected a JSON object"),
                ([empty], "empty.jsonl: no figures"),
                ([self.path / "none.jsonl"], "none.jsonl: No such file"),
                ([good, "--figures", "kl"], "no FILE has kl; there are loss"),
                ([good, "--output", "curves.txt"], "--output must end in .svg or .png")]:
            done = script("plot", *arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)

    def test_large_batches_goes_on_where_its_results_end(self):
        results = self.path / "results.csv"
        arguments = ["--smoke", "--natgrad-train", TRAIN, "--results", results, "--seeds", "1",
                     "--threads", "1", "--target", "0.8", "--rates", "sgd=0.3",
                     "--rates", "adam=0.01"]
        first = script("large_batches.py", *arguments, "--sizes", "480")
        self.assertEqual(first.returncode, 0, first.stderr)
        before = results.read_text()
        rows = list(csv.DictReader(before.splitlines()))
        self.assertEqual([row["method"] for row in rows], ["natural", "sgd", "adam"])
        for row in rows:
            self.assertEqual(row["outcome"], "reached")
            self.assertGreaterEqual(float(row["highest_accuracy"]), 0.8)
        again = script("large_batches.py", *arguments, "--sizes", "480")
        self.assertEqual((again.returncode, results.read_text()), (0, before), again.stderr)
        self.assertIn(f"| 480 | {rows[0]['steps']}, ", again.stdout)
        cut = script("large_batches.py", *arguments, "--sizes", "240,480", "--seconds", "0")
        self.assertEqual((cut.returncode, results.read_text()), (1, before), cut.stderr)
        self.assertIn("| 240 | - | - | - |", cut.stdout)

    def test_a_rate_counts_by_its_median_and_only_with_all_its_runs(self):
        module = load("large_batches.py")
        options = type("Options", (), {
            "rates": {"sgd": [0.1, 1.0]}, "seeds": 3, "smoke": True, "hidden": "8", "target": 0.9,
            "epochs": 5})
        outcomes = {0.1: [20, 30, 40], 1.0: [10, None, None]}
        results = {}
        for row in module.rows_of(options, "sgd", 240):
            steps = outcomes[row["rate"]][row["seed"]]
            results[module.key_of(row)] = {
                **row, "outcome": "reached" if steps else "slower", "steps": steps or 60,
                "seconds": 1}
        self.assertEqual(module.best_of(options, results, "sgd", 240)[:2], (0.1, [20, 30, 40]))
        results.popitem()
        self.assertIsNone(module.best_of(options, results, "sgd", 240))

    def test_defaults_compares_candidates(self):
        arguments = ["--natgrad-train", TRAIN, "--seeds", "2", "--tasks",
                     "csv poisson, linear;density gaussian", "--candidates", "defaults;rate 0.1"]
        done = script("defaults.py", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [[cell.strip() for cell in line.strip("|").split("|")]
                 for line in done.stdout.splitlines()]
        self.assertEqual(lines[0], ["task", "figure", "defaults", "rate 0.1"])
        self.assertEqual([line[:2] for line in lines[2:]],
                         [["csv poisson, linear", "`test_loss`"], ["density gaussian", "`kl`"]])
        # Both come to the estimate or near it, the smaller rate less near in as many steps.
        losses = [float(cell) for cell in lines[2][2:]]
        self.assertLess(losses[0], losses[1] + 1e-9)
        self.assertLess(losses[1], 2.5)
        self.assertEqual(script("defaults.py", *arguments).stdout, done.stdout)
        wrong = script("defaults.py", "--natgrad-train", TRAIN, "--tasks", "chess")
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("chess: expected digits;", wrong.stderr)

    def test_defaults_counts_runs_that_failed(self):
        module = load("defaults.py")
        ends = iter([({"loss": 2}, {"loss": 1, "kl": 0.3}), None,
                     ({"loss": 2}, {"loss": 3, "kl": 0.5})])
        module.run = lambda options, command: next(ends)
        options = type("Options", (), {"seeds": 3})
        result = module.cell(options, "kl", lambda seed: [], "defaults")
        self.assertEqual(result, {"median": 0.4, "failed": 2})
        self.assertEqual(module.in_words(result), "0.4 / 2")
        self.assertEqual(module.in_words({"median": None, "failed": 3}), "- / 3")
        self.assertFalse(module.has_learned({"episode_return": 20}, {"mean_return": 30}))

    @unittest.skipUnless(CAN_DRAW, "matplotlib is missing")
    def test_gaussian_paths_are_drawn(self):
        picture = self.path / "paths.svg"
        drawn = script("gaussian_paths.py", "--example", EXAMPLE, "--output", picture)
        self.assertEqual(drawn.returncode, 0, drawn.stderr)
        self.assertIn("<svg", picture.read_text())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
