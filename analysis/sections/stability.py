"""Stability: how often runs diverge, when and where; how far seeds differ; what training looked like."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from analysis.chart import Chart, stem
from analysis.figures import stability as figures
from analysis.sections import training
from analysis.statistics.axes import bins
from analysis.statistics.stability import (
    Survival,
    failings,
    failure_by,
    failure_by_pair,
    known,
    survival,
)
from analysis.tables import SpaceResults
from analysis.words import counted, sentences
from study.metrics.failure import DIVERGED, Failure

PAIRS = (("lr_g", "lr_d"), ("n_critic", "clip_value"), ("n_critic", "lambda_gp"))
CENSORING = (
    "It assumes that stopping a trial says nothing about whether it would have diverged; early stopping ends "
    "the worst trials, so cite the figure of a study without it (--map)."
)
MEANINGS = {
    "never learned": "never got a tenth of the way to real data",
    "never covered": "never half of the modes that real data covers",
    "collapsed": "covered them, and ended under half of its own best",
}
INTERVALS = (
    "Intervals: 95%, from resampling configurations, or Wilson's where no seed, or every seed, diverged."
)


def _survival(results: Sequence[SpaceResults]) -> Iterator[Chart]:
    found: dict[str, Survival] = {}
    for space in results:
        curve = survival(space.runs, space.plan.kimg, space.stream("survival"))
        if curve is not None and curve.kimg[-1] > 0:
            found[space.label] = curve
    if not found:
        return
    sizes = "; ".join(
        f"{label}: {counted(c.configurations, 'configuration')}, {counted(c.runs, 'seed')}, {c.diverged:,} "
        "diverged"
        for label, c in found.items()
    )
    ends = "; ".join(
        f"{label} {c.alive[-1]:.0%} (95% {c.low[-1]:.0%} to {c.high[-1]:.0%}) after {c.kimg[-1]:g} kimg"
        for label, c in found.items()
    )
    censored = any(space.stopped for space in results if space.label in found)
    yield Chart(
        "survival",
        "How many seeds have not diverged, over training",
        sentences(
            "Kaplan and Meier's estimate, in which a seed that was stopped counts for as long as it was "
            f"seen ({sizes}). {INTERVALS}",
            CENSORING * censored,
        ),
        f"Step curves of the share of seeds that have not diverged over kimg. At the end: {ends}.",
        pd.concat(
            [
                pd.DataFrame(
                    {
                        "space": label,
                        "kimg": c.kimg,
                        "alive": c.alive,
                        "low": c.low,
                        "high": c.high,
                        "at_risk": c.at_risk,
                    }
                )
                for label, c in found.items()
            ],
            ignore_index=True,
        ),
        figures.survival_curves(found),
    )


def _failures(space: SpaceResults) -> Iterator[Chart]:
    runs = known(space.runs)
    fallen = int((runs["end"] == DIVERGED).sum())
    if not fallen:  # the curve of survival and the sentence say so
        return
    configurations = counted(runs["trial_id"].nunique(), "configuration")
    n = f"{configurations}, {counted(len(runs), 'seed')}, {fallen:,} diverged"
    words = sentences(
        f"Share of seeds that diverge within {space.plan.kimg:g} kimg, with its 95% interval; n counts "
        f"configurations ({space.label}: {n}). {INTERVALS}",
        CENSORING * space.stopped,
    )
    found = {
        name: failure_by(space, name, space.stream(f"failure by {name}")) for name in space.space.searched
    }
    found = {name: cells for name, cells in found.items() if sum(f is not None for _, f in cells) > 1}
    if found:
        rows = [
            {"hyperparameter": name, "bin": bin_.label, "from": bin_.low, "to": bin_.high, **_row(failure)}
            for name, cells in found.items()
            for bin_, failure in cells
        ]
        yield Chart(
            stem("failure_by_hyperparameter", space.label),
            f"{space.label}: how often seeds diverge, by hyperparameter",
            f"{words} Ranges are cut into equal parts of their own scale, over all values of the others.",
            f"Points with intervals, a panel each for {', '.join(found)}. "
            + _extreme([(f"{name} {b.label}", f) for name, cells in found.items() for b, f in cells]),
            pd.DataFrame(rows).astype({"from": str, "to": str}),
            figures.failure_by_hyperparameter(found),
        )
    for first, second in PAIRS:
        if first in space.space.searched and second in space.space.searched:
            yield from _map(space, first, second, words)


def _map(space: SpaceResults, first: str, second: str, words: str) -> Iterator[Chart]:
    cells = failure_by_pair(space, first, second, space.stream(f"failure by {first} and {second}"))
    if len(cells) < 2:
        return
    across, up = (bins(space.space.searched[name]) for name in (first, second))
    yield Chart(
        stem(f"failure_map_{first}_{second}", space.label),
        f"{space.label}: how often seeds diverge, by {first} and {second}",
        f"{words} An empty cell has no configuration; '?' stands where no seed was seen for so long.",
        f"Map of {first} across and {second} up, {len(cells)} of {len(across) * len(up)} cells "
        f"filled. " + _extreme([(f"{across[x].label}, {up[y].label}", f) for (x, y), f in cells.items()]),
        pd.DataFrame(
            [{first: across[x].label, second: up[y].label, **_row(f)} for (x, y), f in sorted(cells.items())]
        ),
        figures.failure_map((first, across), (second, up), cells),
    )


def _failings(space: SpaceResults) -> Iterator[Chart]:
    found = failings(space)
    if not any(count.count for count in found):
        return
    n = found[0].n
    told = ", or ".join(f"{count.failing} ({MEANINGS[count.failing]})" for count in found)
    yield Chart(
        stem("failings", space.label),
        f"{space.label}: other ways to fail",
        f"Configurations of which at least one seed {told}, of {n:,} that were trained to their budget or "
        "diverged. Intervals: 95%, Wilson's.",
        "Points with intervals. "
        + "; ".join(f"{c.failing}: {c.count} of {c.n}, {c.low:.0%} to {c.high:.0%}" for c in found),
        pd.DataFrame([asdict(count) for count in found]),
        figures.failings(found),
    )


def _row(failure: Failure | None) -> dict[str, Any]:
    return {"configurations": 0} if failure is None else asdict(failure)


def _extreme(cells: Sequence[tuple[str, Failure | None]]) -> str:
    """The cell where most diverge, in words."""
    known_ = [(label, f) for label, f in cells if f is not None and f.rate is not None]
    if not known_:
        return "Nobody was seen for so long."
    label, worst = max(known_, key=lambda cell: cell[1].rate or 0.0)
    between = f"{worst.low:.0%} to {worst.high:.0%}"
    return f"Most diverge at {label}: {worst.rate:.0%} ({between}, n {worst.configurations})."


TOGETHER = (_survival,)
EACH = (_failures, _failings, *training.EACH)
