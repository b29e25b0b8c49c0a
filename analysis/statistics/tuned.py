"""The best trial of a space against the paper's default."""

from dataclasses import dataclass

from analysis.statistics.seeds import Difference, difference
from analysis.tables import SpaceResults
from study.records.comparison import Pairs, pair


@dataclass(frozen=True)
class Tuned:
    """How much better the best is than the default, where both were trained to.

    Attributes:
        best, default: trials.
        pairs: their scores.
        gain: positive where the best is better; corrected for all candidates that it was chosen among.
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
    candidates = len(results.trials) - 1
    return Tuned(best, default, found, difference(found.gains(results.higher_is_better), candidates))
