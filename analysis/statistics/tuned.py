"""The best trial of a space against the paper's default."""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.moderated import ALONE, prior
from analysis.statistics.seeds import Difference, difference
from analysis.tables import SpaceResults
from study.records.comparison import Pairs, pair


@dataclass(frozen=True)
class Tuned:
    """How much better the best is than the default, where both were trained to.

    Attributes:
        best, default: trials.
        pairs: their scores.
        gain: positive where the best is better; corrected for all candidates that it was chosen among, and
            moderated by those that were trained as far. Relative where lower is better and all is positive:
            the spread of a distance grows with it.
    """

    best: str
    default: str
    pairs: Pairs
    gain: Difference


def against_default(results: SpaceResults) -> Tuned | None:
    """None where there is no completed trial or no default, or the default is the best.

    A search score, unconfirmed: the seeds and the data that chose the best flatter it.
    """
    best, default = results.best, results.default
    if best is None or default is None or best == default:
        return None
    found = pair(results.curves_of(best), results.curves_of(default))
    if found is None:
        return None
    others = results.scores(found.at).drop([best, default], errors="ignore")
    ours = np.array([found.one, *others.reindex(columns=list(found.seeds)).dropna().to_numpy()])
    theirs = np.array(found.other)
    relative = not results.higher_is_better and min(ours.min(), theirs.min()) > 0
    scale = np.log if relative else np.asarray
    gains = results.sign * (scale(theirs) - scale(ours))
    return Tuned(best, default, found, best_gain(gains, len(results.trials) - 1, relative))


def best_gain(gains: np.ndarray, candidates: int, relative: bool = False) -> Difference:
    """The gain of the first of several, (n, seeds), that was the best of so many candidates."""
    seeds = gains.shape[1]
    own = prior(gains.var(1, ddof=1), seeds - 1) if seeds > 1 else ALONE
    return difference(gains[0].tolist(), candidates, own, relative)
