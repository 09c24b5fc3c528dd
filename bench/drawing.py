"""What the scripts that draw share: matplotlib with one look, and files made alike each time."""

import sys

# Okabe and Ito's colors, which color-blind readers tell apart.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def pyplot():
    """matplotlib's pyplot, without a display; ends the program where the package is missing."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("matplotlib is missing: pip install matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({
        "axes.grid": True, "axes.prop_cycle": plt.cycler(color=COLORS), "axes.spines.right": False,
        "axes.spines.top": False, "axes.titlesize": "medium", "figure.constrained_layout.use": True,
        "font.size": 9, "grid.alpha": 0.3, "legend.frameon": False,
        "svg.fonttype": "path",  # text as outlines: no font is asked for
        "svg.hashsalt": "natgrad",  # ids that do not change from run to run
    })
    return plt


def save(figure, path):
    """Writes the figure in the format that the ending of the path names."""
    try:
        # Without its date an SVG file changes only where the picture does.
        figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
