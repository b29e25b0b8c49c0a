"""Figures of how often runs diverge, and where; of how seeds differ; of losses and gradients."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.figures.style import (
    FATE,
    GREY,
    INK,
    KIMG,
    SEQUENTIAL,
    SERIES,
    legend_above,
    mark_real,
    panels,
    set_bins,
    set_scale,
)
from analysis.statistics.axes import Bin
from analysis.statistics.stability import Count, Survival
from study.metrics.failure import Failure
from study.records.schema import METERS

METER_NAMES = [meter.name for meter in METERS]
DASHES = ("-", "--", "-.", ":")


def survival_curves(curves: Mapping[str, Survival]) -> Figure:
    """The share of runs that have not diverged, over kimg; below it, how many are at risk."""
    figure = Figure(figsize=(7, 4 + 0.2 * len(curves)), layout="constrained")
    axes, table = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [3.6, 0.2 + 0.25 * len(curves)]}
    )
    end = max(curve.kimg[-1] for curve in curves.values()) or 1.0
    for row, (label, curve) in enumerate(curves.items()):
        colour, dashes = SERIES[row % len(SERIES)], DASHES[row % len(DASHES)]
        axes.step(
            curve.kimg, curve.alive, where="post", color=colour, linestyle=dashes, label=label, linewidth=1.8
        )
        axes.fill_between(
            curve.kimg, curve.low, curve.high, step="post", color=colour, alpha=0.15, linewidth=0
        )
        moments = np.linspace(0, end, 6)
        for moment in moments[moments <= curve.kimg[-1] + 1e-9]:
            place = min(np.searchsorted(curve.kimg, moment, side="left"), len(curve.kimg) - 1)
            table.text(moment, -row, f"{curve.at_risk[place]:,}", ha="center", va="center", fontsize="small")
    axes.set(ylim=(-0.02, 1.02), ylabel="seeds not yet diverged", xlim=(-0.04 * end, 1.04 * end))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    legend_above(figure, axes)
    table.set(ylim=(0.6 - len(curves), 0.6), xlabel=KIMG)
    table.set_yticks([-row for row in range(len(curves))], list(curves), fontsize="small")
    table.set_title("seeds at risk", fontsize="small", loc="left")
    table.tick_params(left=False)
    for side in ("top", "right", "left"):
        table.spines[side].set_visible(False)
    return figure


def failure_by_hyperparameter(found: Mapping[str, Sequence[tuple[Bin, Failure | None]]]) -> Figure:
    """A panel per hyperparameter: the share of seeds that diverge in each bin, with its interval and n."""
    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure, axes = panels(columns, rows, (3.2, 2.9))
    for panel, (name, cells) in zip(axes.flat, found.items(), strict=False):
        shown = [(x, f) for x, (_, f) in enumerate(cells) if f is not None and f.rate is not None]
        x = [place for place, _ in shown]
        rates = np.array([f.rate for _, f in shown], dtype=float)
        low = np.array([f.low for _, f in shown], dtype=float)
        high = np.array([f.high for _, f in shown], dtype=float)
        spread = np.array([rates - low, high - rates]).clip(0)
        panel.errorbar(x, rates, spread, fmt="o", color=SERIES[0], capsize=3)
        for place, (_, failure) in enumerate(cells):
            n = 0 if failure is None else failure.configurations
            panel.text(place, 1.1, f"n {n}", ha="center", va="center", fontsize="small")
        set_bins(panel.xaxis, [bin_ for bin_, _ in cells])
        panel.set(xlim=(-0.5, len(cells) - 0.5), ylim=(-0.03, 1.18), xlabel=name)
        panel.set_yticks([0, 0.25, 0.5, 0.75, 1])
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    for panel in axes[:, 0]:
        panel.set_ylabel("seeds that diverge")
    for panel in axes.flat[len(found) :]:
        panel.remove()
    return figure


def failure_map(
    first: tuple[str, Sequence[Bin]],
    second: tuple[str, Sequence[Bin]],
    cells: Mapping[tuple[int, int], Failure],
) -> Figure:
    """The share of seeds that diverge in each cell of two hyperparameters, with its interval and n.

    A cell without a configuration is empty; one where nobody was seen for so long has its n alone.
    """
    (across, columns), (up, rows) = first, second
    shares = np.full((len(rows), len(columns)), np.nan)
    for (x, y), failure in cells.items():
        shares[y, x] = np.nan if failure.rate is None else failure.rate
    figure = Figure(figsize=(1.6 + 1.25 * len(columns), 1.4 + 0.75 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1, origin="lower", aspect="auto")
    for (x, y), failure in cells.items():
        dark = failure.rate is not None and failure.rate < 0.5
        axes.text(
            x, y, _of_cell(failure), ha="center", va="center", fontsize="small", color="w" if dark else INK
        )
    set_bins(axes.xaxis, columns)
    set_bins(axes.yaxis, rows)
    axes.set(xlabel=across, ylabel=up)
    bar = figure.colorbar(image, ax=axes, format=PercentFormatter(1.0))
    bar.set_label("seeds that diverge")
    return figure


def _of_cell(failure: Failure) -> str:
    if failure.rate is None:
        return f"?\nn {failure.configurations}"
    return f"{failure.rate:.0%}\n{failure.low:.0%} to {failure.high:.0%}\nn {failure.configurations}"


def failings(found: Sequence[Count]) -> Figure:
    """The share of configurations that fail in each way, with its interval."""
    figure = Figure(figsize=(6, 1.0 + 0.45 * len(found)), layout="constrained")
    axes = figure.subplots()
    for row, count in enumerate(found):
        axes.plot([count.low, count.high], [-row, -row], color=SERIES[0])
        axes.plot(count.count / count.n, -row, "o", color=SERIES[0])
    axes.set_yticks([-row for row in range(len(found))], [f"{c.failing} ({c.count} of {c.n})" for c in found])
    axes.set(xlim=(-0.02, 1.02), ylim=(0.6 - len(found), 0.6), xlabel="configurations")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="x", alpha=0.3)
    return figure


def seeds_side_by_side(runs: pd.DataFrame, metric: str, floor: float | None) -> Figure:
    """Each configuration's seeds, the best configuration first.

    `runs`: `rank` (of the configuration), `value`, `fate` (as in FATE).
    """
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots()
    ends = runs.groupby("rank")["value"].agg(["min", "max"])
    axes.vlines(ends.index, ends["min"], ends["max"], color=GREY, linewidth=0.8, rasterized=True)
    for fate, rows in runs.groupby("fate"):
        colour, marker = FATE[str(fate)]
        label = "diverged: counted as its price" if fate == "diverged" else "seed"
        axes.scatter(
            rows["rank"], rows["value"], color=colour, marker=marker, s=22, label=label, rasterized=True
        )
    set_scale(axes, "y", runs["value"])
    if floor is not None:
        mark_real(axes, floor)
    axes.set(xlabel="configurations, by objective, the best first", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(figure, axes)
    return figure


def training_signals(curves: pd.DataFrame) -> Figure:
    """Losses and gradient norms over kimg: a line a run, coloured by its `fate` (as in FATE)."""
    shown = [name for name in METER_NAMES if curves[name].notna().any()]
    figure, axes = panels(2, -(-len(shown) // 2), (5.2, 2.9))
    for panel, name in zip(axes.flat, shown, strict=False):
        for fate in (fate for fate in FATE if fate in set(curves["fate"])):
            rows = curves[(curves["fate"] == fate) & curves[name].notna()]
            _signal(panel, rows, name, fate)
        values = curves[name]
        panel.set(xlabel=KIMG, ylabel=name)
        if (values.dropna() > 0).all():
            panel.set_yscale("log")
        else:
            panel.set_yscale("symlog")
            panel.yaxis.get_major_locator().set_params(numticks=7)
            if values.min() >= 0:
                panel.set_ylim(bottom=0)
        panel.xaxis.label.set_fontsize("small")
    for panel in axes.flat[len(shown) :]:
        panel.remove()
    legend_above(figure, axes.flat[0])
    return figure


def _signal(axes: Axes, curves: pd.DataFrame, name: str, fate: str) -> None:
    """A line a run; of those that were not trained to their budget, with a marker at its end."""
    colour, marker = FATE[fate]
    dashes = {"diverged": "--", "pruned": ":"}.get(fate, "-")
    lines = [run[["kimg", name]].to_numpy(float) for _, run in curves.groupby(["trial_id", "seed"])]
    axes.add_collection(
        LineCollection(
            lines, colors=colour, linestyles=dashes, linewidths=0.8, alpha=0.7, label=fate, rasterized=True
        )
    )
    axes.autoscale_view()
    if fate != "completed" and lines:
        ends = np.array([line[-1] for line in lines])
        axes.plot(*ends.T, marker, color=colour, markersize=5, linestyle="", rasterized=True)
