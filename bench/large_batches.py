#!/usr/bin/env python3
"""Steps and seconds to a test accuracy by batch size: natural gradient, SGD with momentum, Adam.

Runs natgrad-train for every batch size, method, rate and seed, and appends what came out to a CSV
file; runs that stand there already are not repeated, so that a call that was cut off goes on, and
one with nothing left to do draws the picture again. Of a method's rates the one counts whose median
over seeds takes the fewest steps. A run ends at the target, after --epochs, or where it has taken
twice the steps that the best rate of its method, batch and seed took so far; it counts as one that
does not reach the target then.
"""

import argparse
import csv
import json
import math
import pathlib
import subprocess
import sys
import time
from statistics import median

TRAIN = pathlib.Path(__file__).absolute().parents[1] / "build" / "natgrad-train"
NAMES = {"natural": "natural gradient", "sgd": "SGD with momentum", "adam": "Adam"}
# The natural gradient keeps the trainer's one default; the others get five rates each.
RATES = {"natural": [0.4], "sgd": [0.03, 0.1, 0.3, 1.0, 3.0],
         "adam": [0.0003, 0.001, 0.003, 0.01, 0.03]}
KEY = ["task", "hidden", "target", "epochs", "method", "batch", "rate", "seed"]
COLUMNS = KEY + ["outcome", "steps", "seconds", "highest_accuracy", "evaluated_every"]


def key_of(row):
    return tuple(str(row[column]) for column in KEY)


