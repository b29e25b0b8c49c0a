"""Figures of what hyperparameters do: slices, importance, parallel coordinates."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from analysis.figures.style import (
    BLUE,
    FATE,
    GREY,
    INK,
    ORANGE,
    SEQUENTIAL,
    legend_above,
    panels,
    set_log,
    set_scale,
)
from analysis.statistics.axes import short
from analysis.statistics.importance import Importance
from study.space import Choice, Range

LANE = 1.16  # of diverged trials, on the axis of the objective


def slices(trials: pd.DataFrame, searched: Mapping[str, Choice | Range], objective: str) -> Figure:
    """The objective against each hyperparameter, a mark a trial: colour and marker say how it ended.

    `trials`: the hyperparameters, `objective`, `state` (as in FATE) and `jitter` (-1 to 1: sideways among
    the marks of a choice).
    """
    columns = min(4, len(searched))
    figure, axes = panels(columns, -(-len(searched) // columns), (3.3, 2.9))
    for panel, (name, known) in zip(axes.flat, searched.items(), strict=False):
        for state, (colour, marker) in FATE.items():
            rows = trials[trials["state"] == state]
            if len(rows):
                panel.scatter(
                    _across(panel, name, known, rows), rows["objective"], color=colour, marker=marker,
                    s=26, linewidths=1.2, alpha=0.8, label=f"{state} ({len(rows):,})", rasterized=True,
                )  # fmt: skip
        panel.set_xlabel(name)
        set_scale(panel, "y", trials["objective"])
    for panel in axes[:, 0]:
        panel.set_ylabel(objective)
    for panel in axes.flat[len(searched) :]:
        panel.remove()
    legend_above(figure, axes.flat[0])
    return figure


def _across(axes: Axes, name: str, searched: Choice | Range, rows: pd.DataFrame) -> pd.Series:
    if isinstance(searched, Range):
        if searched.log:
            set_log(axes, "x")
        return rows[name].astype(float)
    places = {value: float(place) for place, value in enumerate(searched.values)}
    axes.set_xticks(range(len(places)), [str(value) for value in places])
    return rows[name].map(lambda value: places.get(value, np.nan)).astype(float) + 0.25 * rows["jitter"]


def importances(found: Sequence[tuple[str, Importance]]) -> Figure:
    """Total effects with their intervals, a panel a quantity; filled: above every shadow (dashed line)."""
    most = max(len(importance.effects) for _, importance in found)
    figure, axes = panels(len(found), 1, (3.6, 1.3 + 0.32 * most))
    for panel, (title, importance) in zip(axes[0], found, strict=True):
        for row, effect in enumerate(importance.effects):
            panel.plot([effect.low, effect.high], [-row, -row], color=BLUE if effect.matters else GREY)
            panel.plot(
                effect.share, -row, "o", color=BLUE if effect.matters else GREY,
                markerfacecolor=BLUE if effect.matters else "white",
            )  # fmt: skip
        panel.axvline(importance.threshold or 0.0, color=INK, linestyle="--", linewidth=1)
        names = [effect.name for effect in importance.effects]
        panel.set_yticks([-row for row in range(len(names))], names)
        panel.set(xlim=(-0.03, 1.03), ylim=(0.6 - most, 0.6), xlabel="total effect (share of variance)")
        panel.set_title(f"{title}\n{importance.n:,} trials", fontsize="medium")
        panel.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def parallel_coordinates(
    places: pd.DataFrame,
    objective: pd.Series,
    searched: Mapping[str, Choice | Range],
    title: str,
    higher: bool,
) -> Figure:
    """A line a trial through its hyperparameters to its objective; diverged trials go to a lane of their own.

    `places`: (trials, hyperparameters) on a unit scale; `objective`: NaN of a trial that diverged.
    """
    figure = Figure(figsize=(1.5 * (len(searched) + 1), 4.4), layout="constrained")
    axes = figure.subplots()
    last = len(searched)
    values = objective.to_numpy(float)
    fallen = np.isnan(values)
    log = bool((~fallen).any() and np.nanmin(values) > 0 and np.nanmax(values) > 10 * np.nanmin(values))
    scaled = np.log(values) if log else values
    low, high = (np.nanmin(scaled), np.nanmax(scaled)) if (~fallen).any() else (0.0, 1.0)
    ends = np.where(fallen, LANE, (scaled - low) / ((high - low) or 1.0))
    order = pd.Series(values).rank(ascending=not higher, pct=True).to_numpy()  # the best is the smallest
    lines = [
        np.column_stack([range(last + 1), [*row, end]])
        for row, end in zip(places.to_numpy(), ends, strict=True)
    ]
    worst_first = [k for k in np.argsort(-np.nan_to_num(order)) if not fallen[k]]
    shades = colormaps[SEQUENTIAL](0.9 * np.nan_to_num(order))
    for chosen, colours, dashes in (
        (np.flatnonzero(fallen), ORANGE, "--"),
        (worst_first, shades[worst_first], "-"),
    ):
        if len(chosen):
            axes.add_collection(
                LineCollection(
                    [lines[k] for k in chosen], colors=colours, linestyles=dashes, linewidths=0.9, alpha=0.75,
                    rasterized=True,
                )
            )  # fmt: skip
    for x, known in enumerate(searched.values()):
        _scale(axes, x, *_ticks(known))
    labels = [low + k / 4 * (high - low) for k in range(5)] if (~fallen).any() else []
    at = [k / 4 for k in range(len(labels))]
    _scale(axes, last, at, [f"{np.exp(v) if log else v:.3g}" for v in labels])
    if fallen.any():
        axes.text(
            last, LANE + 0.04, f"diverged ({int(fallen.sum()):,})", ha="center", va="bottom", color=ORANGE
        )
        axes.plot([last - 0.12, last + 0.12], [LANE, LANE], color=ORANGE, linewidth=2.5)
    axes.set_xticks(range(last + 1), [*searched, title])
    axes.set(xlim=(-0.3, last + 0.5), ylim=(-0.05, LANE + 0.14 if fallen.any() else 1.05))
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def _scale(axes: Axes, x: int, at: Sequence[float], labels: Sequence[str]) -> None:
    axes.plot([x, x], [0, 1], color=INK, linewidth=1)
    for y, label in zip(at, labels, strict=True):
        axes.plot([x - 0.03, x + 0.03], [y, y], color=INK, linewidth=1)
        box = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5}
        axes.text(x + 0.05, y, label, fontsize="x-small", va="center", bbox=box)


def _ticks(searched: Choice | Range) -> tuple[list[float], list[str]]:
    if isinstance(searched, Choice):
        last = max(1, len(searched.values) - 1)
        return [k / last for k in range(len(searched.values))], [str(value) for value in searched.values]
    low, high, at = searched.low, searched.high, [0.0, 0.5, 1.0]
    values = [low, (low * high) ** 0.5 if searched.log else (low + high) / 2, high]
    return at, [short(value) for value in values]
