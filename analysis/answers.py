"""The answer of a report: what tuning brought, what trains stably, what covers the modes; each with its n."""

from collections.abc import Callable, Mapping

import numpy as np

from analysis.statistics.tuned import against_default
from analysis.tables import SpaceResults
from analysis.verdicts import coverage, stability
from analysis.words import interval, number

SEARCH = "a search score, unconfirmed: the seeds and the data that chose the best flatter it"


def tuned(results: SpaceResults) -> str:
    """The best against the paper's default."""
    metric, best = results.metric, results.best
    if best is None:
        return f"No trial of {results.label} was trained to its end: there is no best yet."
    row = results.completed.iloc[0]
    between = interval(row["objective_low"], row["objective_high"])
    said = (
        f"The best of {len(results.trials)} trials has {metric} {number(row['objective'], 4)} "
        f"({between}, n = {row['n_seeds']} seeds)"
    )
    found = against_default(results)
    if found is None:
        why = "is the paper's default itself" if best == results.default else "has no default to beat"
        return f"{said} and {why}; {SEARCH}."
    default, gain = float(np.mean(found.pairs.other)), found.gain
    at = found.pairs.at
    early = "" if np.isclose(at, results.plan.kimg) else f" at kimg {at:.4g}, where the default ended"
    shown = "" if gain.is_shown else ", which these seeds do not show"
    return (
        f"{said}; against the paper's default ({number(default, 4)}{early}) it is {gain.said} "
        f"({gain.words}){shown}; {SEARCH}."
    )


ANSWERS: Mapping[str, Callable[[SpaceResults], str]] = {
    "tuned": tuned,
    "stability": stability,
    "coverage": coverage,
}


def answers(results: SpaceResults) -> list[str]:
    return [said for say in ANSWERS.values() if (said := say(results))]
