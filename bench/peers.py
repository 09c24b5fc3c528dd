#!/usr/bin/env python3
"""Sets the exact natural gradient of torch and JAX beside natgrad-bench: same shapes, one run, CPU.

On the relu net 784-1024-1024-10, in float32 and with random data, each framework takes
  plain     its own gradient step: mean cross entropy, SGD
  factors   the exact step by hand, without rows: K = sum over layers of (A A^T + 1) o (D D^T)
  rows      the exact step as one first writes it: rows S (N, P) by vmap(grad), K = S S^T
Both exact steps solve (K / N + damping I) y = 1 / N by Cholesky and go along d = S^T y, which is
(F + damping I)^-1 g for the empirical Fisher F = S^T S / N and the mean gradient g.
A ratio is the median over rounds of (exact step / plain step of the same round).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from statistics import median
from timeit import timeit
from types import SimpleNamespace

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import numpy as np
from numpy.linalg import norm

SIZES = (784, 1024, 1024, 10)
DAMPING = 0.03
RATE = 1e-4  # small: the net stays what it is while its steps are timed
CORES = len(os.sched_getaffinity(0))
NATGRAD_BENCH = pathlib.Path(__file__).resolve().parents[1] / "build" / "natgrad-bench"

# What a user of a framework `fw` writes, once for all. `net` is [W, b, W, b, ...] with
# W (d_out, d_in); inputs x are (N, d_in), targets t one-hot (N, 10).


def forward(fw, net, x):
    """The inputs of every layer, and the logits."""
    activations = [x]
    for weight, bias in zip(net[::2], net[1::2]):
        logits = fw.linear(activations[-1], weight, bias)
        activations.append(fw.relu(logits))
    return activations[:-1], logits


def damped_solve(fw, k, b, damping):
    return fw.cholesky_solve(fw.cholesky(k + damping * fw.eye(len(k))), b)


def plain(fw, net, x, t):
    return fw.gradient(lambda net: fw.cross_entropy(forward(fw, net, x)[1], t), net)


def factors(fw, net, x, t):
    """From the layers' inputs A (N, d_in) and output gradients D (N, d_out)."""
    activations, logits = forward(fw, net, x)
    deltas = [fw.softmax(logits) - t]
    for a, weight in zip(activations[:0:-1], net[-2:0:-2]):
        deltas.insert(0, (deltas[0] @ weight) * (a > 0))
    gram = sum((a @ a.T + 1) * (d @ d.T) for a, d in zip(activations, deltas))
    y = damped_solve(fw, gram / len(x), fw.full((len(x),), 1 / len(x)), DAMPING)
    deltas = [d * y[:, None] for d in deltas]
    return [g for a, d in zip(activations, deltas) for g in (d.T @ a, d.sum(0))]


def rows(fw, net, x, t):
    """From per-sample gradients, kept as one block of N rows a tensor."""
    loss = lambda net, x, t: fw.cross_entropy(forward(fw, net, x)[1], t)
    scores = [s.reshape(len(x), -1) for s in fw.vmap(fw.grad(loss), (None, 0, 0))(net, x, t)]
    gram = sum(s @ s.T for s in scores)
    y = damped_solve(fw, gram / len(x), fw.full((len(x),), 1 / len(x)), DAMPING)
    return [(y @ s).reshape(p.shape) for s, p in zip(scores, net)]


def published_solve(fw, s, v, r, damping):
    """(S^T S + damping I) x = v as Chen, Xie and Wang 2023 write it."""
    q = fw.triangular_solve(fw.cholesky(s @ s.T + damping * fw.eye(len(s))), s)
    return (v - q.T @ (q @ v)) / damping


def push_through(fw, s, v, r, damping):
    """The same for v = S^T r: x = S^T (S S^T + damping I)^-1 r."""
    return s.T @ damped_solve(fw, s @ s.T, r, damping)


