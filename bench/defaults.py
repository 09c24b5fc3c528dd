#!/usr/bin/env python3
"""Final figures of every task and likelihood under candidates for natgrad-train's defaults.

Each candidate is a rate and a damping beside what else a task takes by default; "defaults" is the
run without either option. A cell of the table is the median of the task's figure over the seeds,
and behind a slash how many seeds failed, where any did: a run that did not end with exit code 0
and a loss below its first (of cartpole: a return of twice the first batch's). Tables of csv are
drawn here, a fresh one for each seed. Sizes are small; everything takes about a minute.
"""

import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile
from statistics import median

TRAIN = pathlib.Path(__file__).absolute().parents[1] / "build" / "natgrad-train"
CANDIDATES = {
    "defaults": [],
    "rate 0.1": ["--rate", "0.1"],
    "rate 1": ["--rate", "1"],
    "damping 0.003": ["--damping", "0.003"],
    "damping 0.3": ["--damping", "0.3"],
    "rate 1, damping 0.3": ["--rate", "1", "--damping", "0.3"],
}
LIKELIHOODS = ["categorical", "bernoulli", "gaussian", "gaussian-scale", "poisson"]


def target_of(likelihood, x, z, rng):
    """A target whose distribution depends on two inputs in (-1, 1)."""
    if likelihood == "categorical":
        return int(x + rng.gauss(0, 0.3) > 0.3) + int(z + rng.gauss(0, 0.3) > 0)
    if likelihood == "bernoulli":
        return int(rng.random() < 1 / (1 + math.exp(-0.3 - 2 * x + z)))
    if likelihood == "poisson":
        count, product = 0, rng.random()
        while product > math.exp(-math.exp(0.6 + x - 0.5 * z)):
            count, product = count + 1, product * rng.random()
        return count
    scale = math.exp(0.8 * x) if likelihood == "gaussian-scale" else 1
    return 20 + 5 * x - 3 * z + scale * rng.gauss(0, 1)


def write_table(path, likelihood, rows, seed):
    rng = random.Random(seed)
    lines = ["x,z,target"]
    for _ in range(rows):
        x, z = rng.uniform(-1, 1), rng.uniform(-1, 1)
        # Inputs in units of their own.
        lines.append(f"{100 * x},{3 + 0.01 * z},{target_of(likelihood, x, z, rng)}")
    path.write_text("\n".join(lines) + "\n")


def tasks(folder):
    """{name: (figure, command of a seed)}."""
    def csv(likelihood, *options):
        def command(seed):
            path = folder / f"{likelihood}.csv"
            write_table(path, likelihood, 400, seed)
            return ["csv", str(path), "--target", "target", "--likelihood", likelihood, *options]
        return "test_loss", command

    def fixed(figure, *command):
        return figure, lambda seed: list(command)

    return {
        "digits": fixed("test_accuracy", "digits", "--hidden", "32", "--epochs", "10"),
        **{f"csv {likelihood}": csv(likelihood) for likelihood in LIKELIHOODS},
        **{f"csv {likelihood}, linear": csv(likelihood, "--hidden", "none")
           for likelihood in LIKELIHOODS},
        "density gaussian": fixed("kl", "density", "--samples", "500"),
        "density mixture": fixed("kl", "density", "--samples", "500", "--density", "mixture"),
        "density exponential": fixed("kl", "density", "--samples", "500", "--density",
                                     "exponential"),
        "cartpole": fixed("mean_return", "cartpole", "--steps", "30"),
    }


def run(options, command):
    """The figures of the first and the last line of a run's metrics; None where it failed."""
    done = subprocess.run([str(options.natgrad_train), *command, "--quiet", "--device", "cpu",
                           "--threads", str(options.threads), "--metrics", "/dev/stdout"],
                          capture_output=True, text=True)
    if done.returncode not in (0, 3):  # 3: it diverged
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    if done.returncode == 3:
        return None
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[0], lines[-1]


def has_learned(first, last):
    if "mean_return" in last:
        return last["mean_return"] > 2 * first["episode_return"]
    return last["loss"] < first["loss"]


def cell(options, figure, command, candidate):
    """The median over the seeds whose runs came to their end, and the number that did not learn."""
    figures, failed = [], 0
    for seed in range(options.seeds):
        ends = run(options, [*command(seed), "--seed", str(seed), *CANDIDATES[candidate]])
        if ends is None:
            failed += 1
            continue
        first, last = ends
        failed += not has_learned(first, last)
        figures.append(last[figure])
    return {"median": median(figures) if figures else None, "failed": failed}


def in_words(result):
    number = "-" if result["median"] is None else f"{result['median']:.3g}"
    return f"{number} / {result['failed']}" if result["failed"] else number


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--natgrad-train", type=pathlib.Path, default=TRAIN)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tasks", help="of the table, with semicolons between them (default: all)")
    parser.add_argument("--candidates", help="with semicolons between them (default: all)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        all_tasks = tasks(pathlib.Path(folder))
        chosen = options.tasks.split(";") if options.tasks else list(all_tasks)
        columns = options.candidates.split(";") if options.candidates else list(CANDIDATES)
        for name, known in [*((t, all_tasks) for t in chosen), *((c, CANDIDATES) for c in columns)]:
            if name not in known:
                parser.error(f"{name}: expected {'; '.join(known)}")
        print(f"| task | figure | {' | '.join(columns)} |")
        print("|---|---|" + "---|" * len(columns))
        for name in chosen:
            figure, command = all_tasks[name]
            cells = [in_words(cell(options, figure, command, c)) for c in columns]
            print(f"| {name} | `{figure}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