def read_results(path):
    """{key: row}; empty where there is no file."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            sys.exit(f"{path}: expected the columns {','.join(COLUMNS)}")
        return {key_of(row): row for row in reader}


def append_result(path, row):
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def figures_of(options, command):
    """The lines of metrics of a run, as they come; the run is ended when no more are asked for."""
    run = subprocess.Popen([*command, "--quiet", "--metrics", "/dev/stdout"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in run.stdout:
            yield json.loads(line)
        if run.wait() not in (0, 3):  # 3: it diverged
            sys.exit(f"{' '.join(command)}: {run.stderr.read().strip()}")
    finally:
        run.kill()
        run.wait()


def trained(options, row, most_steps):
    """What a run of this row came to, as the last columns of a result."""
    every = max(1, round(options.evaluated / row["batch"]))
    task = ["digits"] if options.smoke else ["mnist", str(options.data)]
    command = [str(options.natgrad_train), *task, "--hidden", options.hidden, "--weight-decay", "0",
               "--optimizer", row["method"], "--batch", str(row["batch"]), "--rate",
               str(row["rate"]), "--seed", str(row["seed"]), "--epochs", str(options.epochs),
               "--evaluate-every", str(every)]
    command += ["--threads", str(options.threads)] if options.threads else []
    outcome, highest, first, last = "not reached", 0.0, None, None
    for figures in figures_of(options, command):
        last = figures["step"], figures["seconds"]
        first = first or last
        if any(figures.get(name, 0) is None for name in ("loss", "test_loss")):
            outcome = "diverged"
            break
        highest = max(highest, figures.get("test_accuracy", 0.0))
        if highest >= options.target:
            outcome = "reached"
            break
        if last[0] > most_steps:
            outcome = "slower"
            break
    steps, seconds = last
    if steps > 1:  # without the first step, which stands for reading the data as well
        seconds = (seconds - first[1]) * steps / (steps - 1)
    return {"outcome": outcome, "steps": steps, "seconds": f"{seconds:.4g}",
            "highest_accuracy": f"{highest:.4f}", "evaluated_every": every}


def rows_of(options, method, batch):
    """The runs of a method at a batch size, those of a seed from the middle rate outward."""
    rates = options.rates[method]
    outward = sorted(rates, key=lambda rate: abs(rates.index(rate) - (len(rates) - 1) / 2))
    return [{"task": "digits" if options.smoke else "mnist", "hidden": options.hidden,
             "target": options.target, "epochs": options.epochs, "method": method, "batch": batch,
             "rate": rate, "seed": seed} for seed in range(options.seeds) for rate in outward]


def measure(options, results):
    """Takes the runs that are missing; returns whether none is left."""
    for batch in options.sizes:
        for method in options.rates:
            for row in rows_of(options, method, batch):
                if key_of(row) in results:
                    continue
                if time.monotonic() > options.deadline:
                    return False
                rivals = (results.get(key_of({**row, "rate": rate}))
                          for rate in options.rates[method])
                best = min((int(rival["steps"]) for rival in rivals
                            if rival and rival["outcome"] == "reached"), default=math.inf)
                row |= trained(options, row, 2 * best)
                append_result(options.results, row)
                results[key_of(row)] = row
                print(f"{method}, batch {batch}, rate {row['rate']:g}, seed {row['seed']}: "
                      f"{row['outcome']}, {row['steps']} steps, {row['seconds']} s", flush=True)
    return True


def best_of(options, results, method, batch):
    """(rate, [steps], [seconds]) over seeds at the best rate; None where runs are missing or no
    rate reaches the target in most of them."""
    rows = rows_of(options, method, batch)
    if any(key_of(row) not in results for row in rows):
        return None
    runs = {}
    for row in rows:
        result = results[key_of(row)]
        reached = result["outcome"] == "reached"
        steps, seconds = runs.setdefault(row["rate"], ([], []))
        steps.append(int(result["steps"]) if reached else math.inf)
        seconds.append(float(result["seconds"]) if reached else math.inf)
    rate, (steps, seconds) = min(runs.items(), key=lambda run: median(run[1][0]))
    return (rate, steps, seconds) if median(steps) < math.inf else None


def table(options, results):
    """Markdown, with a rate at the end of its grid marked: a better one may lie beyond."""
    print(f"\n| batch |{''.join(f' {NAMES[m]}: steps, seconds (rate) |' for m in options.rates)}\n"
          f"|{' --- |' * (1 + len(options.rates))}")
    for batch in options.sizes:
        line = f"| {batch} |"
        for method, rates in options.rates.items():
            best = best_of(options, results, method, batch)
            if best:
                rate, steps, seconds = best
                mark = "*" if len(rates) > 1 and rate in (min(rates), max(rates)) else ""
                line += f" {median(steps):g}, {median(seconds):.3g} ({rate:g}{mark}) |"
            else:
                line += " - |"
        print(line)
    print("\n\\* at the end of the rates tried", flush=True)


def draw(options, results):
    from drawing import pyplot, save

    plt = pyplot()
    from matplotlib.ticker import LogFormatter

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.3))
    for i, method in enumerate(options.rates):
        found = {batch: best for batch in options.sizes
                 if (best := best_of(options, results, method, batch))}
        for column, axis in enumerate(axes, 1):
            values = {batch: best[column] for batch, best in found.items()}
            axis.plot(list(values), [median(v) for v in values.values()], "o-", color=f"C{i}",
                      label=NAMES[method], markersize=4)
            for batch, v in values.items():
                ends = [x for x in v if x < math.inf]
                axis.plot([batch, batch], [min(ends), max(ends)], color=f"C{i}", linewidth=0.8)
    for axis, label in zip(axes, ("steps", "seconds")):
        axis.set(xscale="log", yscale="log", xlabel="batch size", xticks=options.sizes,
                 xticklabels=options.sizes, title=f"{label} to {100 * options.target:g} %")
        axis.tick_params(which="minor", bottom=False, labelbottom=False)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.6))) 
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, options.output)


def rates_of(text):
    method, _, rates = text.partition("=")
    if method not in RATES:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(RATES)}, then = and rates")
    return method, sorted(float(rate) for rate in rates.split(","))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add, sizes = parser.add_argument, lambda text: sorted(int(n) for n in text.split(","))
    add("--data", metavar="DIR", help="the four IDX files of MNIST")
    add("--sizes", type=sizes, metavar="N,N", help="default 250,500,1000,2000,4000,8000")
    add("--rates", type=rates_of, action="append", default=[], metavar="METHOD=X,X",
        help="in place of a method's own, which are " + "; ".join(
            f"{m}={','.join(f'{x:g}' for x in rates)}" for m, rates in RATES.items()))
    add("--seeds", type=int, metavar="N", help="seeds 0 to N - 1 (default 3, with --smoke 1)")
    add("--hidden", metavar="LIST", help="widths of the hidden layers (default 512,512)")
    add("--target", type=float, metavar="X", help="test accuracy (default 0.97)")
    add("--epochs", type=int, metavar="N", help="of a run at most (default 40)")
    add("--threads", type=int, metavar="N", help="CPU threads (default: natgrad-train's)")
    add("--seconds", type=float, default=math.inf, metavar="X", help="start no run after so many")
    add("--results", type=pathlib.Path, metavar="PATH",
        help="read, and added to (default large_batches.csv, with --smoke large_batches_smoke.csv)")
    add("--output", metavar="PATH", help="picture, SVG or PNG by its ending (default: none)")
    add("--smoke", action="store_true",
        help="a quick trial: the digits, batches of 240 and 480, 90 %%, one hidden layer of 32")
    add("--natgrad-train", default=TRAIN, metavar="PATH", help="build/natgrad-train")
    options = parser.parse_args()
    if not options.smoke and not options.data:
        parser.error("--data DIR or --smoke is needed")
    smoke = options.smoke
    options.sizes = options.sizes or ([240, 480] if smoke else [250, 500, 1000, 2000, 4000, 8000])
    options.hidden = options.hidden or ("32" if smoke else "512,512")
    options.seeds = options.seeds or (1 if smoke else 3)
    options.target = options.target or (0.9 if smoke else 0.97)
    options.epochs = options.epochs or (20 if smoke else 40)
    options.results = options.results or pathlib.Path(f"large_batches{'_smoke' * smoke}.csv")
    options.evaluated = 480 if smoke else 4000  # samples between evaluations, at least a batch
    options.rates = RATES | dict(options.rates)
    options.deadline = time.monotonic() + options.seconds
    return options


def main():
    options = arguments()
    results = read_results(options.results)
    whole = measure(options, results)
    table(options, results)
    if options.output:
        draw(options, results)
    if not whole:
        sys.exit("--seconds were over before all runs were taken: call it again to go on")


if __name__ == "__main__":
    main()
