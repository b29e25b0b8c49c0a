"""Tables of a study that was never run: functions of the configuration say what became of its seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.tables import SpaceResults
from study.metrics import METRICS
from study.metrics.judge.floor import Spread
from study.space import Range, parse_space
from tests.studies import study_plan

Law = Callable[[pd.DataFrame], np.ndarray]  # of the axes, each from 0 to 1
LR = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}
FIVE: dict[str, Any] = {
    "lr_g": LR,
    "lr_d": LR,
    "beta1": {"distribution": "uniform", "min": 0.0, "max": 0.9},
    "batch_size": {"values": [32, 64, 128, 256]},
    "lambda_gp": {"distribution": "log_uniform_values", "min": 0.1, "max": 100.0},
}
FLOOR: dict[str, Spread] = {"w1": {"mean": 0.1, "std": 0.01}, "modes_covered": {"mean": 8.0, "std": 0.0}}
UNTRAINED, KIMG = 10.0, 20.0

COMMAND = ["python", "-m", "study.tune", "--space", "space", "--dataset", "ring8", "--seeds", "2"]


def made(
    generator: np.random.Generator,
    trials: int = 8,
    seeds: int = 2,
    evaluations: int = 4,
    searched: dict[str, Any] | None = None,
    score: Law = lambda u: np.zeros(len(u)),
    risk: Law = lambda u: np.zeros(len(u)),
    pruned: Law = lambda u: np.zeros(len(u)),
    metric: str = "w1",
    **plan: Any,
) -> SpaceResults:
    """A mapping study of one space, wgan_gp on ring8, by uniform trials.

    `score`: final metric of a configuration, around which its seeds scatter by 0.3; `risk`: how likely it
    is that it diverges: then each of its seeds does in 9 of 10 cases, at any time; `pruned`: that it is
    stopped after half of the evaluations.
    """
    searched = FIVE if searched is None else searched
    document = {"method": "random", "parameters": {"model": {"value": "wgan_gp"}, **searched}}
    space = parse_space("space", document)
    u = pd.DataFrame({name: generator.uniform(size=trials) for name in space.searched})
    values = {name: _values(known, u[name].to_numpy()) for name, known in space.searched.items()}
    for name, known in space.searched.items():
        if not isinstance(known, Range):
            places = {value: k / max(1, len(known.values) - 1) for k, value in enumerate(known.values)}
            u[name] = [places[value] for value in values[name]]
    cut = generator.uniform(size=trials) < np.asarray(pruned(u))
    doomed = generator.uniform(size=trials) < np.asarray(risk(u))
    at = np.where(
        doomed[:, None] & (generator.uniform(size=(trials, seeds)) < 0.9),
        generator.uniform(0, KIMG, size=(trials, seeds)),
        np.inf,
    )  # kimg at which a seed diverges
    last = np.where(cut, evaluations // 2, evaluations)  # evaluation
    step = KIMG / evaluations
    fallen = at <= last[:, None] * step
    last = np.where(fallen.all(axis=1), np.ceil(at / step).clip(1).max(axis=1, initial=1, where=fallen), last)
    end = np.asarray(score(u))[:, None] + 0.3 * generator.normal(size=(trials, seeds))
    names = [f"space-{k:05d}" for k in range(trials)]
    keys = {"study": "made", "space": "space", "model": "wgan_gp", "dataset": "ring8"}
    config = pd.DataFrame({**keys, "trial_id": names, **values}, index=range(trials))
    k, s, e = (
        axis.ravel()
        for axis in np.meshgrid(range(trials), range(seeds), range(evaluations + 1), indexing="ij")
    )
    seen = e <= last[k]
    k, s, e = k[seen], s[seen], e[seen]
    kimg = e * step
    dead = at[k, s] <= kimg
    value = np.where(dead, np.nan, UNTRAINED + (end[k, s] - UNTRAINED) * (kimg / KIMG) ** 0.5)
    worse = -METRICS[metric].higher_is_better * 2 + 1
    curves = config.iloc[k].reset_index(drop=True)
    curves = curves.assign(
        seed=s, evaluation=e, kimg=kimg, kimg_planned=kimg, diverged=dead,
        diverged_at_kimg=np.where(dead, at[k, s], np.nan),
        reason=pd.Series("non-finite critic loss", curves.index).where(dead),
        score=worse * np.where(dead, UNTRAINED, np.minimum(value, UNTRAINED)),
        train_seconds=kimg * 0.5, eval_seconds=0.1 * e,
        modes_covered=np.where(dead, np.nan, np.round(8 * kimg / KIMG)),
        loss_d=np.where(e == 0, np.nan, -value), loss_g=np.where(e == 0, np.nan, value),
        grad_norm_d=np.where(e == 0, np.nan, np.abs(value) + 1),
        grad_norm_g=np.where(e == 0, np.nan, np.abs(value) + 2),
        **{metric: worse * value},
    )  # fmt: skip
    runs = curves.groupby(["trial_id", "seed"]).tail(1).drop(columns="evaluation").reset_index(drop=True)
    state = np.where(fallen.all(axis=1), "diverged", np.where(cut, "pruned", "completed"))
    of_run = runs["trial_id"].map(dict(zip(names, state, strict=True)))
    survived = np.where(of_run == "completed", "survived", "censored")
    runs = runs.assign(
        end=np.where(runs["diverged"], "diverged", survived),
        kimg_at_risk=np.where(runs["diverged"], runs["diverged_at_kimg"], runs["kimg"]),
        never_learned=runs[metric].isna(), never_covered=False, collapsed=False,
    )  # fmt: skip
    by = runs.groupby("trial_id")
    diverged, censored = (
        by["end"].agg(lambda ends, w=w: int((ends == w).sum())) for w in ("diverged", "censored")
    )
    table = config.assign(
        state=state, ended_by=np.where(state == "completed", "budget", state), origin="startup",
        kimg=by["kimg"].max().to_numpy(), kimg_planned=KIMG, objective=by["score"].mean().to_numpy(),
        metric=metric, aggregate="mean", n_seeds=seeds, n_diverged=diverged.to_numpy(),
        n_censored=censored.to_numpy(),
        failure_rate=np.where(censored > 0, np.nan, diverged / seeds),
        n_never_learned=by["never_learned"].sum().to_numpy(), n_never_covered=0, n_collapsed=0,
        train_seconds=by["train_seconds"].max().to_numpy(), eval_seconds=1.0, error=None,
    )  # fmt: skip
    made_plan = study_plan(
        spaces={"space": document}, metric=metric, trials=trials, seeds=seeds, kimg=KIMG,
        eval_kimg=step, **plan,
    )  # fmt: skip
    return SpaceResults(
        "space", Path("made"), {"command": COMMAND}, made_plan, space, table, runs, curves, FLOOR
    )


def _values(searched: Any, u: np.ndarray) -> Any:
    if not isinstance(searched, Range):
        return [searched.values[int(place * len(searched.values))] for place in u]
    if searched.log:
        return searched.low * (searched.high / searched.low) ** u
    return searched.low + (searched.high - searched.low) * u
