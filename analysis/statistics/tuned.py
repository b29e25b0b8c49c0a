"""The best trial of a space against the paper's default."""

from dataclasses import dataclass

import numpy as np

from analysis.statistics.moderated import prior
from analysis.statistics.seeds import Difference, Spread, difference
from analysis.tables import SpaceResults
from study.records.comparison import Pairs, pair


@dataclass(frozen=True)
class Tuned:
    """How much better the best is than the default, where both were trained to.

    Attributes:
        best, default: trials.
        pairs: their scores.
        gain: positive where the best is better; corrected for all candidates that it was chosen among, and
            moderated by those that were trained as far. Relative where lower is better and both are positive:
            the spread of a distance grows with it. Of the mean of seeds, whatever the objective is.
        aggregate: of seeds, that the objective is.
    """

    best: str
    default: str
    pairs: Pairs
    gain: Difference
    aggregate: str

    @property
    def words(self) -> str:
        """'93.6% lower in the geometric mean of seeds (95% interval ...)'."""
        mean = "geometric mean" if self.gain.relative else "mean"
        of = f" in the {mean} of seeds" * (self.gain.relative or self.aggregate != "mean")
        return f"{self.gain.said}{of} ({self.gain.words})"


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
    relative = bool(not results.higher_is_better and min(ours[0].min(), theirs.min()) > 0)
    if relative:
        ours, theirs = np.log(ours[(ours > 0).all(axis=1)]), np.log(theirs)
    gain = best_gain(results.sign * theirs, results.sign * ours, len(results.trials) - 1, relative)
    return Tuned(best, default, found, gain, results.plan.aggregate)


def best_gain(default: np.ndarray, trials: np.ndarray, candidates: int, relative: bool = False) -> Difference:
    """How far the first of several trials (n, seeds), the best of so many candidates, is below the default.

    What a seed does to all alike cancels out of the difference: it is taken off before their variances inform
    each other. The default's own part is in every difference to it, so that only its own seeds tell of it.
    """
    gains = (default - trials[0]).tolist()
    n, seeds = trials.shape
    if seeds < 2 or n < 2:
        return difference(gains, candidates, relative=relative)
    common = trials.mean(axis=0)
    variances = (trials - common).var(axis=1, ddof=1) * n / (n - 1)
    others = prior(variances, seeds - 1)
    if not others.df:
        return difference(gains, candidates, relative=relative)
    own = float(others.moderate(variances[0], seeds - 1))
    shared = float((default - common).var(ddof=1))
    return difference(gains, candidates, Spread(own, others, shared), relative)
