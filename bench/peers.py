#!/usr/bin/env python3
"""Sets the exact natural gradient of torch and JAX beside natgrad-bench: same shapes, one run.

On relu nets, in float32 and with random data, each framework takes
  plain     its own gradient step: mean cross entropy, SGD
  factors   the exact step by hand, without rows: K = sum over layers of (A A^T + 1) o (D D^T)
  rows      the exact step as one first writes it: rows S (N, P) by vmap(grad), K = S S^T
and torch on CUDA `plain, graph` and `factors, graph`: the whole step captured and replayed.
Both exact steps solve (K / N + damping I) y = 1 / N by Cholesky and go along d = S^T y, which is
(F + damping I)^-1 g for the empirical Fisher F = S^T S / N and the mean gradient g.
A ratio is the median over rounds of (exact step / plain step of the same round).
"""

import argparse
import functools
import itertools
import json
import pathlib
import subprocess
import sys
import time
from statistics import median

import numpy as np
from numpy.linalg import norm

from frameworks import CORES, jax_framework, numpy_framework, seconds, torch_framework

DAMPING = 0.03
NATGRAD_BENCH = pathlib.Path(__file__).resolve().parents[1] / "build" / "natgrad-bench"

# What a user of a framework `fw` writes, once for all. `net` is [W, b, W, b, ...] with
# W (d_out, d_in); inputs x are (N, d_in), targets t one-hot (N, classes).


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


def tried(what, action, until=float("inf")):
    """What the action returns; None, and the exception in a line, when it fails or time is over."""
    try:
        if time.monotonic() > until:
            raise TimeoutError("--seconds are over")
        return action()
    except Exception as error:  # whatever one peer throws, the others go on
        print(f"skipped: {what}: {type(error).__name__}: {str(error).strip()[:200]}", flush=True)
        return None


def natgrad_bench(options, pattern, *flags):
    """The medians of the benchmarks that match; none, and said, when it cannot run."""
    command = [str(options.natgrad_bench), f"--benchmark_filter={pattern}(/|$)",
               "--benchmark_format=json", f"--device={options.device}", *flags]
    if options.device == "cuda":
        command += ["--benchmark_min_time=0.05", "--benchmark_repetitions=3"]
    left = max(1, options.deadline - time.monotonic())
    run = lambda: subprocess.check_output(command, text=True, timeout=left)
    entries = tried("natgrad-bench (./build.sh build makes it)",
                    lambda: json.loads(run())["benchmarks"]) or []
    medians = [e for e in entries if e.get("aggregate_name") == "median"]
    return medians or [e for e in entries if not e.get("error_occurred")]


def sizes_of(net):
    """[784, 1024, 10] of "784-1024-10", nine times 4096 of "8x4096"."""
    layers, _, width = net.partition("x")
    return [int(width)] * (int(layers) + 1) if width else [int(n) for n in net.split("-")]


@functools.lru_cache(1)
def network(net):
    random, sizes, f = np.random.default_rng(0), sizes_of(net), np.float32
    return [a for m, k in zip(sizes, sizes[1:])
            for a in (random.standard_normal((k, m), f) * f((2 / m) ** 0.5), np.zeros(k, f))]


def problem(fw, net, n):
    sizes = sizes_of(net)
    x = np.random.default_rng(n).standard_normal((n, sizes[0]), np.float32)
    t = np.zeros((n, sizes[-1]), np.float32)
    t[np.arange(n), np.arange(n) % sizes[-1]] = 1
    return [fw.array(a) for a in network(net)], fw.array(x), fw.array(t)


def agrees(fw):
    """Whether rows and factors give the same direction; graphs that do not are left out, aloud."""
    fw.set_tf32(False)
    data = problem(fw, "784-1024-1024-10", 256)
    flat = lambda direction: np.concatenate([np.ravel(fw.numpy(d)) for d in direction])
    exact, by_rows = (fw.compiled(functools.partial(way, fw)) for way in (factors, rows))
    reference = flat(exact(*data))

    def check(what, direction):
        off = norm(flat(direction) - reference) / norm(reference)
        print(f"{fw.name}: {what} and factors differ by {off:.1e} of the direction", flush=True)
        if not off <= 1e-3:
            raise ArithmeticError("they do not agree to 1e-3")
        return True

    if fw.graphed:
        step = fw.graphed(exact)
        twice = lambda: [step(*data) for _ in range(2)][-1]
        if not tried(f"{fw.name}, graphs", lambda: check("a graph", twice())):
            fw.graphed = None
    return check("rows", by_rows(*data))


