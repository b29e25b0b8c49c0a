"""How much training a search needs, replayed on a surrogate of whole learning curves.

python -m study.tune --space wgan_gp --sampler random --scheduler fifo --trials 64 --seeds 2 --name map
python -m tests.benchmarks.search results/map [--replays 20] [--trials 12]

The surrogate is a random forest from the hyperparameters (each on a unit scale) to the logarithm of the
objective at every evaluation, fitted to the trials of a study without early stopping. Searches then run as
a study runs them, two trials at a time, with the package's sampler and scheduler: only the training is
replaced. Counted is the kimg spent, by both trials together, until a trial that was trained to its end is as
good as the best of so many random trials is in the median.
"""

import argparse
import heapq
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from optuna.storages import InMemoryStorage
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_predict

import study.runner.search as search_module
from study.config import TrialConfig
from study.metrics import METRICS
from study.plan import StudyPlan
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.records.trial_folder import Ending
from study.runner.schedulers import PerSpaceScheduler
from study.runner.search import Search
from study.seeds import derive_seed
from study.space import Range, Space, parse_space

ARMS = {  # sampler, scheduler
    "random": ("random", "fifo"),
    "random + ASHA": ("random", "asha"),
    "TPE": ("tpe", "fifo"),
    "TPE + ASHA": ("tpe", "asha"),
}
IN_FLIGHT = 2
STARTUP = (2, 4, 6, 8, 10)
FOLDS = 10
PATIENCE = 8  # times the trials of a random search, after which a replay is given up


class Surrogate:
    """The learning curves of a space, by configuration.

    Attributes:
        error: root mean square error of the final value's logarithm (base 10), of trials that were left out;
            `explained`: share of its variance that is explained then.
    """

    def __init__(self, space: Space, trials: pd.DataFrame, curves: pd.DataFrame) -> None:
        self.space = space
        means = curves.groupby(["trial_id", "evaluation"])["score"].mean().unstack()
        means = means.dropna().loc[lambda table: table.index.isin(trials["trial_id"])]
        known = trials.set_index("trial_id").loc[means.index]
        places = np.array([self._place(dict(row)) for _, row in known.iterrows()])
        values = np.log10(means.to_numpy(dtype=float))
        forest = RandomForestRegressor(500, min_samples_leaf=1, max_features=0.5, random_state=0)
        left_out = cross_val_predict(forest, places, values, cv=min(FOLDS, len(places)))[:, -1]
        self.trials, self.evaluations = len(places), values.shape[1] - 1
        self.error = float(np.sqrt(np.mean((left_out - values[:, -1]) ** 2)))
        self.explained = float(1 - self.error**2 / np.var(values[:, -1]))
        self._forest = forest.fit(places, values)

    def curve(self, hyperparameters: dict[str, Any]) -> list[float]:
        """The objective at each evaluation, from kimg 0."""
        found = self._forest.predict([self._place(hyperparameters)])[0]
        return [float(value) for value in 10**found]

    def _place(self, values: dict[str, Any]) -> list[float]:
        """Each searched hyperparameter from 0 to 1."""
        place = []
        for name, searched in self.space.searched.items():
            if isinstance(searched, Range):
                scale = math.log if searched.log else float
                low, high, value = scale(searched.low), scale(searched.high), scale(values[name])
                place.append((value - low) / (high - low))
            else:
                place.append(searched.values.index(values[name]) / max(1, len(searched.values) - 1))
        return place


