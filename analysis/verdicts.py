"""Sentences: what a space's tables say, with intervals and n, and no more than they say."""

from analysis import findings
from analysis.commands import to_map
from analysis.statistics.coverage import all_covered, by_trial, has_modes
from analysis.statistics.importance import Importance
from analysis.statistics.region import LEAST, Region
from analysis.statistics.tuned import Tuned
from analysis.tables import SpaceResults
from analysis.words import counted, interval, number
from study.data import dataset_named
from study.metrics.failure import Failure
from study.metrics.stability import aggregate

ENDED_EARLY = {"pruned": "stopped", "failed": "lost to a fault", "interrupted": "last seen"}
UNCONFIRMED = "unconfirmed: the seeds and the data that chose the best flatter it"
SEARCH = f"a search score, {UNCONFIRMED}"
SEARCH_SCORES = f"search scores, {UNCONFIRMED}"


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
    found = findings.tuned(results)
    if found is None:
        return f"{said}; {_no_default(results)}; {SEARCH}."
    shown = "" if found.gain.is_shown else ", which these seeds do not show"
    against = f"against the paper's default ({_default(results, found)}) it is {found.words}{shown}"
    return f"{said}; {against}; both are {SEARCH_SCORES}."


def _default(results: SpaceResults, found: Tuned) -> str:
    """What the default scored and, where it did not go to the end, how it ended and what the best had."""
    one, other = (
        number(aggregate(scores, results.plan.aggregate, results.higher_is_better), 4)
        for scores in (found.pairs.one, found.pairs.other)
    )
    state = str(results.trials.loc[results.trials["trial_id"] == found.default, "state"].iloc[0])
    if state == "diverged":
        return f"{other}, diverged"
    if state in ENDED_EARLY:
        return (
            f"{other} at kimg {found.pairs.at:.4g}, where it was {ENDED_EARLY[state]}, and the best had {one}"
        )
    return other


def _no_default(results: SpaceResults) -> str:
    if results.best == results.default:
        return "it is the paper's default itself"
    if results.default is None:
        return "no trial has the paper's default to compare it with"
    return f"the paper's default ({results.default}) was not trained to any evaluation to compare with"


def stability(results: SpaceResults) -> str:
    """How many of a space's seeds diverge, and where."""
    found = findings.failure(results)
    if not found.runs:
        return f"{results.label}: no seed has been trained yet."
    said = f"{results.label}: {found.words}"
    if found.rate is None:
        return f"{said}; {found.diverged} of {found.runs} have diverged so far."
    if not found.diverged:
        return f"{said}."
    if not results.maps:
        return f"{said}; where they do more than elsewhere is for a study that maps to say."
    return f"{said}, {_where(findings.region(results), found)}."


def _where(region: Region | None, found: Failure) -> str:
    if region is None:
        few = f" (it takes {LEAST})" if found.configurations < LEAST else ""
        return f"and where they do more than elsewhere can't be told{few}"
    often = "mostly" if region.inside.diverged > region.outside.diverged else "more"
    rates = f"{_rate(region.inside)}; elsewhere {_rate(region.outside)}"
    return f"{often} where {region} ({rates}; flattered, as the worst of all regions looked at)"


def _rate(found: Failure) -> str:
    """Without an interval: that of a region chosen for its rate would not cover."""
    rate = "unknown" if found.rate is None else f"{found.rate:.0%}"
    return f"{rate} of {counted(found.configurations, 'configuration')}"


def coverage(results: SpaceResults) -> str:
    """How many completed trials reach all modes in all their seeds, and what the best trial reaches."""
    if not has_modes(results):
        known = "no evaluation has counted them yet" if _declares_modes(results) else "the data have no modes"
        return f"{results.label}: mode coverage is unknown: {known}."
    share = all_covered(results)
    if share is None:
        return f"{results.label}: no trial is completed, so none covers all modes to the end."
    best = by_trial(results).set_index("trial_id").reindex([results.best]).iloc[0]
    several = f"mean of {best['seeds']:.0f} seeds, the worst {best['low']:.0%}, the best {best['high']:.0%}"
    seeds = several if best["seeds"] > 1 else "one seed"
    of = "" if results.maps else " (chosen by a search for the best)"
    between = f"95% interval {share.low:.0%} to {share.high:.0%}, Wilson"
    return (
        f"{results.label}: {share.found} of {share.n} trials{of} cover all modes in all of their "
        f"{results.plan.seeds} seeds ({share.found / share.n:.0%}, {between}); the best trial, "
        f"{results.best}, covers {best['mode_coverage']:.0%} ({seeds})."
    )


def _declares_modes(results: SpaceResults) -> bool:
    return dataset_named(results.plan.dataset).modes is not None


def hyperparameters(results: SpaceResults) -> str:
    """Which hyperparameters decide the objective at the end of the budget, and which divergence."""
    if not results.maps:
        return (
            f"{results.label}: which hyperparameters matter can't be told from a study that looks for the "
            f"best; one that maps: `{to_map(results).line}`"
        )
    objective = findings.objective(results, results.plan.kimg)
    of_objective = f"{results.metric} at {results.plan.kimg:g} kimg"
    divergence = _effects("whether seeds diverge", findings.divergence(results))
    return f"{results.label}: {_effects(of_objective, objective)}; {divergence}."


def _effects(what: str, found: Importance) -> str:
    if found.cannot_tell:
        return f"which hyperparameters decide {what} can't be told ({found.cannot_tell})"
    return f"{what} depends on {found.words} (total effects in a forest of {found.n} trials)"
