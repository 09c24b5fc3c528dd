#!/usr/bin/env python3
"""natgrad-train ising beside NetKet: milliseconds a step and seconds to an accuracy, on one machine.

Both run the same chain, a translation-symmetric restricted Boltzmann machine of the same hidden
density in double, and as many samples. Energies are judged by the exact expectation, whose time
does not count, nor does NetKet's compilation (its first step). `pip install netket`; without it the
table has natgrad alone.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time
from statistics import median

TRAIN = pathlib.Path(__file__).absolute().parents[1] / "build" / "natgrad-train"
BOUNDS = (1e-4, 1e-5)


def natgrad(options, seed):
    """[(step, seconds, relative error)] of a run."""
    command = [str(options.train), "ising", "--quiet", "--seed", str(seed), "--steps",
               str(options.steps), "--sites", str(options.sites), "--threads",
               str(options.threads), "--evaluate-every", "1"]
    if options.samples:
        command += ["--samples", str(options.samples)]
    with tempfile.TemporaryDirectory() as directory:
        metrics = pathlib.Path(directory) / "metrics.jsonl"
        subprocess.run([*command, "--metrics", str(metrics)], check=True)
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [(line["step"], line["seconds"], line["relative_error"]) for line in lines
            if "relative_error" in line and not line.get("final")]


def netket(options, seed):
    import netket as nk
    exact = ground_state_energy(options)
    space = nk.hilbert.Spin(0.5, options.sites)
    graph = nk.graph.Chain(options.sites)
    hamiltonian = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0)
    model = nk.models.RBMSymm(symmetries=graph.translation_group(), alpha=4, param_dtype=float)
    if options.samples:
        sampler = nk.sampler.MetropolisLocal(space, n_chains=options.samples // 10)
        state = nk.vqs.MCState(sampler, model, n_samples=options.samples, seed=seed,
                               sampler_seed=seed)
        rate, shift, momentum = 0.05, 1e-3, 0.9
    else:
        state = nk.vqs.FullSumState(space, model, seed=seed)
        rate, shift, momentum = 0.1, 1e-4, None
    judge = nk.vqs.FullSumState(space, model, seed=seed)
    driver = nk.driver.VMC_SR(hamiltonian, nk.optimizer.Sgd(rate), variational_state=state,
                              diag_shift=shift, momentum=momentum)
    driver.run(1, show_progress=False)  # compiles
    points = []
    seconds = 0.0
    for step in range(2, options.steps + 1):
        start = time.perf_counter()
        driver.run(1, show_progress=False)
        seconds += time.perf_counter() - start
        judge.parameters = state.parameters
        energy = float(judge.expect(hamiltonian).mean.real)
        points.append((step, seconds, (energy - exact) / abs(exact)))
    return points


def ground_state_energy(options):
    """The ground state's energy, as free fermions have it."""
    return -sum(math.sqrt(2 - 2 * math.cos((2 * m + 1) * math.pi / options.sites))
                for m in range(options.sites))


def first_within(points, bound):
    return next(((step, seconds) for step, seconds, error in points if error <= bound), None)


def table(name, runs):
    steps = [1000 * (points[-1][1] - points[0][1]) / (len(points) - 1) for points in runs]
    cells = [name, f"{median(steps):.1f}"]
    for bound in BOUNDS:
        hits = [first_within(points, bound) for points in runs]
        if any(hit is None for hit in hits):
            cells.append(f"{sum(hit is not None for hit in hits)} of {len(hits)}")
        else:
            cells.append(f"{median(hit[0] for hit in hits):.0f} steps, "
                         f"{median(hit[1] for hit in hits):.2f} s")
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=pathlib.Path, default=TRAIN, help="natgrad-train")
    parser.add_argument("--sites", type=int, default=16)
    parser.add_argument("--samples", type=int, default=0, help="0: exact sums")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print("| | ms a step | to 1e-4 | to 1e-5 |\n|---|---|---|---|")
    table("natgrad", [natgrad(options, seed) for seed in range(options.seeds)])
    try:
        import netket as _  # noqa: F401
    except ImportError:
        sys.exit("netket is not installed: nothing to compare with")
    table("NetKet", [netket(options, seed) for seed in range(options.seeds)])


if __name__ == "__main__":
    main()
