#!/usr/bin/env python3
"""Poisson's equation: natgrad-train beside ENGD in NumPy, on one machine.

ENGD (Mueller, Zeinhofer 2023, "Achieving high accuracy with PINNs via energy natural gradients"): the
least-squares solution of J d = -r, and the best of the lengths 2^0, 2^-1, ... 2^-30 along it. Same net,
same distribution and number of points, float64. Prints a table of seconds and steps to errors.

  bench/poisson.py --program build/natgrad-train [--seeds 5] [--seconds 20]
"""

import argparse
import json
import math
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

BOUNDS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)


class Problem:
    """u = prod sin(pi x_i) in the unit square, a net of 64 tanh units."""

    def __init__(self, seed, units=64, dimension=2, interior=900, boundary=120):
        random = np.random.default_rng(seed)
        self.d, self.h = dimension, units
        self.x = random.random((interior, dimension))
        self.b = random.random((boundary, dimension))
        face = random.integers(0, 2 * dimension, boundary)
        self.b[np.arange(boundary), face // 2] = face % 2
        self.test = random.random((10000, dimension))
        self.f = -dimension * math.pi**2 * self.exact(self.x)
        self.g = self.exact(self.b)
        self.roots = np.concatenate(
            [np.full(interior, interior**-0.5), np.full(boundary, boundary**-0.5)]
        )
        self.theta = np.concatenate(
            [
                random.uniform(-1, 1, units * (dimension + 1)) / dimension**0.5,
                random.uniform(-1, 1, units + 1) / units**0.5,
            ]
        )

    @staticmethod
    def exact(x):
        return np.prod(np.sin(math.pi * x), axis=1)

    def parts(self, theta):
        w, rest = np.split(theta, [self.h * self.d])
        return w.reshape(self.h, self.d), rest[: self.h], rest[self.h : -1], rest[-1]

    def value(self, theta, x):
        w, b, v, c = self.parts(theta)
        return np.tanh(x @ w.T + b) @ v + c

    def residuals(self, theta):
        w, b, v, c = self.parts(theta)
        a = np.tanh(self.x @ w.T + b)
        squares = np.sum(w * w, axis=1)
        inside = (-2 * a * (1 - a * a)) @ (v * squares) - self.f
        return self.roots * np.concatenate([inside, self.value(theta, self.b) - self.g])

    def jacobian(self, theta):
        w, b, v, c = self.parts(theta)
        squares = np.sum(w * w, axis=1)
        a = np.tanh(self.x @ w.T + b)
        slope = 1 - a * a
        second = -2 * a * slope
        third = slope * (6 * a * a - 2)
        by_z = third * (v * squares)
        by_w = by_z[:, :, None] * self.x[:, None, :] + (second * v)[:, :, None] * (2 * w)
        n = len(self.x)
        inside = np.concatenate(
            [by_w.reshape(n, -1), by_z, second * squares, np.zeros((n, 1))], axis=1
        )
        a = np.tanh(self.b @ w.T + b)
        by_z = (1 - a * a) * v
        n = len(self.b)
        faces = np.concatenate(
            [
                (by_z[:, :, None] * self.b[:, None, :]).reshape(n, -1),
                by_z,
                a,
                np.ones((n, 1)),
            ],
            axis=1,
        )
        return self.roots[:, None] * np.concatenate([inside, faces])

    def error(self, theta):
        difference = self.value(theta, self.test) - self.exact(self.test)
        return math.sqrt(np.mean(difference**2))


def engd(seed, seconds):
    """(seconds, step, error) of every step."""
    problem = Problem(seed)
    theta, spent, trace = problem.theta, 0.0, []
    while spent < seconds:
        start = time.perf_counter()
        r = problem.residuals(theta)
        d = np.linalg.lstsq(problem.jacobian(theta), -r, rcond=None)[0]
        best = (r @ r, theta)
        for k in range(31):
            moved = theta + 0.5**k * d
            r = problem.residuals(moved)
            best = min(best, (r @ r, moved), key=lambda pair: pair[0])
        theta = best[1]
        spent += time.perf_counter() - start
        trace.append((spent, len(trace) + 1, problem.error(theta)))
    return trace


def natgrad(program, seed):
    with tempfile.TemporaryDirectory() as folder:
        metrics = pathlib.Path(folder) / "metrics.jsonl"
        subprocess.run(
            [program, "poisson", "--seed", str(seed), "--quiet", "--metrics", str(metrics)],
            check=True,
        )
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [(l["seconds"], l["step"], l["l2_error"]) for l in lines if "l2_error" in l]


def first_below(trace, bound):
    for seconds, step, error in trace:
        if error <= bound:
            return seconds, step
    return math.inf, math.inf


def table(name, traces):
    cells = []
    for bound in BOUNDS:
        reached = [first_below(trace, bound) for trace in traces]
        seconds = statistics.median(pair[0] for pair in reached)
        step = statistics.median(pair[1] for pair in reached)
        cells.append("-" if math.isinf(seconds) else f"{seconds:.2f} s, {step:.0f}")
    print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/natgrad-train")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of each run of the peer")
    options = parser.parse_args()
    seeds = range(options.seeds)
    print("| median of seconds, steps to an error of | " + " | ".join(f"{b:g}" for b in BOUNDS) + " |")
    print("|---|" + "---|" * len(BOUNDS))
    table("natgrad-train poisson", [natgrad(options.program, seed) for seed in seeds])
    table("ENGD, NumPy", [engd(seed, options.seconds) for seed in seeds])


if __name__ == "__main__":
    main()
