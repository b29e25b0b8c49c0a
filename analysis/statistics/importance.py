"""Which hyperparameters matter: total effects in a random forest, against shadows that can't matter.

A total effect is the share of the predictions' variance that a hyperparameter takes part in, alone or with
others (Sobol's, by Jansen's estimator, 1999), over axes on a unit scale and values drawn evenly from them.
Beside each hyperparameter the forest is given permuted copies of it (Boruta's shadows, Kursa 2010): chance
gives them effects too. The more hyperparameters, the more shadows: one matters if its effect is above that of
every shadow, which under chance happens in 1 of COPIES + 1 tables, however many hyperparameters there are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.axes import FEW, unit_scaled
from analysis.tables import SpaceResults

LEAST = 32  # trials; with fewer it finds too little of what is there: tests/benchmarks/README.md
MOST = 2000  # of more, so many inform, drawn at random
LEAST_DIFFERENT = 5  # trials off the commonest value, of what is explained and of a hyperparameter
FITS, COPIES_PER_FIT = 10, 5
COPIES = FITS * COPIES_PER_FIT  # of each hyperparameter: 250 shadows in all where there are five
HALVES = 10
TREES, POINTS, MOST_SAMPLES = 50, 300, 200
LEAF = 5  # trials in a leaf; fewer, or fewer columns at a split, lose effects among the shadows
OBJECTIVE, DIVERGENCE = "objective", "divergence"


@dataclass(frozen=True)
class Effect:
    """A hyperparameter's total effect in the forest; `matters`: it is above that of every shadow.

    low, high: 95% of what other tables as large would bring, from random halves. The forest exaggerates the
    largest effect: of 80% and 20% it makes 96% and 6% with 64 trials (tests/benchmarks/README.md).
    """

    name: str
    share: float
    low: float
    high: float
    matters: bool


@dataclass(frozen=True)
class Importance:
    """What the hyperparameters do to one quantity.

    Attributes:
        of: OBJECTIVE or DIVERGENCE, at `kimg`.
        n: trials that inform.
        effects: of those hyperparameters that vary enough, the largest first; empty where it can't tell.
        threshold: the largest effect of a shadow.
        cannot_tell: why it can't; '' where it can.
    """

    of: str
    kimg: float
    n: int
    effects: tuple[Effect, ...] = ()
    threshold: float | None = None
    cannot_tell: str = ""

    @property
    def matter(self) -> list[str]:
        return [effect.name for effect in self.effects if effect.matters]

    @property
    def words(self) -> str:
        """'lr_d (62%; over halves of the trials 50% to 74%) and lr_g (...)', or that none can be told."""
        told = [
            f"{e.name} ({e.share:.0%}; over halves of the trials {e.low:.0%} to {e.high:.0%})"
            for e in self.effects
            if e.matters
        ]
        return " and ".join(told) or "nothing that can be told from chance"


def of_objective(results: SpaceResults, kimg: float, generator: np.random.Generator) -> Importance:
    """What decides the objective at one evaluation, of the trials that have it."""
    return importance(results, results.objectives(kimg), OBJECTIVE, kimg, generator)


def of_divergence(results: SpaceResults, generator: np.random.Generator) -> Importance:
    """What decides which share of a trial's seeds diverges.

    Of trials that diverged or were trained to their budget: the others say "not yet", and not "no".
    """
    rates = results.trials.set_index("trial_id")["failure_rate"].dropna().astype(float)
    return importance(results, rates, DIVERGENCE, results.plan.kimg, generator)


def rungs(results: SpaceResults) -> list[float]:
    """Evaluations at about a ninth and a third of the budget, and at its end, in kimg."""
    plan = results.plan
    numbers = {max(1, round(plan.evaluations / part)) for part in (9, 3, 1)}
    return [min(plan.kimg, number * plan.eval_kimg) for number in sorted(numbers)]


def importance(
    results: SpaceResults, y: pd.Series, of: str, kimg: float, generator: np.random.Generator
) -> Importance:
    """Total effects on `y`, which has a value for each trial that informs."""
    axes = unit_scaled(results.space, results.trials.set_index("trial_id").loc[y.index])
    axes = axes.dropna()  # of a value that its space doesn't have
    if len(axes) > MOST:
        axes = axes.sample(MOST, random_state=generator)
    y = y[axes.index]
    n = len(y)
    axes = axes.loc[:, [_varies(axes[name]) for name in axes]]
    if n < LEAST:
        return Importance(of, kimg, n, cannot_tell=f"{n} trials inform, it takes {LEAST}")
    if not _varies(y):
        return Importance(
            of, kimg, n, cannot_tell=f"it differs in fewer than {LEAST_DIFFERENT} of {n} trials"
        )
    if axes.empty:
        return Importance(of, kimg, n, cannot_tell=f"no hyperparameter varies enough among {n} trials")
    x, values = axes.to_numpy(), y.to_numpy(float)
    full = [_effects(x, values, generator) for _ in range(FITS)]
    share = np.mean([own for own, _ in full], axis=0).clip(max=1.0)  # an estimate may lie above
    threshold = float(np.max([shadows.max() for _, shadows in full]))
    halves = []
    for _ in range(HALVES):
        half = generator.permutation(n)[: n // 2]
        halves.append(_effects(x[half], values[half], generator)[0])
    # Over random halves estimates vary as those of the whole do over fresh tables (2 s²/n - s²/n), and as
    # forests do, which is known from those of the whole.
    forests = np.var([own for own, _ in full], axis=0, ddof=1)
    tables = (np.var(halves, axis=0, ddof=1) - forests).clip(0)
    spread = 1.96 * np.sqrt(tables + forests / FITS)
    found = [
        Effect(name, float(s), max(0.0, float(s - d)), min(1.0, float(s + d)), bool(s > threshold))
        for name, s, d in zip(axes.columns, share, spread, strict=True)
    ]
    return Importance(of, kimg, n, tuple(sorted(found, key=lambda e: -e.share)), threshold)


def _varies(values: pd.Series) -> bool:
    return len(values) - int(values.value_counts().max() if len(values) else 0) >= LEAST_DIFFERENT


def _effects(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Total effects (hyperparameters,), and those of their shadows (copies, hyperparameters)."""
    from sklearn.ensemble import RandomForestRegressor

    columns = x.shape[1]
    copies = [generator.permuted(x, axis=0) for _ in range(COPIES_PER_FIT)]
    given = np.hstack([x, *copies])
    forest = RandomForestRegressor(
        TREES,
        min_samples_leaf=LEAF,
        max_samples=min(1.0, MOST_SAMPLES / len(x)),
        random_state=int(generator.integers(2**31)),
    ).fit(given, y)
    effects = total_effects(forest.predict, given.shape[1], generator, _levels(given))
    return effects[:columns], effects[columns:].reshape(COPIES_PER_FIT, columns)