def replay(
    plan: StudyPlan, surrogate: Surrogate, sampler: str, scheduler: str, seed: int, most: int
) -> tuple[list[float], list[tuple[float, float]]]:
    """One search of up to `most` trials, without the default's.

    Returns:
        The final values of trials trained to the end, as they ended; and the incumbent: (kimg spent, value).
    """
    name = surrogate.space.name
    own = replace(plan, schedulers={name: scheduler}, trials={name: most}, seed=seed)
    search = Search(surrogate.space, InMemoryStorage(), sampler, seed, plan.metric, plan.trials[name])
    judge = PerSpaceScheduler(own, [surrogate.space], "min")
    ends: list[float] = []
    incumbent: list[tuple[float, float]] = []
    flight: list[tuple[float, int, Any]] = []
    asked, now = 0, 0.0
    while asked < most or flight:
        if asked < most and len(flight) < IN_FLIGHT:
            proposal = search.ask()
            trial = SimpleNamespace(trial_id=str(asked), config={"space": name, "history": []})
            judge.on_trial_add(None, trial)
            curve = surrogate.curve(proposal.hyperparameters)
            heapq.heappush(flight, (now + plan.eval_kimg, asked, (trial, proposal, curve, 1)))
            asked += 1
            continue
        now, number, (trial, proposal, curve, evaluation) = heapq.heappop(flight)
        value, done = curve[evaluation], evaluation == surrogate.evaluations
        search.report(number, evaluation, value)
        config = TrialConfig.from_dict({**proposal.hyperparameters, "dataset": plan.dataset})
        updates = config.generator_updates(plan.eval_kimg * evaluation)
        result = {"evaluation": evaluation, "rank": value, "generator_updates": updates}
        if not done and judge.on_trial_result(None, trial, result) == "CONTINUE":
            later = (trial, proposal, curve, evaluation + 1)
            heapq.heappush(flight, (now + plan.eval_kimg, number, later))
            continue
        state = "completed" if done else "pruned"
        search.tell(number, Ending(state=state, ended_by="", kimg=0.0, objective=value))
        if done:
            judge.on_trial_complete(None, trial, result)
            ends.append(value)
            incumbent.append((IN_FLIGHT * now, min(ends)))
        else:
            judge.on_trial_remove(None, trial)
    return ends, incumbent


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and its 95% interval, from order statistics (binomial)."""
    from scipy.stats import binom

    ordered, n = sorted(values), len(values)
    low = max(0, int(binom.ppf(0.025, n, 0.5)) - 1)
    return float(np.median(ordered)), ordered[low], ordered[n - 1 - low]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("study", type=Path, help="folder of a study without early stopping")
    parser.add_argument("--replays", type=int, default=20)
    parser.add_argument("--trials", type=int, default=12, help="trials of the random search to be equalled")
    options = parser.parse_args()
    folder = StudyFolder(options.study)
    plan = folder.plan()
    if METRICS[plan.metric].higher_is_better:
        parser.error(f"{plan.metric} is better the higher it is: choose a study of a distance")
    results = Results(folder)
    results.add_all(include_unfinished=False)
    trials, curves = results.table("trials"), results.table("curves")
    (space,) = (parse_space(name, document) for name, document in plan.spaces.items())
    plan = replace(plan, trials={space.name: options.trials})
    surrogate = Surrogate(space, trials[trials["state"] == "completed"], curves)
    within = 10**surrogate.error
    print(
        f"surrogate of {surrogate.trials} trials of {plan.kimg:g} kimg; final {plan.metric} of one left out"
    )
    print(f"within a factor of {within:.2f} (root mean square; {surrogate.explained:.0%} explained)")
    seeds = [derive_seed("replay", number) % 2**31 for number in range(options.replays)]
    bests = [min(replay(plan, surrogate, "random", "fifo", s, options.trials)[0]) for s in seeds]
    target = float(np.median(bests))
    print(f"\ntarget: {target:.3g}, the median best of {options.trials} random trials\n")
    print("| search | kimg to the target, median | 95% interval | replays that reached it |")
    print("|---|---|---|---|")
    for arm, (sampler, scheduler) in ARMS.items():
        spent = []
        for seed in seeds:
            _, incumbent = replay(plan, surrogate, sampler, scheduler, seed + 1, PATIENCE * options.trials)
            spent.append(next((kimg for kimg, value in incumbent if value <= target), math.inf))
        median, low, high = median_interval(spent)
        reached = sum(map(math.isfinite, spent))
        print(f"| {arm} | {median:.0f} | {low:.0f} to {high:.0f} | {reached} of {len(spent)} |", flush=True)
    print(f"\n| start-up trials of TPE | best of {options.trials}, median | 95% interval |\n|---|---|---|")
    for startup in STARTUP:
        search_module.startup_trials = lambda *_, n=startup: n
        found = [min(replay(plan, surrogate, "tpe", "fifo", s, options.trials)[0]) for s in seeds]
        median, low, high = median_interval(found)
        print(f"| {startup} | {median:.3g} | {low:.3g} to {high:.3g} |", flush=True)


if __name__ == "__main__":
    main()
