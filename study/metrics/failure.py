"""How often runs diverge, of which many were stopped before they could: from rows of `runs` alone.

A run that was stopped early is censored: it says "not yet", and neither "yes" nor "no". Of a space, or a
region of one, the share that diverges within a budget is therefore one minus the survival function that
Kaplan and Meier (1958) estimate. They assume that whether a run is stopped says nothing about whether it
would have diverged. Early stopping ends the worst trials, so that assumption fails there: the figure to cite
is one of a study without it (`--scheduler fifo`). Of a planted rate of 0.30, successive halving of 64
configurations leaves an estimate of 0.31 where the loss has nothing to do with the hazard, of 0.08 and 0.02
where the loss of the hazardous region is by one or two standard deviations worse, and of 0.65 and 0.81 where
it is as much better (as far as anybody lasts: then in 273 and 94 of 300 studies).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

DIVERGED, CENSORED, SURVIVED = "diverged", "censored", "survived"
ENDS = (DIVERGED, CENSORED, SURVIVED)
RESAMPLES = 1000
COVERAGE = 0.95


def end_of_run(diverged: bool, state: str) -> str:
    """A run's end, one of ENDS, by its trial's state: it survived if the trial was trained to its budget."""
    if diverged:
        return DIVERGED
    return SURVIVED if state == "completed" else CENSORED


def failure_rate(ends: Sequence[str]) -> float | None:
    """One trial's share of seeds that diverged; None where a seed was censored."""
    return None if CENSORED in ends else ends.count(DIVERGED) / len(ends)


def failure_interval(ends: Sequence[str]) -> tuple[float, float] | None:
    """Wilson's 95% interval of the same, over all the trial's seeds."""
    return None if CENSORED in ends else wilson_interval(ends.count(DIVERGED), len(ends))


@dataclass(frozen=True)
class Failure:
    """The share of runs that diverge within `kimg` of training, estimated from several configurations.

    Attributes:
        rate: None where no run lasted so long, unless every run diverged before: of what comes after the
            last run that was watched Kaplan and Meier say nothing.
        low, high: 95% interval; None where `rate` is.
        method: 'kaplan-meier', whose interval comes from resampling configurations, or 'wilson', of the
            number of configurations that are informed: where no run, or every run, diverged, or the same
            share of each configuration's, so that resampling would say that this is certain.
        configurations, runs: how many there were; `informed`: configurations of which a run was seen to
            diverge or to last so long; `diverged`, `censored`: runs of these ends within `kimg`.
    """

    kimg: float
    rate: float | None
    low: float | None
    high: float | None
    method: str
    configurations: int
    informed: int
    runs: int
    diverged: int
    censored: int

    @property
    def words(self) -> str:
        """The rate with its interval and n; or that there is none."""
        if self.rate is None or self.low is None or self.high is None:
            return f"no seed was seen to last {self.kimg:g} kimg"
        how = "Kaplan-Meier" if self.method == "kaplan-meier" else "Wilson"
        n = f"{self.configurations} configuration{'s' * (self.configurations != 1)}"
        if self.informed < self.configurations:
            n = f"{self.informed} of {n} seen to the end"
        return (
            f"{self.rate:.0%} of seeds diverge within {self.kimg:g} kimg (95% interval {self.low:.0%} to "
            f"{self.high:.0%}, {how}, n = {n})"
        )


def failure_within(
    kimg: float,
    runs: Iterable[Mapping[str, Any]],
    generator: "np.random.Generator",
    resamples: int = RESAMPLES,
) -> Failure:
    """Estimate the share of runs that diverge within `kimg`, with censoring.

    The seeds of a configuration share its fate (40 configurations of 3 seeds are not 120 runs), so
    configurations are resampled, and never runs.

    Args:
        runs: rows of `runs`: `trial_id` (with `study`, where there are several), `end` and `kimg_at_risk`.
        generator: of the resampling.
    """
    import numpy as np
    from scipy.stats import CensoredData, ecdf

    rows = [
        ((run.get("study"), run["trial_id"]), float(run["kimg_at_risk"]), run["end"] == DIVERGED)
        for run in runs
    ]
    places = {key: place for place, key in enumerate(dict.fromkeys(key for key, _, _ in rows))}
    group = np.array([places[key] for key, _, _ in rows], dtype=int)
    time = np.array([time for _, time, _ in rows])
    diverged = np.array([end for _, _, end in rows], dtype=bool)
    failed, cut = diverged & (time <= kimg), ~diverged & (time < kimg)
    informed = len(np.unique(group[diverged | (time >= kimg)]))  # the others say nothing of this kimg
    counts = (len(places), informed, len(rows), int(failed.sum()), int(cut.sum()))
    lasted = (time >= kimg) & ~failed
    if not lasted.any() and not (informed and failed.all()):
        return Failure(kimg, None, None, None, "wilson", *counts)
    if not failed.any() or failed.all():
        rate = float(failed.all())
        return Failure(kimg, rate, *wilson_interval(rate * informed, informed), "wilson", *counts)
    survival = ecdf(CensoredData(uncensored=time[diverged], right=time[~diverged])).sf
    drawn = generator.multinomial(len(places), [1 / len(places)] * len(places), size=resamples)
    order = np.lexsort((~diverged, time))  # of those at one moment, first those that diverged
    rates = [1 - weighted_survival(weights[group[order]], failed[order])[-1] for weights in drawn]
    low, high = np.quantile(rates, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]).tolist()
    rate = 1 - float(survival.evaluate(kimg))
    if math.isclose(low, high, abs_tol=1e-9):
        return Failure(kimg, rate, *wilson_interval(rate * informed, informed), "wilson", *counts)
    return Failure(kimg, rate, low, high, "kaplan-meier", *counts)


def weighted_survival(weights: "np.ndarray", diverged: "np.ndarray") -> "np.ndarray":
    """Kaplan and Meier's curve with a run counted so many times (scipy's takes no weights).

    Both (runs,), in order of time; (runs + 1,): the share that goes on before the first run ends, and after
    each. At one moment (1 - 1/n)(1 - 1/(n-1)) = 1 - 2/n, so ties need no care.
    """
    import numpy as np

    at_risk = weights[::-1].cumsum()[::-1].clip(1)
    return np.concatenate([[1.0], np.cumprod(1 - np.where(diverged, weights / at_risk, 0.0))])


def wilson_interval(failures: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95% score interval for a rate (Wilson 1927): it stays in [0, 1] and works at 0 and n.

    `failures` may be a mean of several: three configurations of which half the seeds diverged have 1.5.

    Raises:
        ValueError: n is not positive or failures is not within 0..n.
    """
    if not 0 <= failures <= n or n < 1:
        raise ValueError(f"{failures} failures of {n} is not a rate")
    p = failures / n
    denominator = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)
