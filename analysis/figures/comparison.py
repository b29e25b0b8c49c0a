"""Figures that put spaces, and the tuned and the default, side by side."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import (
    BLUE,
    GREY,
    INK,
    KIMG,
    MARKERS,
    ORANGE,
    SERIES,
    legend_above,
    panels,
    set_scale,
    wrap_label,
    wrapped,
)
from analysis.statistics.comparison import Against
from analysis.statistics.tuned import Tuned

CLOCKS = {"kimg_planned": KIMG, "train_seconds": "training seconds of one seed"}
AT = {"kimg_planned": "at kimg {:.4g}", "train_seconds": "at {:.4g} s a seed"}


def curves_of_the_best(
    curves: Mapping[str, pd.DataFrame], clocks: Sequence[str], metric: str, real: float | None
) -> Figure:
    """The score of each space's best trial over kimg and seconds, from its worst seed to its best."""
    figure, grid = panels(len(clocks))
    for axes, clock in zip(grid[0], clocks, strict=True):
        for (label, rows), colour, marker in zip(curves.items(), SERIES * 9, MARKERS * 9, strict=False):
            seeds = rows.groupby("evaluation")
            at, score = seeds[clock].mean(), seeds["score"]
            axes.plot(at, score.mean(), color=colour, marker=marker, markersize=4, label=label)
            axes.fill_between(at, score.min(), score.max(), color=colour, alpha=0.2, linewidth=0)
        set_scale(axes, "y", pd.concat([rows["score"] for rows in curves.values()]))
        if real is not None:
            axes.axhline(real, color=INK, linestyle="--", linewidth=1, label="real data")
        axes.set_xlabel(CLOCKS[clock])
        axes.set_ylabel(metric)
    legend_above(figure, grid[0][0])
    return figure


def differences(found: Sequence[Against], metric: str) -> Figure:
    """How much better one best is than another, with corrected intervals; one row a comparison."""
    figure, grid = panels(1, size=(8.0, 1.3 + 0.4 * len(found)))
    axes = grid[0][0]
    for place, against in enumerate(found):
        gain, colour = against.gain, BLUE if against.clock == "kimg_planned" else ORANGE
        if gain.low is not None:
            axes.plot([gain.low, gain.high], [place, place], color=colour, linewidth=2)
        axes.plot(
            gain.mean,
            place,
            color=colour,
            marker="o" if against.clock == "kimg_planned" else "s",
            markerfacecolor=colour if gain.is_shown else "white",
        )
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(
        range(len(found)),
        [wrap_label(f"{f.one} over {f.other}, {AT[f.clock].format(f.at)}") for f in found],
        fontsize="small",
    )
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel(f"better by, in {metric}; filled: the interval leaves out 0")
    return figure


def tuned_against_default(found: Mapping[str, Tuned], metric: str) -> Figure:
    """Each seed's score with the default and with the best; one panel a space."""
    figure, grid = wrapped(len(found), size=(3.6, 3.4))
    for axes, (label, tuned) in zip(grid, found.items(), strict=True):
        both = [*zip(tuned.pairs.other, tuned.pairs.one, strict=True)]
        for seed in both:
            axes.plot([0, 1], seed, color=GREY, marker="o", markersize=5, markerfacecolor=BLUE)
        set_scale(axes, "y", [value for seed in both for value in seed])
        axes.set_xlim(-0.3, 1.3)
        axes.set_xticks([0, 1], ["paper's default", "best of search"])
        axes.set_ylabel(f"{metric} at kimg {tuned.pairs.at:.4g}")
        axes.set_title(label, fontsize="medium")
    return figure


def pareto(table: pd.DataFrame, metric: str, coverage: str | None) -> Figure:
    """Trials by fidelity and coverage, hollow where a seed diverged; those on the front are ringed.

    `table`: space, objective, coverage (where there is one), failure_rate, is_front.
    """
    figure, grid = panels(1, size=(7.0, 4.4))
    axes, y = grid[0][0], "coverage" if coverage else "failure_rate"
    small = 6 if len(table) < 500 else 3
    for (label, rows), colour, marker in zip(
        table.groupby("space", sort=False), SERIES * 9, MARKERS * 9, strict=False
    ):
        for failed, own in rows.groupby(rows["failure_rate"] > 0):
            axes.plot(
                own["objective"],
                own[y],
                linestyle="",
                color=colour,
                marker=marker,
                markersize=small,
                markerfacecolor="white" if failed else colour,
                label=f"{label}, seeds diverged" if failed else f"{label}, none diverged",
            )
    front = table[table["is_front"]]
    axes.plot(
        front["objective"],
        front[y],
        linestyle="",
        color=INK,
        marker="o",
        markersize=small + 6,
        markerfacecolor="none",
        label="on the front",
    )
    set_scale(axes, "x", table["objective"])
    if not coverage:
        axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(f"{metric} (objective)")
    axes.set_ylabel(f"{coverage} (mean of seeds)" if coverage else "share of seeds that diverged")
    legend_above(figure, axes)
    return figure