def torch_framework():
    import torch

    def gradient(loss, net):
        net = [p.detach().requires_grad_() for p in net]
        with torch.enable_grad():
            return torch.autograd.grad(loss(net), net)

    torch.set_num_threads(CORES)
    return SimpleNamespace(
        name=f"torch {torch.__version__}", array=torch.tensor, eye=torch.eye,
        full=torch.full, relu=torch.relu, softmax=lambda z: z.softmax(1),
        linear=torch.nn.functional.linear, cross_entropy=torch.nn.functional.cross_entropy,
        gradient=gradient, vmap=torch.func.vmap, grad=torch.func.grad,
        cholesky_solve=lambda l, b: torch.cholesky_solve(b[:, None], l)[:, 0],
        triangular_solve=lambda l, b: torch.linalg.solve_triangular(l, b, upper=False),
        cholesky=torch.linalg.cholesky, descend=lambda p, d: p.sub_(d, alpha=RATE),
        compiled=lambda function, donate=(): torch.no_grad()(function))


def jax_framework():
    import jax
    from jax.scipy import linalg

    def compiled(function, donate=()):
        # The data must be operands: were they constants, XLA would multiply them while compiling.
        run = jax.jit(function, donate_argnums=donate)
        return lambda *operands: jax.block_until_ready(run(*operands))

    return SimpleNamespace(
        name=f"JAX {jax.__version__}", array=jax.numpy.array, eye=jax.numpy.eye,
        full=jax.numpy.full, relu=jax.nn.relu, softmax=jax.nn.softmax,
        linear=lambda x, w, b: x @ w.T + b,
        cross_entropy=lambda z, t: -(t * jax.nn.log_softmax(z)).sum(-1).mean(),
        gradient=lambda loss, net: jax.grad(loss)(net), vmap=jax.vmap, grad=jax.grad,
        cholesky_solve=lambda l, b: linalg.cho_solve((l, True), b),
        triangular_solve=lambda l, b: linalg.solve_triangular(l, b, lower=True),
        cholesky=jax.numpy.linalg.cholesky, descend=lambda p, d: p - RATE * d, compiled=compiled)


def numpy_framework():
    from scipy import linalg

    return SimpleNamespace(
        name=f"NumPy {np.__version__}", array=np.array, eye=lambda n: np.eye(n, dtype=np.float32),
        cholesky=np.linalg.cholesky, cholesky_solve=lambda l, b: linalg.cho_solve((l, True), b),
        triangular_solve=lambda l, b: linalg.solve_triangular(l, b, lower=True),
        compiled=lambda function: function)


def cell(ratio, milliseconds):
    return f"{ratio:.3g} ({milliseconds:.3g} ms)"


def natgrad_bench(path, pattern):
    """The medians of the benchmarks that match; none, and said, when it cannot run."""
    command = [str(path), f"--benchmark_filter={pattern}(/|$)", "--benchmark_format=json"]
    try:
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        entries = json.loads(run.stdout)["benchmarks"]
    except (OSError, subprocess.CalledProcessError, json.JSONDecodeError) as error:
        print(f"skipped: natgrad-bench (./build.sh build makes it): {error}")
        return []
    return [e for e in entries if e.get("aggregate_name") == "median"] or entries


def problem(fw, n):
    random = np.random.default_rng(n)
    net = [a for m, k in zip(SIZES, SIZES[1:])
           for a in (random.standard_normal((k, m)) * (2 / m) ** 0.5, np.zeros(k))]
    x, t = random.standard_normal((n, SIZES[0])), np.eye(SIZES[-1])[np.arange(n) % SIZES[-1]]
    *net, x, t = [fw.array(a.astype(np.float32)) for a in (*net, x, t)]
    return net, x, t


def check_directions(frameworks, n):
    found = [np.concatenate([np.ravel(d) for d in exact(fw, *problem(fw, n))])
             for fw in frameworks for exact in (factors, rows)]
    apart = max(norm(d - found[0]) / norm(found[0]) for d in found)
    print(f"N = {n}: the exact directions, rows and factors, differ by {apart:.1e} of their norm")
    if not apart <= 1e-3:
        sys.exit("they do not agree to 1e-3")


def stepper(fw, direction, net, x, t):
    update = fw.compiled(lambda net, x, t: [
        fw.descend(p, d) for p, d in zip(net, direction(fw, net, x, t))], donate=0)
    state = [net]
    return lambda: state.append(update(state.pop(), x, t))


