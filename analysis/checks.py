"""Health checks: what of a study can be trusted, and the command that mends what can't."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis import findings
from analysis.commands import Command, again, extend, to_map
from analysis.statistics.budget import FEWEST, rung_correlations
from analysis.statistics.importance import LEAST
from analysis.statistics.seeds import detectable, seeds_needed
from analysis.tables import SpaceResults
from analysis.words import number
from study.metrics.failure import CENSORED
from study.plan import SAMPLER, STARTUP, TRIALS_OF_A_MAP
from study.reporting.console import GOOD_ACCURACY

PASSED, DOUBTFUL, FAILED = "passed", "doubtful", "failed"
SEEDS = 5  # that a study without a claim should have: one seed-SD is then found in 4 of 10 cases
TRUSTED = 0.5  # rank correlation of a rung with the full budget, at least, by its interval
OFTEN, MOSTLY, NEARLY_ALL = 0.1, 0.5, 0.9  # shares of seeds
APART = 2.0  # standard deviations of the floor
ALIKE = 1e-9  # of a mean: a standard deviation that is rounding
LEARNED = 0.05  # p value: what chance alone would show of a sampler in so many studies
Found = tuple[str, str, Command | None] | tuple[str, str]


@dataclass(frozen=True)
class Check:
    """One question, how it went, why in numbers, and a command; None where none mends it."""

    name: str
    status: str
    sentence: str
    command: Command | None = None


def seeds(results: SpaceResults) -> Found | None:
    """Whether the seeds can show what the best seems to gain, and how many would."""
    n, found = results.plan.seeds, findings.tuned(results)
    more = again(results, {"--seeds": (max(n + 1, SEEDS),)})
    if n < 2:
        return FAILED, "One seed: no interval, hence no claim.", more
    if found is None or found.gain.spread is None:
        if n >= SEEDS:
            return PASSED, f"{n} seeds; there is no difference to the default to be shown."
        return DOUBTFUL, f"{n} seeds find a difference of one standard deviation in few studies.", more
    gain, spread = found.gain, found.gain.spread
    if gain.low is None:
        return (
            DOUBTFUL,
            f"The best and the default differ alike in all {n} seeds: that tells no spread.",
            more,
        )
    least = detectable(spread, n, gain.comparisons)
    of = "" if gain.comparisons < 2 else f" (the best of {gain.comparisons})"
    can = f"In 8 of 10 studies {n} seeds show what is {gain.told(least)} than the default{of}"
    if gain.is_shown or abs(gain.mean) >= least:
        return PASSED, f"{can}; this best is {gain.said}."
    needed = seeds_needed(gain.mean, spread, gain.comparisons)
    if needed is None:
        return DOUBTFUL, f"{can}; this best is {gain.said}, which 1000 would not show."
    sentence = f"{can}; for this best, {gain.said} if it is so, it takes {needed}."
    return DOUBTFUL, sentence, again(results, {"--seeds": (needed,)})


def trials(results: SpaceResults) -> Found | None:
    """Whether a map has enough trials to tell which hyperparameters matter."""
    if not results.maps or not results.space.searched:
        return None
    planned, n = results.plan.trials[results.space.name], len(results.objectives(results.plan.kimg))
    enough = f"it takes {LEAST}, better {TRIALS_OF_A_MAP}"
    sentence = f"n = {n} of {planned} trials inform on which hyperparameters matter; {enough}."
    if n >= LEAST:
        return PASSED, sentence
    more = TRIALS_OF_A_MAP if planned < TRIALS_OF_A_MAP else 2 * planned
    if results.sampler == "grid":
        more = min(more, results.space.grid_size())
    return DOUBTFUL, sentence, extend(results, more) if results.ended >= planned and more > planned else None


def early_stopping(results: SpaceResults) -> Found | None:
    """Whether rungs rank trials as the full budget does."""
    if not results.stopped and results.ended >= results.plan.trials[results.space.name]:
        return PASSED, f"No trial was stopped early (n = {len(results.trials)})."
    without = again(results, {"--scheduler": ("fifo",)})
    if results.plan.evaluations < 2:
        return PASSED, "Each trial has one evaluation: there is no rung before its end."
    rungs = [point for point in rung_correlations(results) if point.is_rung]
    if not rungs:
        n = len(results.completed)
        few = f"{n} trials reached the full budget, of which at least {FEWEST} must be told apart"
        return DOUBTFUL, f"What its rungs are worth can't be told: {few}.", without
    first = rungs[0]
    status = PASSED if first.low > TRUSTED else FAILED if first.high < TRUSTED else DOUBTFUL
    sentence = (
        f"Where {results.scheduler} judges first (kimg {first.kimg:.3g}) ranks agree with the final ones by "
        f"{first.rho:.2f} (95% interval {first.low:.2f} to {first.high:.2f}, n = {first.n} trials that had "
        "neither been stopped nor diverged; of the others nobody knows)."
    )
    return status, sentence, None if status == PASSED else without


def beat_the_default(results: SpaceResults) -> Found | None:
    """Whether the best is better than the paper's default."""
    if results.default is None and not results.ended:
        return DOUBTFUL, "No trial has ended yet."
    if results.default is None:
        return DOUBTFUL, "No trial has the paper's default: nothing says that tuning was worth it."
    if results.best is None:
        return None
    if results.best == results.default:
        n = len(results.completed)
        if n < 2 or results.ended < results.plan.trials[results.space.name]:
            return (
                DOUBTFUL,
                f"Too early to say: of {results.ended} trials that ended n = {n} were trained whole.",
            )
        sentence = f"None of n = {n} trials that were trained whole is better than the paper's default."
        return FAILED, sentence, _longer(results)
    found = findings.tuned(results)
    if found is None:
        return DOUBTFUL, f"The default ({results.default}) was never trained."
    is_better = found.gain.is_shown and found.gain.mean > 0
    return PASSED if is_better else DOUBTFUL, f"The best is {found.words}; a search score, unconfirmed."


