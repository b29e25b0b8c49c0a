"""Health checks: what of a study can be trusted, and the command that mends what can't."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analysis.commands import again
from analysis.statistics.seeds import seeds_needed
from analysis.statistics.tuned import against_default
from analysis.tables import SpaceResults

PASSED, DOUBTFUL, FAILED = "passed", "doubtful", "failed"


@dataclass(frozen=True)
class Check:
    """One question, how it went, why in numbers, and a command line; '' where none mends it."""

    name: str
    status: str
    sentence: str
    command: str = ""


def enough_seeds(results: SpaceResults) -> Check | None:
    """Whether the seeds show the difference to the default, and how many would."""
    name, found = "enough seeds", against_default(results)
    if found is None or found.gain.sd is None:
        few = results.plan.seeds < 2
        more = again(results.record, {"--seeds": (5,)})
        return Check(name, FAILED, "One seed: no interval and no claim.", more) if few else None
    gain = found.gain
    if gain.is_shown:
        return Check(name, PASSED, f"The best is better than the default by {gain.mean:.3g} ({gain.words}).")
    needed = seeds_needed(gain.mean, gain.sd or 0.0, gain.comparisons)
    seen = f"A difference of {gain.mean:.3g} to the default isn't shown ({gain.words})"
    if needed is None or gain.mean <= 0:
        return Check(name, DOUBTFUL, f"{seen}, and no number of seeds up to 1000 is likely to show it.")
    more = max(needed, results.plan.seeds + 1)
    return Check(
        name,
        DOUBTFUL,
        f"{seen}; if it is as large as it looks, {more} seeds show it in 8 of 10 studies.",
        again(results.record, {"--seeds": (more,)}),
    )


CHECKS: tuple[Callable[[SpaceResults], Check | None], ...] = (enough_seeds,)


def checks(results: SpaceResults) -> Iterator[Check]:
    """Those that the study has something for."""
    for check in CHECKS:
        found = check(results)
        if found is not None:
            yield found
