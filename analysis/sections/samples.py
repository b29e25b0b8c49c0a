"""The samples that the best trial, and the paper's default, drew as they trained: a part of mode coverage."""

from collections.abc import Iterator

import pandas as pd

from analysis.chart import Chart, stem
from analysis.figures.samples import over_kimg
from analysis.frames import Frame, frames, moments, nearest
from analysis.statistics.coverage import extreme_seeds
from analysis.tables import SpaceResults


def samples(results: SpaceResults) -> Iterator[Chart]:
    """Of each of the two trials the seeds with the best and the worst score; none without folders."""
    rows = _rows(results)
    if not rows:
        return
    every = [frame for _, found in rows for frame in found]
    told = "; ".join(f"{row}: {_covered(found[-1])} at kimg {found[-1].kimg:.4g}" for row, found in rows)
    default = f", and {results.default}, the paper's default" if results.default in _trials(every[1:]) else ""
    if results.default == results.best:
        default = ", which is the paper's default"
    kind = "Grids of images" if every[0].are_images else "Maps of points"
    yield Chart(
        name=stem("samples", results.label),
        title=f"What {results.label}'s best trial draws as it trains",
        caption=f"{results.best}, the best completed trial of {results.label}{default}: of "
        f"{results.plan.seeds} seeds the one with the best score and the one with the worst. "
        + _squares(every[0]),
        alt=f"{kind}, a row a seed, a column an evaluation. {told}.",
        numbers=pd.DataFrame(
            {
                "trial_id": [frame.trial_id for frame in every],
                "seed": [frame.seed for frame in every],
                "kimg": [frame.kimg for frame in every],
                "mode_coverage": [frame.coverage for frame in every],
                "samples": [len(frame.samples) for frame in every],
            }
        ),
        figure=over_kimg(rows),
    )


def _rows(results: SpaceResults) -> list[tuple[str, list[Frame]]]:
    """By what they are called; of the default, the evaluations next to those of the best trial."""
    if results.best is None:
        return []
    evaluations, rows = moments(results, results.best), []
    for trial in dict.fromkeys((results.best, results.default)):
        near = evaluations if trial == results.best else nearest(results, trial or "", evaluations)
        for seed in extreme_seeds(results, trial or ""):
            found = frames(results, trial or "", [seed], near)
            if found:
                rows.append((f"{'best' if trial == results.best else 'default'}, seed {seed}", found))
    return rows


def _trials(every: list[Frame]) -> set[str]:
    return {frame.trial_id for frame in every}


def _squares(frame: Frame) -> str:
    """How to read one square of the figure."""
    if frame.are_images:
        return "Each square: a seed's first 16 images, from the same latents at each kimg."
    behind = (
        "the modes (circles of 3 standard deviations)" if "centres" in frame.kept else "real points (grey)"
    )
    return (
        f"Each square: {len(frame.samples):,} samples of a seed (blue), from the same latents at each kimg, "
        f"over {behind}; where some lie beyond the square, it says how many."
    )


def _covered(frame: Frame) -> str:
    return "modes unknown" if frame.coverage is None else f"{frame.coverage:.0%} of modes"
