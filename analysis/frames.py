"""Samples that a trial kept beside its pictures, one seed and evaluation at a time."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.tables import SpaceResults
from study.records.sample_arrays import SampleArrays, load_arrays
from study.records.study_folder import StudyFolder

MOMENTS = 5  # evaluations that a figure shows, from the first to the last


@dataclass(frozen=True)
class Frame:
    """One seed's samples at one evaluation.

    Attributes:
        coverage: its mode coverage; None where it had diverged, or the data have no modes.
        samples: (n, 2) points or (n, C, H, W) bytes.
        kept: the file: what else it holds.
    """

    trial_id: str
    seed: int
    evaluation: int
    kimg: float
    coverage: float | None
    samples: np.ndarray
    kept: SampleArrays

    @property
    def are_images(self) -> bool:
        return self.samples.ndim == 4


def moments(results: SpaceResults, trial_id: str, number: int = MOMENTS) -> list[int]:
    """Evaluations of a trial that have arrays: the first, the last, and evenly between them."""
    known = _kept(results, trial_id)
    places = np.linspace(0, len(known) - 1, min(number, len(known))).round()
    return [known[int(place)] for place in places]


def nearest(results: SpaceResults, trial_id: str, evaluations: list[int]) -> list[int]:
    """Those of a trial that are next to these: a large batch leaves some out."""
    known = _kept(results, trial_id)
    found = [min(known, key=lambda k: abs(k - evaluation)) for evaluation in evaluations if known]
    return list(dict.fromkeys(found))


def _kept(results: SpaceResults, trial_id: str) -> list[int]:
    """Evaluations of a trial that have arrays."""
    folder = StudyFolder(results.folder).trial(trial_id).samples
    every = {int(k) for k in results.curves_of(trial_id)["evaluation"]}
    return sorted(k for k in every if (folder / f"{k:04d}.npz").is_file())


def frames(results: SpaceResults, trial_id: str, seeds: list[int], evaluations: list[int]) -> list[Frame]:
    """What a trial kept of these seeds and evaluations.

    Raises ValueError: a file is damaged.
    """
    folder = StudyFolder(results.folder).trial(trial_id).samples
    own = results.curves_of(trial_id)
    members = [int(seed) for seed in dict.fromkeys(own["seed"])]  # in the order of the arrays
    found = []
    for evaluation in evaluations:
        kept = load_arrays(folder / f"{evaluation:04d}.npz")
        if kept is None or len(kept["samples"]) != len(members):
            continue
        rows = own[own["evaluation"] == evaluation].set_index("seed")
        for seed in seeds:
            if seed in rows.index:
                row: Any = rows.loc[seed].to_dict()
                coverage = row.get("mode_coverage", math.nan)
                found.append(
                    Frame(
                        trial_id=trial_id,
                        seed=seed,
                        evaluation=evaluation,
                        kimg=float(row["kimg"]),
                        coverage=None if pd.isna(coverage) else float(coverage),
                        samples=kept["samples"][members.index(seed)],
                        kept=kept,
                    )
                )
    return found
