"""How many modes are reached: over kimg, against hyperparameters, and each by itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import (
    BLUE,
    GREY,
    INK,
    KIMG,
    MARKERS,
    ORANGE,
    SEQUENTIAL,
    SERIES,
    legend_above,
    panels,
    set_log,
)
from analysis.statistics.axes import bins
from study.space import Choice, Range, Space

LABEL = "share of modes reached"
COLUMNS = 3  # panels side by side
GOLDEN = 0.618  # times 0, 1, 2, ..., modulo 1: spread out evenly, however many
NUMBERED = 30  # modes with a tick each


def over_kimg(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Mean coverage with its interval, a line a space, from `statistics.coverage.over_kimg`."""
    figure, ((axes,),) = panels(1, size=(6.4, 3.8))
    for place, (label, table) in enumerate(tables.items()):
        colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
        kimg, n = table["kimg_planned"], table["trials"].max()
        axes.plot(kimg, table["mode_coverage"], color=colour, marker=marker, label=f"{label} (n = {n:,})")
        axes.fill_between(kimg, table["low"], table["high"], color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel=KIMG, ylabel=LABEL, ylim=(-0.03, 1.03))
    legend_above(figure, axes)
    return figure


def by_hyperparameter(space: Space, trials: pd.DataFrame, means: Mapping[str, pd.DataFrame]) -> Figure:
    """Each trial against each searched hyperparameter, from its worst seed to its best.

    `trials`: of `statistics.coverage.by_trial`; `means`: of `in_bins` there, by hyperparameter.
    """
    names = list(means)
    columns = min(COLUMNS, len(names))
    figure, grid = panels(columns, -(-len(names) // columns), size=(3.6, 2.8))
    for axes in grid.flat[len(names) :]:
        axes.remove()
    for axes, name in zip(grid.flat, names, strict=False):
        searched, known = space.searched[name], trials[trials[name].notna()]
        x, ticks = _places(searched, known[name])
        for diverged, colour, marker in ((False, BLUE, "o"), (True, ORANGE, "X")):
            own = ((known["diverged"] > 0) == diverged).to_numpy()
            rows, at = known[own], x[own]
            thin = 0.6 if len(known) <= 200 else 0.15
            axes.vlines(
                at, rows["low"], rows["high"], color=colour, alpha=thin, linewidth=0.8, rasterized=True
            )
            axes.plot(
                at, rows["mode_coverage"], marker, color=colour, markersize=4, alpha=thin, rasterized=True
            )
        _draw_means(axes, searched, means[name])
        axes.set(xlabel=name, ylim=(-0.05, 1.16))
        axes.set_yticks(np.linspace(0, 1, 5))
        if isinstance(searched, Choice):
            axes.set_xticks(range(len(ticks)), ticks)
            axes.set_xlim(-0.5, len(ticks) - 0.5)
        elif searched.log:
            set_log(axes, "x")
    for axes in grid[:, 0]:
        axes.set_ylabel(LABEL)
    return figure


def _places(searched: Choice | Range, values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Where values stand on an axis: choices one by one, each spread out a little in the order of trials."""
    if not isinstance(searched, Choice):
        return values.to_numpy(dtype=float), []
    place = {value: number for number, value in enumerate(searched.values)}
    spread = (np.arange(len(values)) * GOLDEN % 1 - 0.5) / 2
    return np.array([place[value] for value in values]) + spread, [str(value) for value in searched.values]


def _draw_means(axes: Axes, searched: Choice | Range, means: pd.DataFrame) -> None:
    """Each bin's mean as a line across it, its interval as a bar, and n above."""
    rows: Any = means.to_dict("records")
    for row in rows:
        if isinstance(searched, Choice):
            low, middle, high = row["bin"] - 0.35, row["bin"], row["bin"] + 0.35
        else:
            part = bins(searched)[row["bin"]]
            low, high = float(part.low), float(part.high)
            middle = (low * high) ** 0.5 if searched.log else (low + high) / 2
        axes.plot([low, high], [row["mode_coverage"]] * 2, color=INK, linewidth=1.5)
        axes.vlines(middle, row["low"], row["high"], color=INK, linewidth=2.5)
        axes.annotate(f"n={row['trials']}", (middle, 1.13), ha="center", va="top", fontsize=6.5, color=INK)


def mode_counts(counts: pd.DataFrame) -> Figure:
    """Samples on each mode at a trial's evaluations, a panel a seed; white: none, hatched: diverged."""
    seeds = list(dict.fromkeys(counts["seed"]))
    figure, (row,) = panels(len(seeds), size=(max(2.6, 9 / len(seeds)), 3.6))
    colours = colormaps[SEQUENTIAL].with_extremes(under="white", bad="none")
    most = max(1.0, float(counts["samples"].max()))
    for axes, seed in zip(row, seeds, strict=True):
        table = counts[counts["seed"] == seed].pivot(index="mode", columns="kimg", values="samples")
        kimg, modes = table.columns.to_numpy(), len(table)
        image = axes.pcolormesh(
            _edges(kimg),
            np.arange(modes + 1) - 0.5,
            np.ma.masked_invalid(table.to_numpy()),
            cmap=colours,
            vmin=0.5,
            vmax=most,
            rasterized=True,
        )
        axes.patch.set(hatch="////", edgecolor=GREY)  # seen where nothing lies over it
        axes.set(title=f"seed {seed}", xlabel="kimg")
        if modes <= NUMBERED:
            axes.set_yticks(range(modes))
    row[0].set_ylabel("mode")
    figure.colorbar(image, ax=row, label="samples on the mode", extend="min")
    return figure


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders half way between neighbours."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    half = np.diff(centres) / 2
    return np.concatenate([[centres[0] - half[0]], centres[:-1] + half, [centres[-1] + half[-1]]])