def choose_tf32(fw, on, options):
    """And says so if a product's error does not show it: 3e-7 in strict float, 3e-4 with TF32."""
    fw.set_tf32(on)
    a, b = np.random.default_rng(1).standard_normal((2, 1024, 1024), np.float32)
    product, exact = fw.numpy(fw.array(a) @ fw.array(b)), a.astype(np.float64) @ b
    error = norm(product - exact) / norm(exact)
    if (error > 1e-5) != (on and options.device == "cuda"):
        print(f"{fw.name}: TF32 {'on' if on else 'off'}, but a product is off by {error:.1e}")


def works_of(fw, net, n, options):
    """What is timed: {name: (direction, whether as a graph)}. Rows take part where they fit."""
    works = {"plain": (plain, False), "factors": (factors, False)}
    if fw.graphed:
        works |= {"plain, graph": (plain, True), "factors, graph": (factors, True)}
    needed = 2 * 4 * n * sum(a.size for a in network(net))  # rows, and a copy in another layout
    if options.device == "cpu" and n > 256 and not options.large:
        print(f"skipped: {fw.name}, rows, {net}, N = {n}: --large takes them", flush=True)
    elif needed > 0.9 * fw.memory():
        print(f"skipped: {fw.name}, rows, {net}, N = {n}: {needed / 1e9:.0f} GB", flush=True)
    else:
        works["rows"] = (rows, False)
    return works


def stepper(fw, direction, graph, state, x, t):
    update = fw.compiled(lambda net, x, t: [
        fw.descend(p, d) for p, d in zip(net, direction(fw, net, x, t))], donate=0)
    update = fw.graphed(update) if graph else update

    def step():
        state[0] = update(state[0], x, t)
        return state[0]

    return step


def measured(fw, net, n, options):
    """{work: (median milliseconds, median ratio to the plain step of the same round)}."""
    first, x, t = problem(fw, net, n)
    state, steps, counts, times = [first], {}, {}, {}
    for work, (direction, graph) in works_of(fw, net, n, options).items():
        step = stepper(fw, direction, graph, state, x, t)
        # The first step compiles, captures and makes handles; the second says what a step takes.
        taken = tried(f"{fw.name}, {work}, {net}, N = {n}",
                      lambda: [seconds(fw, step), seconds(fw, step)], options.deadline)
        if taken:
            steps[work], times[work] = step, []
            counts[work] = max(1, min(20, int(options.queue / taken[1])))
    for i in range(options.repeats):
        if "plain" in steps:  # rows leave threads and caches cold
            tried(fw.name, lambda: seconds(fw, steps["plain"]))
        for work, step in list(steps.items()):
            if (work == "rows" and i >= 3) or time.monotonic() > options.deadline:
                continue
            taken = tried(f"{fw.name}, {work}", lambda: seconds(fw, step, counts[work]))
            steps.pop(work) if taken is None else times[work].append(taken)
    base = lambda work: times.get("plain, graph" if "graph" in work else "plain", [])
    return {work: (1e3 * median(taken), median(a / b for a, b in zip(taken, base(work))))
            for work, taken in times.items() if taken and base(work)}


def natgrad_steps(net, tf32, options):
    """{N: {work: (milliseconds, ratio)}}."""
    pattern = f"step/mlp:{net}/batch:({'|'.join(map(str, options.batch))})"
    return {int(e["run_name"].split("batch:")[1].split("/")[0]): {
                "plain": (e["gradient_step_ms"], 1.0),
                "exact": (e["real_time"], e["ratio_to_gradient_step"])}
            for e in natgrad_bench(options, pattern, *["--allow-tf32"] * tf32)}


LINE = ("| {net:<16} | {batch:>4} | {tf32:>4} | {peer:<18} | {work:<14} | {ms:>6} | {ratio:>5} "
        "| {natgrad_faster:>7} |")


def write_lines(options, net, n, tf32, peer, works, ours):
    """A peer's lines of the table; `ours` are natgrad's works of the same case."""
    for work, (ms, ratio) in works.items():
        kind = "plain" if work.startswith("plain") else "exact"
        faster = ms / ours[kind][0] if ours else None
        line = {"device": options.machine, "net": net, "batch": n, "tf32": tf32, "peer": peer,
                "work": work, "ms": ms, "ratio": ratio, "natgrad_faster": faster}
        if options.output:
            print(json.dumps(line), file=options.output, flush=True)
        print(LINE.format(**{**line, "tf32": "on" if tf32 else "off", "ms": f"{ms:.4g}",
                             "ratio": f"{ratio:.3g}",
                             "natgrad_faster": f"{faster:.3g}" if ours else "-"}), flush=True)