def divergence(results: SpaceResults) -> Found | None:
    """How many seeds diverge within the budget."""
    found = findings.failure(results)
    mapped = None if results.maps else to_map(results)
    if found.rate is None or found.high is None:
        return DOUBTFUL, f"Of n = {found.runs} seeds, {found.words}.", mapped
    is_whole = results.maps or found.informed == found.configurations
    is_rare = is_whole and found.rate < OFTEN and found.high < MOSTLY
    status = PASSED if is_rare else DOUBTFUL if found.rate < MOSTLY else FAILED
    return status, f"{found.words}.", None if status == PASSED else mapped


def censoring(results: SpaceResults) -> Found | None:
    """How many seeds were stopped before they could show whether they diverge."""
    stopped = results.trials.loc[results.trials["state"] != "interrupted", "trial_id"]
    ends = results.runs.loc[results.runs["trial_id"].isin(stopped), "end"].dropna()
    if not len(ends):
        return None
    share = float((ends == CENSORED).mean())
    sentence = (
        f"{share:.0%} of n = {len(ends)} seeds were stopped before they could show whether they diverge."
    )
    if share < OFTEN:
        return PASSED, sentence
    return DOUBTFUL if share < NEARLY_ALL else FAILED, sentence, to_map(results)


def resolution(results: SpaceResults) -> Found | None:
    """Whether the metric can tell the best from the default, and from real data."""
    if results.best is None or results.metric not in results.floor:
        return None
    metric, floor = results.metric, results.floor[results.metric]
    best = float(results.completed["objective"].iloc[0])
    own = results.runs.loc[results.runs["trial_id"] == results.best, "score"].astype(float)
    spread = f", seeds of the best {number(own.std(ddof=1), 2)} (n = {len(own)})" if len(own) > 1 else ""
    untrained = results.curves.loc[results.curves["evaluation"] == 0, metric].astype(float).mean()
    if results.sign * (best - untrained) >= 0:
        longer = again(results, {"--kimg": (f"{3 * results.plan.kimg:g}",)})
        learned = f"no better than the untrained generator's {number(untrained)}"
        return FAILED, f"Nothing was learned: the best of n = {len(results.completed)} is {learned}.", longer
    if floor["std"] <= ALIKE * abs(floor["mean"]):
        return DOUBTFUL, f"20 draws of real data have the same {metric}: how far it scatters is not known."
    noise = f"of one draw of real data {number(floor['std'], 2)} (n = 20 draws){spread}"
    if results.sign * (best - floor["mean"]) <= APART * floor["std"]:
        near = f"The best {metric} is as near to that of real data as another draw of real data would be"
        return DOUBTFUL, f"{near}: {metric} can't tell what is better. Standard deviation {noise}."
    found = findings.tuned(results)
    if found is None:
        return PASSED, f"Standard deviation of {metric}: {noise}; from real data the best is further."
    gain = float(np.mean(found.pairs.gains(results.higher_is_better)))
    way = "better" if gain >= 0 else "worse"
    sentence = (
        f"Standard deviation of {metric}: {noise}; the best is {number(abs(gain))} {way} than the default."
    )
    return PASSED if gain > APART * math.sqrt(2) * floor["std"] else DOUBTFUL, sentence