def compare_steps(frameworks, options):
    check_directions(frameworks, min(256, *options.batch))
    works = lambda n: [plain, factors] + [rows] * (n <= (1024 if options.large else 256))
    steps = {(fw.name, n): {work.__name__: stepper(fw, work, *problem(fw, n)) for work in works(n)}
             for fw in frameworks for n in options.batch}
    times = {(*key, work): [] for key, works in steps.items() for work in works}
    for i in range(options.repeats + 1):  # the first round compiles and is dropped below
        for key, works in steps.items():
            works["plain"]()  # after another framework's work, threads and caches are cold
            for work, step in works.items():
                if work != "rows" or i <= 3:
                    times[*key, work].append(timeit(step, number=1))

    cells = {}
    for (name, n, work), taken in times.items():
        ratios = [a / b for a, b in zip(taken, times[name, n, "plain"])]
        cells[name, work, n] = cell(median(ratios[1:]), 1e3 * median(taken[1:]))
    pattern = f"step/mlp:784-1024-1024-10/batch:({'|'.join(map(str, options.batch))})"
    for e in natgrad_bench(options.natgrad_bench, pattern):
        n = int(e["run_name"].split("batch:")[1].split("/")[0])
        cells["natgrad", "exact", n] = cell(e["ratio_to_gradient_step"], e["real_time"])
    keys = dict.fromkeys([("natgrad", "exact"), *(key[:2] for key in cells)])
    table = [[*key, *(cells.get((*key, n), "- (not run)") for n in options.batch)] for key in keys]
    head = ["peer", "work", *(f"N = {n}" for n in options.batch)]
    return "Each step in times of the same peer's plain step, and its median time", head, table


def compare_solves(frameworks, options, n=1024, p=100_000):
    random = np.random.default_rng(0)
    s, r = (random.standard_normal(shape, np.float32) for shape in ((n, p), n))
    s64, table = s.astype(np.float64), []
    exact = s64.T @ np.linalg.solve(s64 @ s64.T + np.eye(n), r)
    for fw in frameworks:
        data = [fw.array(a) for a in (s, s.T @ r, r)]
        solves = [fw.compiled(lambda *a, f=f: f(fw, *a)) for f in (push_through, published_solve)]
        errors = [norm(np.asarray(solve(*data, 1.0)) - exact) / norm(exact) for solve in solves]
        times = [[timeit(lambda: solve(*data, 100.0), number=1) for solve in solves]
                 for _ in range(options.repeats)]
        ratio, ours = median(b / a for a, b in times), median(a for a, _ in times)
        table.append([fw.name, cell(ratio, 1e3 * ours), *(f"{e:.1e}" for e in errors)])
    for e in natgrad_bench(options.natgrad_bench, f"solve/dense/n:{n}/p:{p}"):
        table.append(["natgrad", cell(e["speedup_over_published"], e["real_time"]),
                      f"{e['error']:.1e}", f"{e['published_error']:.1e}"])
    head = ["peer", "published form / push-through (its time)", "error at lambda = 1", "published"]
    return f"Damped solve, n = {n}, p = {p}, lambda = 100", head, table


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--solve", action="store_true", help="compare the damped dense solve instead")
    add("--batch", default=[256, 1024], type=lambda text: [int(n) for n in text.split(",")],
        metavar="N,N", help="batch sizes (default 256,1024; natgrad-bench also has 4096)")
    add("--large", action="store_true", help="rows at N = 1024 too: 8 GB, and minutes")
    add("--repeats", type=int, default=11, help="rounds (default 11; rows take part in 3)")
    add("--natgrad-bench", default=NATGRAD_BENCH, metavar="PATH", help="build/natgrad-bench")
    options = parser.parse_args()
    frameworks = []
    for framework in [torch_framework, jax_framework] + [numpy_framework] * options.solve:
        try:
            frameworks.append(framework())
        except (ImportError, OSError) as error:
            print(f"skipped: {framework.__name__}: {error}")
    frameworks or sys.exit("no framework can be imported; bench/requirements.txt names them")
    compare = compare_solves if options.solve else compare_steps
    title, head, table = compare(frameworks, options)
    print(f"\n{title}; float32, {CORES} CPU cores\n")
    for cells in [head, ["---"] * len(head), *table]:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