def compare_steps(frameworks, options):
    options.machine = frameworks[0].device
    agreeing = [fw for fw in frameworks if tried(fw.name, lambda: agrees(fw))]
    print("\nMilliseconds of a step, its ratio to the same peer's plain step, and how many times "
          f"faster natgrad's plain or exact step is; float32, {options.machine}\n")
    print(LINE.format(net="net", batch="N", tf32="TF32", peer="peer", work="step", ms="ms",
                      ratio="ratio", natgrad_faster="natgrad"))
    print("|" + " --- |" * 8, flush=True)
    for net, tf32 in itertools.product(options.nets, options.tf32):
        ours = natgrad_steps(net, tf32, options)
        for fw in agreeing:
            tried(f"{fw.name}, TF32", lambda: choose_tf32(fw, tf32, options))
        for n in options.batch:
            write_lines(options, net, n, tf32, "natgrad", ours.get(n, {}), ours.get(n))
            for fw in agreeing:
                works = tried(fw.name, lambda: measured(fw, net, n, options))
                write_lines(options, net, n, tf32, fw.name, works or {}, ours.get(n))
    if len(agreeing) < len(frameworks):
        sys.exit("a peer was left out")


def compare_solves(frameworks, options, n=1024, p=100_000):
    random = np.random.default_rng(0)
    s, r = (random.standard_normal(shape, np.float32) for shape in ((n, p), n))
    s64, table = s.astype(np.float64), []
    exact = s64.T @ np.linalg.solve(s64 @ s64.T + np.eye(n), r)
    for fw in frameworks:
        data = [fw.array(a) for a in (s, s.T @ r, r)]
        solves = [fw.compiled(lambda *a, f=f: f(fw, *a)) for f in (push_through, published_solve)]
        errors = [norm(fw.numpy(solve(*data, 1.0)) - exact) / norm(exact) for solve in solves]
        times = [[seconds(fw, lambda: solve(*data, 100.0)) for solve in solves]
                 for _ in range(options.repeats)]
        ratio, ours = median(b / a for a, b in times), median(a for a, _ in times)
        table.append([fw.name, ratio, 1e3 * ours, *errors])
    for e in natgrad_bench(options, f"solve/dense/n:{n}/p:{p}"):
        figures = "speedup_over_published", "real_time", "error", "published_error"
        table.append(["natgrad", *(e[figure] for figure in figures)])
    print(f"\nDamped solve, n = {n}, p = {p}, lambda = 100; float32, {CORES} CPU cores\n")
    print("| peer | published form / push-through | its ms | error at lambda = 1 | published |\n|"
          + " --- |" * 5)
    for peer, ratio, ms, error, published in table:
        print(f"| {peer} | {ratio:.3g} | {ms:.3g} | {error:.1e} | {published:.1e} |")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add, listed = parser.add_argument, lambda text: text.split(",")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--solve", action="store_true", help="compare the damped dense solve, on the CPU")
    add("--nets", type=listed, metavar="NET,NET",
        help="of natgrad-bench (default 784-1024-1024-10, on CUDA also 8x4096)")
    add("--batch", type=lambda text: [int(n) for n in listed(text)], metavar="N,N",
        help="batch sizes of natgrad-bench (default 256,1024; on CUDA 1024,4096)")
    add("--tf32", choices=["off", "on", "both"], help="default off, on CUDA both in turn")
    add("--large", action="store_true", help="rows above N = 256 on the CPU, too: 16 GB, minutes")
    add("--jax", action="store_true", help="JAX on CUDA, too: it compiles for long")
    add("--repeats", type=int, help="rounds (default 11, on CUDA 5; rows take part in 3)")
    add("--seconds", type=float, help="start nothing after so many (on CUDA 55)")
    add("--output", type=lambda path: open(path, "w"), metavar="PATH", help="there as JSON, too")
    add("--natgrad-bench", default=NATGRAD_BENCH, metavar="PATH", help="build/natgrad-bench")
    options = parser.parse_args()
    cuda = options.device == "cuda"
    if cuda and options.solve:
        parser.error("--solve is for the CPU")
    options.nets = options.nets or ["784-1024-1024-10"] + ["8x4096"] * cuda
    options.batch = options.batch or ([1024, 4096] if cuda else [256, 1024])
    options.tf32 = {"off": [False], "on": [True], "both": [False, True]}[
        options.tf32 or ("both" if cuda else "off")]
    options.repeats = options.repeats or (5 if cuda else 11)
    options.seconds = options.seconds or (55 if cuda else 1e6)
    options.deadline = time.monotonic() + options.seconds
    options.queue = 0.03 if cuda else 0  # seconds of steps in the queue before one waits
    return options


def main():
    options = arguments()
    makers = [torch_framework] + [jax_framework] * (options.device == "cpu" or options.jax)
    makers += [numpy_framework] * options.solve
    frameworks = [fw for maker in makers
                  if (fw := tried(maker.__name__, lambda: maker(options.device)))]
    frameworks or sys.exit("no framework can be used; bench/requirements.txt names them")
    (compare_solves if options.solve else compare_steps)(frameworks, options)


if __name__ == "__main__":
    main()
