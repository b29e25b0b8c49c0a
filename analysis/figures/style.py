"""What figures share: colours that are told apart in grey and by the colour-blind, sizes, words of axes."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from analysis.statistics.axes import Bin, short

# Okabe and Ito 2008, in an order of falling lightness apart; markers tell the same in grey.
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
GREY, INK = "#9a9a9a", "#222222"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P")
# How a trial or a run ended: colour and marker.
FATE: Mapping[str, tuple[str, str]] = {
    "completed": (BLUE, "o"),
    "pruned": ("#6e6e6e", "|"),
    "diverged": (ORANGE, "X"),
    "failed": (INK, "1"),
    "interrupted": (SKY, "2"),
}
SEQUENTIAL = "cividis"  # a map of colours that is the same for the colour-blind
KIMG = "kimg (thousands of real samples shown to each critic)"
PANEL = (5.2, 3.6)  # inches
LETTERS = 13  # of small print in an inch
LABEL = 36  # letters of a label in a line


def panels(columns: int, rows: int = 1, size: tuple[float, float] = PANEL) -> tuple[Figure, np.ndarray]:
    """A figure of so many panels, and its axes (rows, columns)."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def wrapped(number: int, size: tuple[float, float] = PANEL, columns: int = 4) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels in rows of at most `columns`, and their axes."""
    columns = min(number, columns)
    figure, grid = panels(columns, -(-number // columns), size)
    for spare in grid.flat[number:]:
        spare.remove()
    return figure, list(grid.flat[:number])


def legend_above(figure: Figure, axes: Axes) -> None:
    """What the marks of a figure mean, over it, where it hides none; in as many columns as have room."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        shown = [wrap_label(label) for label in labels]
        longest = max(len(line) for label in shown for line in label.splitlines())
        columns = max(1, int(LETTERS * figure.get_figwidth() / (longest + 5)))
        figure.legend(handles, shown, loc="outside upper center", ncols=columns, fontsize="small")


def wrap_label(label: str) -> str:
    """A label in lines of which three have room beside a panel."""
    return textwrap.fill(label, LABEL, break_long_words=True)


def set_bins(axis: Axis, bins: Sequence[Bin]) -> None:
    """Ticks where bin k is centred on k: the ends of a range's bins, or the values of a choice."""
    if all(bin_.low == bin_.high for bin_ in bins):
        axis.set_ticks(range(len(bins)), [bin_.label for bin_ in bins], fontsize="small")
    else:
        ends = [bins[0].low, *(bin_.high for bin_ in bins)]
        places = [place - 0.5 for place in range(len(ends))]
        axis.set_ticks(
            places, [end if isinstance(end, str) else short(end) for end in ends], fontsize="small"
        )


def set_scale(axes: Axes, which: str, values: Any) -> None:
    """Logarithmic where all known values are above 0 and span more than a decade."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if known.size and known.min() > 0 and known.max() > 10 * known.min():
        set_log(axes, which)


def set_log(axes: Axes, which: str) -> None:
    """Logarithmic, with plain numbers: 20, and not 2 x 10^1."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(PlainLog())
    axis.set_minor_formatter(PlainLog(minor_thresholds=(1.5, 0.5)))


def mark_real(axes: Axes, real: float) -> None:
    """A line at what real data score, once the scale is set; a logarithmic one has no place for 0."""
    if axes.get_yscale() == "log" and real <= 0:
        return
    axes.axhline(real, color=INK, linestyle="--", linewidth=1)
    axes.annotate("real data", (0.01, real), xycoords=("axes fraction", "data"), va="bottom")


class PlainLog(LogFormatter):
    """Writes 0.1, and not 1e-01; of the ticks between powers of ten those that have room: 2 and 5."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        labelled = super().__call__(x, pos)
        first = f"{x:e}"[0]
        return f"{x:g}" if labelled and first in "125" else ""
