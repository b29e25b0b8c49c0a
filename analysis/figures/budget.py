"""Figures of what a budget brings and where it goes."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import (
    BLUE,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    SERIES,
    legend_above,
    panels,
    set_scale,
    wrapped,
)
from analysis.statistics.budget import Correlation

PARTS = {  # of a slot's time in study.json, in words
    "train": "training",
    "evaluate": "evaluation",
    "study_start": "the study's start",
    "study_end": "the study's end",
    "worker_start": "start of processes",
    "idle": "idle",
}


def best_against_budget(curves: Mapping[str, pd.DataFrame], metric: str, real: float | None) -> Figure:
    """The best so far over kimg, and over seconds; one line a space."""
    figure, grid = panels(2)
    for axes, clock, unit in zip(
        grid[0],
        ("kimg", "seconds"),
        ("kimg of all trials (a seed's)", "seconds of training and evaluation"),
        strict=True,
    ):
        for (label, curve), colour, marker in zip(curves.items(), SERIES * 9, MARKERS * 9, strict=False):
            is_expected = curve["low"].notna().any()
            axes.plot(
                curve[clock],
                curve["best"],
                color=colour,
                marker=marker,
                markersize=3.5,
                markevery=max(1, len(curve) // 12),
                drawstyle="default" if is_expected else "steps-post",
                label=label,
            )
            axes.fill_between(curve[clock], curve["low"], curve["high"], color=colour, alpha=0.2, linewidth=0)
        set_scale(axes, "x", pd.concat([curve[clock] for curve in curves.values()]))
        best = pd.concat([curve["best"] for curve in curves.values()])
        set_scale(axes, "y", best)
        if axes.get_yscale() == "log":  # where a band would go on to 0
            axes.set_ylim(bottom=0.7 * min(best.min(), best.min() if real is None or real <= 0 else real))
        if real is not None:
            axes.axhline(real, color=INK, linestyle="--", linewidth=1, label="real data")
        axes.set_xlabel(unit)
        axes.set_ylabel(f"best {metric}")
    legend_above(figure, grid[0][0])
    return figure


def top_tenth(tables: Mapping[str, pd.DataFrame], objective: str, real: float | None) -> Figure:
    """The best tenth of each space's trials, each with the interval of its seeds."""
    rows = sum(map(len, tables.values()))
    figure, grid = panels(1, size=(7.0, min(8.0, 1.4 + 0.22 * rows)))
    axes, place, ticks = grid[0][0], 0, []
    for (label, table), colour, marker in zip(tables.items(), SERIES * 9, MARKERS * 9, strict=False):
        places = range(place, place + len(table))
        value = table["objective"]
        axes.hlines(places, table["objective_low"], table["objective_high"], color=colour, linewidth=1.5)
        axes.plot(value, places, color=colour, marker=marker, linestyle="", label=label)
        ticks += [*zip(places, table["trial_id"], strict=True)]
        place += len(table)
    if rows <= 30:
        axes.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks], fontsize="small")
    else:
        axes.set_yticks([])
        axes.set_ylabel("trials, the best of each space on top")
    if real is not None:
        axes.axvline(real, color=INK, linestyle="--", linewidth=1, label="real data")
    axes.invert_yaxis()
    axes.set_xlabel(objective)
    legend_above(figure, axes)
    return figure


def rung_correlations(found: Mapping[str, Sequence[Correlation]]) -> Figure:
    """Rank correlation with the full budget over kimg; rungs are filled."""
    figure, grid = wrapped(len(found), columns=3)
    for axes, (label, points), colour in zip(grid, found.items(), SERIES * 9, strict=False):
        kimg = [point.kimg for point in points]
        axes.vlines(kimg, [p.low for p in points], [p.high for p in points], color=colour, linewidth=1.5)
        axes.plot(kimg, [p.rho for p in points], color=colour, linewidth=1)
        for is_rung in (True, False):
            own = [p for p in points if p.is_rung == is_rung]
            if own:
                axes.plot(
                    [p.kimg for p in own],
                    [p.rho for p in own],
                    linestyle="",
                    marker="o",
                    color=colour,
                    markerfacecolor=colour if is_rung else "white",
                    label="early stopping judges here" if is_rung else "no early stopping here",
                )
        axes.axhline(0, color=GREY, linewidth=1)
        axes.set_ylim(-1.05, 1.05)
        axes.set_title(label, fontsize="medium")
        axes.set_xlabel("kimg at which trials are ranked")
        axes.set_ylabel("rank correlation with the full budget")
    legend_above(figure, max(grid, key=lambda axes: len(axes.get_legend_handles_labels()[1])))
    return figure


def where_seconds_went(by_state: pd.DataFrame, slots: Mapping[str, float]) -> Figure:
    """Seconds by how trials ended and, where the study has ended, by what its slots did.

    `by_state`: label, trials, train, evaluate.
    """
    parts = {part: seconds for part, seconds in slots.items() if seconds > 0.005 * sum(slots.values())}
    figure, grid = panels(1 + bool(parts), size=(5.6, max(2.2, 1.2 + 0.3 * max(len(by_state), len(parts)))))
    axes = grid[0][0]
    places = range(len(by_state))
    axes.barh(places, by_state["train"], color=BLUE, label="training")
    axes.barh(
        places, by_state["evaluate"], left=by_state["train"], color=ORANGE, hatch="///", label="evaluation"
    )
    axes.set_yticks(places, by_state["label"], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel("seconds, all trials of that end")
    axes.legend(fontsize="small", ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    if parts:
        axes, places, whole = grid[0][1], range(len(parts)), sum(slots.values())
        ordered = sorted(parts.items(), key=lambda item: -item[1])
        bars = axes.barh(places, [seconds for _, seconds in ordered], color=GREY)
        axes.bar_label(bars, [f" {seconds / whole:.0%}" for _, seconds in ordered], fontsize="small")
        axes.set_yticks(places, [PARTS.get(part, part) for part, _ in ordered], fontsize="small")
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_xlabel("seconds of all slots, from start to end")
    return figure
