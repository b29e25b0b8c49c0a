"""How often the report claims that tuning beats the default, where it does and where it doesn't.

python -m tests.benchmarks.seeds [--tables 2000]

Of each planted study the best candidate is chosen and compared with the default as the report does it
(`analysis.statistics`): normal scores whose seeds are correlated 0.5, as common random numbers make them.
"""

import argparse
import math
import sys

import numpy as np

from analysis.statistics.comparison import parts
from analysis.statistics.moderated import Prior
from analysis.statistics.seeds import Difference, Spread, difference, power, seeds_needed
from analysis.statistics.tuned import best_gain
from study.metrics.failure import wilson_interval

CANDIDATES, MANY, CORRELATION = 12, 64, 0.5
RELATIVE_SD, MIXED = 0.15, 0.7  # of a level; of the logarithm of standard deviations that differ
LIMIT = "at most 10%"
MOST = 40  # seeds of a planted study
EQUAL = Spread(
    1 - CORRELATION, Prior(math.inf, 1 - CORRELATION, CANDIDATES), 1 - CORRELATION
)  # one SD of all


def studies(
    generator: np.random.Generator,
    number: int,
    trials: int,
    seeds: int,
    effect: float = 0.0,
    mixed: float = 0.0,
) -> np.ndarray:
    """Scores (number, trials, seeds), lower is better, of which trial 1 is better by `effect` seed-SDs.

    `mixed`: the standard deviation of the logarithm of the trials' own standard deviations.
    """
    shared = generator.standard_normal((number, 1, seeds))
    own = generator.standard_normal((number, trials, seeds))
    scores = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own
    if mixed:
        scores *= np.exp(mixed * generator.standard_normal((number, trials, 1)))
    scores[:, 1] -= effect
    return np.asarray(scores)


def distances(
    generator: np.random.Generator,
    number: int,
    trials: int,
    seeds: int,
    levels: tuple[float, float] = (1.0, 10.0),
    first: float | None = None,
    mixed: float = 0.0,
) -> np.ndarray:
    """Positive scores whose spread is in proportion to their level: 1 of the default, log-uniform of others.

    `first`: the level of trial 1.
    """
    low, high = (math.log(level) for level in levels)
    level = np.exp(generator.uniform(low, high, (number, trials, 1)))
    level[:, 0] = 1
    if first is not None:
        level[:, 1] = first
    noise = 1 + RELATIVE_SD * studies(generator, number, trials, seeds, mixed=mixed)
    return np.asarray(level * np.maximum(noise, 0.01))


def gain_of_best(study: np.ndarray) -> Difference | None:
    """What the report compares, as it does; None where the default is the best."""
    best = study.mean(1).argmin()
    if not best:
        return None
    relative = bool(study.min() > 0)
    scores = np.log(study) if relative else study
    trials = np.vstack([scores[best], np.delete(scores, [0, best], axis=0)])
    return best_gain(scores[0], trials, len(study) - 1, relative)


def claims(scores: np.ndarray) -> int:
    """Studies (number, trials, seeds) of which the best is claimed to beat trial 0, the default."""
    return sum(gain.is_shown and gain.mean > 0 for study in scores if (gain := gain_of_best(study)))


def named(scores: np.ndarray, effect: float, generator: np.random.Generator) -> float:
    """The share of claims at the number of seeds that a study without a claim names; its mean."""
    numbers: list[int] = []
    for study in scores:
        gain = gain_of_best(study)
        if gain and gain.spread and not gain.is_shown:
            needed = seeds_needed(gain.mean, gain.spread, gain.comparisons) or MOST
            numbers.append(min(needed, MOST))
    tables = 200
    shares = {n: claims(studies(generator, tables, CANDIDATES + 1, n, effect)) / tables for n in {*numbers}}
    return float(np.mean([shares[n] for n in numbers]))


def between_bests(scores: np.ndarray, first: int) -> int:
    """Studies of which the best of the first trials is claimed to differ from the best of the others."""
    found = 0
    for study in scores:
        one, other = study[:first], study[first:]
        gains = one[one.mean(1).argmin()] - other[other.mean(1).argmin()]
        found += difference(gains.tolist(), parts(first, len(other))).is_shown
    return found


def table(tables: int, generator: np.random.Generator) -> list[str]:
    """Rows of Markdown: what is planted, what is claimed, what the power promises."""
    lines = ["| planted | candidates | seeds | claims | promised |", "|---|---|---|---|---|"]

    def row(planted: str, candidates: int, scores: np.ndarray, promised: str) -> None:
        share = _share(claims(scores), tables)
        lines.append(f"| {planted} | {candidates} | {scores.shape[2]} | {share} | {promised} |")

    for candidates in (CANDIDATES, MANY):
        for seeds in (2, 3, 5):
            size = (tables, candidates + 1, seeds)
            row("nothing, equal SDs", candidates, studies(generator, *size), LIMIT)
            row("nothing, mixed SDs", candidates, studies(generator, *size, mixed=MIXED), LIMIT)
            row("nothing, SD of 15% of levels 1 to 10", candidates, distances(generator, *size), LIMIT)
            tied = distances(generator, *size, levels=(1.0, 1.0), mixed=MIXED)
            row("nothing, levels 1, mixed SDs around 15%", candidates, tied, LIMIT)
            for times in (4, 10):
                wild = studies(generator, *size)
                wild[:, 0] *= times
                row(f"nothing, default's SD {times} times the others'", candidates, wild, LIMIT)
    for effect in (1, 3):
        for seeds in (2, 3, 5):
            promised = f"{power(effect, EQUAL, seeds, CANDIDATES):.0%}"
            size = (tables, CANDIDATES + 1, seeds)
            row(f"{effect} seed-SDs", CANDIDATES, studies(generator, *size, effect), promised)
            row(f"{effect}, mixed SDs", CANDIDATES, studies(generator, *size, effect, MIXED), "")
    for candidates in (CANDIDATES, MANY):
        size = (tables, candidates + 1, 2)
        row("a tenth, others 0.1 to 3", candidates, distances(generator, *size, (0.1, 3.0), 0.1), "")
        row("half, others 1 to 10", candidates, distances(generator, *size, first=0.5), "")
    for effect in (3, 2, 1):
        needed = seeds_needed(effect, EQUAL, CANDIDATES) or 0
        scores = studies(generator, tables, CANDIDATES + 1, needed, effect)
        row(f"{effect} seed-SDs, the number named", CANDIDATES, scores, "80%")
    for effect in (3, 2, 1):
        for seeds in (2, 3, 5):
            scores = studies(generator, tables // 4, CANDIDATES + 1, seeds, effect)
            share = named(scores, effect, generator)
            lines.append(f"| {effect} | {CANDIDATES} | as many as {seeds} seeds name | {share:.0%} | 80% |")
    for one, other in ((12, 12), (24, 6), (60, 2)):
        for seeds in (3, 5):
            n = between_bests(studies(generator, tables, one + other, seeds), one)
            lines.append(
                f"| nothing, best of both | {one} and {other} | {seeds} | {_share(n, tables)} | {LIMIT} |"
            )
    return lines


def _share(n: int, tables: int) -> str:
    low, high = wilson_interval(n, tables)
    return f"{n / tables:.1%} ({low:.1%} to {high:.1%})"


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--tables", type=int, default=2000, help="planted studies a row")
    options = p.parse_args()
    print("\n".join(table(options.tables, np.random.default_rng(0))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
