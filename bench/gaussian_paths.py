#!/usr/bin/env python3
"""Draws the paths of examples/gaussian_paths.cpp in the plane of mean and standard deviation.

A Gaussian is fitted to samples in three parameterizations: by natural steps without damping, by
damped ones, and by gradient steps.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).absolute().parents[1]
EXAMPLE = ROOT / "build" / "tests" / "example_gaussian_paths"
NAMES = {"gaussian_scale": "(μ, σ)", "gaussian_log_scale": "(μ, log σ)",
         "gaussian_natural": "natural parameters"}
PANELS = {("natural", 0.0): "natural gradient, damping 0",
          ("natural", 0.1): "natural gradient, damping 0.1", ("gradient", 0.0): "gradient"}


def read_paths(lines):
    """{(method, damping): {parameterization: entries}}, at the smallest rate alone."""
    entries = [json.loads(line) for line in lines]
    rate = min(e["rate"] for e in entries)
    paths = {}
    for e in entries:
        if e["rate"] == rate:
            panel = paths.setdefault((e["method"], e["damping"]), {})
            panel.setdefault(e["parameterization"], []).append(e)
    return paths


def samples_moments(entries):
    """Mean and variance of the samples, in which the losses along a path are linear:
    2 s^2 (loss - log(s sqrt(2 pi))) = v + (m - mean)^2."""
    import numpy as np

    mean, scale, loss = (np.array([e[key] for e in entries]) for key in ("mean", "scale", "loss"))
    right = 2 * scale**2 * (loss - np.log(scale * np.sqrt(2 * np.pi))) - mean**2
    matrix = np.stack([np.ones_like(mean), -2 * mean], axis=1)
    (square, m), *_ = np.linalg.lstsq(matrix, right, rcond=None)
    return m, square - m**2


def draw(paths, path):
    from drawing import pyplot, save

    plt = pyplot()
    import numpy as np

    m, v = samples_moments(paths["natural", 0.0]["gaussian_scale"])
    mean, scale = np.meshgrid(np.linspace(-0.65, 1.55, 40), np.linspace(0.3, 2.0, 40))
    loss = np.log(scale) + ((m - mean) ** 2 + v) / (2 * scale**2)
    first = paths["natural", 0.0]["gaussian_scale"][0]
    best = np.log(v) / 2 + 0.5
    figure, axes = plt.subplots(1, len(PANELS), sharex=True, sharey=True, figsize=(9, 3.3))
    for axis, (key, title) in zip(axes, PANELS.items()):
        axis.grid(False)
        axis.contour(mean, scale, loss - best, [0.02, 0.1, 0.25, 0.5, 0.8, 1.1, 1.4, 2, 3],
                     colors="0.87", linewidths=0.7)
        # Paths that coincide stay visible: each is narrower than the one below it.
        for i, (family, name) in enumerate(NAMES.items()):
            entries = paths[key][family]
            points = [(e["mean"], e["scale"]) for e in entries[::5]]
            axis.plot(*zip(*points), color=f"C{i}", linewidth=5 - 1.9 * i, label=name)
            whole = [(e["mean"], e["scale"]) for e in entries
                     if e["step"] and abs(e["time"] - round(e["time"])) < e["rate"] / 4]
            axis.plot(*zip(*whole), "o", color=f"C{i}", markersize=6 - i, zorder=3,
                      markeredgecolor="white", markeredgewidth=0.6)
        axis.plot(first["mean"], first["scale"], "ko", markersize=4, zorder=4)
        axis.plot(m, v**0.5, "k*", markersize=9, zorder=4)
        axis.set_title(title)
        axis.set_xlabel("mean μ")
    axes[0].set_ylabel("standard deviation σ")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--example", default=EXAMPLE, metavar="PATH",
                        help="build/tests/example_gaussian_paths, which ./build.sh test makes")
    parser.add_argument("--output", default="gaussian_paths.svg", metavar="PATH",
                        help="picture, SVG or PNG by its ending (default gaussian_paths.svg)")
    options = parser.parse_args()
    try:
        output = subprocess.run([options.example], check=True, stdout=subprocess.PIPE, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{options.example}: {error}")
    draw(read_paths(output.stdout.splitlines()), options.output)


if __name__ == "__main__":
    main()