def _levels(x: np.ndarray) -> dict[int, np.ndarray]:
    """The values of those columns that have few."""
    found = {column: np.unique(x[:, column]) for column in range(x.shape[1])}
    return {column: levels for column, levels in found.items() if len(levels) <= FEW}


def total_effects(
    predict: Callable[[np.ndarray], np.ndarray],
    columns: int,
    generator: np.random.Generator,
    levels: Mapping[int, np.ndarray] | None = None,
    points: int = POINTS,
) -> np.ndarray:
    """Total effects, (columns,), by Jansen: half the mean square of what changes with one, over the variance.

    `predict`: (points, columns), each column drawn evenly from 0 to 1 or from its `levels`, -> (points,).
    """
    here, there = (generator.uniform(size=(points, columns)) for _ in range(2))
    for column, values in (levels or {}).items():
        for drawn in (here, there):
            drawn[:, column] = values[(drawn[:, column] * len(values)).astype(int)]
    moved = np.repeat(here[None], columns + 1, axis=0)
    for column in range(columns):
        moved[column, :, column] = there[:, column]
    said = predict(moved.reshape(-1, columns)).reshape(columns + 1, points)
    variance = said[-1].var()
    if variance == 0:
        return np.zeros(columns)
    return np.asarray(((said[:-1] - said[-1]) ** 2).mean(axis=1) / (2 * variance))