def judge(results: SpaceResults) -> Found | None:
    """Whether the classifier that judges images knows them."""
    accuracy = results.record.get("classifier_accuracy")
    if accuracy is None:
        return None
    n = results.plan.fingerprint.get("number", {}).get("held_out", "?")
    sentence = f"The classifier behind the metrics is right on {accuracy:.1%} of n = {n} held-out images."
    return PASSED if accuracy >= GOOD_ACCURACY else DOUBTFUL, sentence


def proposals(results: SpaceResults) -> Found | None:
    """Whether the sampler had something to learn from, and learned."""
    from scipy.stats import mannwhitneyu

    name, origins = results.sampler, results.trials["origin"]
    own, chance = results.trials[origins == SAMPLER], results.trials[origins == STARTUP]
    if not len(own) + len(chance):
        return None
    counted = f"{len(own)} of n = {len(results.trials)} trials were proposed by {name}"
    if name != "tpe":
        return PASSED, f"{counted}, which spreads them without regard to what was found."
    if len(own) < len(chance) + 1:
        return DOUBTFUL, f"{counted}, {len(chance)} by chance.", _longer(results)
    # All have been seen at the first evaluation; later ones are of those that were not stopped.
    first = results.sign * results.objectives(results.plan.eval_kimg)
    mine, theirs = (first[first.index.isin(rows["trial_id"])] for rows in (own, chance))
    if mine.empty or theirs.empty:
        return DOUBTFUL, f"{counted}, {len(chance)} by chance: nothing says that it learned."
    found = mannwhitneyu(mine, theirs, alternative="less")
    wins = 1 - found.statistic / (len(mine) * len(theirs))
    sentence = (
        f"{counted}, {len(chance)} by chance. At the first evaluation a proposal of its own is better than "
        f"one by chance in {wins:.0%} of pairs (p = {found.pvalue:.2g}, Mann and Whitney's test)."
    )
    return (PASSED, sentence) if found.pvalue < LEARNED else (DOUBTFUL, sentence, _longer(results))


def _longer(results: SpaceResults) -> Command | None:
    """The command that doubles the study."""
    return extend(results, 2 * max(results.plan.trials.values()))


CHECKS: dict[str, Callable[[SpaceResults], Found | None]] = {
    "enough seeds": seeds,
    "enough trials": trials,
    "better than the default": beat_the_default,
    "early stopping": early_stopping,
    "divergence": divergence,
    "censoring": censoring,
    "the metric's resolution": resolution,
    "the judge": judge,
    "the sampler's proposals": proposals,
}


def check(name: str, results: SpaceResults) -> Check | None:
    """One of CHECKS; None where the study has nothing for it. No command mends what has hardly begun."""
    found = CHECKS[name](results)
    if found is None:
        return None
    return Check(name, *found) if results.ended else Check(name, *found[:2])
