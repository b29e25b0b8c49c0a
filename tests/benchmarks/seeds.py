"""How often the report claims that tuning beats the default, where it does and where it doesn't.

python -m tests.benchmarks.seeds [--tables 2000]

Of each planted study the best of 12 candidates is chosen and compared with the default as the report does it
(`analysis.statistics`): normal scores whose seeds are correlated 0.5, as common random numbers make them.
"""

import argparse
import math
import sys

import numpy as np

from analysis.statistics.comparison import parts
from analysis.statistics.seeds import MOST_SEEDS, difference, power, seeds_needed
from study.metrics.failure import wilson_interval

CANDIDATES, CORRELATION = 12, 0.5


def studies(
    generator: np.random.Generator, number: int, trials: int, seeds: int, effect: float = 0.0
) -> np.ndarray:
    """Scores (number, trials, seeds), lower is better, of which trial 1 is better by `effect` seed-SDs."""
    shared = generator.standard_normal((number, 1, seeds))
    own = generator.standard_normal((number, trials, seeds))
    scores = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own
    scores[:, 1] -= effect
    return np.asarray(scores)


def claims(scores: np.ndarray) -> int:
    """Studies (number, trials, seeds) of which the best is claimed to beat trial 0, the default."""
    found = 0
    for study in scores:
        best = study.mean(1).argmin()
        if best:
            gain = difference((study[0] - study[best]).tolist(), len(study) - 1)
            found += gain.is_shown
    return found


def named(scores: np.ndarray, effect: float) -> float:
    """The true power at the number of seeds that a study without a claim names, of what it saw; its mean."""
    found = []
    for study in scores:
        best = study.mean(1).argmin()
        gain = difference((study[0] - study[best]).tolist(), len(study) - 1)
        if best and gain.sd and not gain.is_shown:
            needed = seeds_needed(gain.mean, gain.sd, gain.comparisons) or MOST_SEEDS
            found.append(power(effect, 1.0, needed, CANDIDATES))
    return float(np.mean(found))


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
    lines = ["| planted (seed-SDs) | seeds | claims | promised |", "|---|---|---|---|"]
    for effect, seeds in ((0, 3), (0, 5), (0, 10), (3, 3), (3, 5), (3, 8), (1, 5)):
        n = claims(studies(generator, tables, CANDIDATES + 1, seeds, effect))
        promised = f"{power(effect, 1.0, seeds, CANDIDATES):.1%}" if effect else "at most 5%"
        lines.append(f"| {effect} | {seeds} | {_share(n, tables)} | {promised} |")
    for effect in (3, 2, 1):
        needed = seeds_needed(effect, 1.0, CANDIDATES) or 0
        n = claims(studies(generator, tables, CANDIDATES + 1, needed, effect))
        lines.append(f"| {effect} | {needed}, the number named | {_share(n, tables)} | 80% |")
    for effect in (3, 2, 1):
        for seeds in (2, 3, 5):
            share = named(studies(generator, tables // 4, CANDIDATES + 1, seeds, effect), effect)
            lines.append(f"| {effect} | as many as {seeds} seeds name | {share:.0%} | 80% |")
    for one, other in ((12, 12), (24, 6), (60, 2)):
        for seeds in (3, 5):
            n = between_bests(studies(generator, tables, one + other, seeds), one)
            lines.append(
                f"| 0, best of {one} against best of {other} | {seeds} | {_share(n, tables)} | at most 5% |"
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
