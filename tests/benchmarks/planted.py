"""Does the analysis find what is planted, and claim nothing where nothing is?

python -m tests.benchmarks.planted [--tables 20] [--null 100] [--trials 128] [--first 100] [--json FILE]

Planted: lr_g decides the metric; beta1 acts only through divergence, in a corner with lr_g; lr_d, batch_size
and lambda_gp do nothing. Null: configurations differ in metric and in divergence, whatever their
hyperparameters. Three seeds a trial share its fate. A table counts as right if lr_g and beta1 are named, the
corner is told to within one bin (a quarter of an axis) on both axes, and nothing else is claimed.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis import findings
from analysis.statistics.axes import unit_scaled
from analysis.tables import SpaceResults
from tests.analysis.made import made

CORNER = {"lr_g": 0.7, "beta1": 0.6}  # runs diverge above both, in places of their axes
BIN = 0.25


def planted(seed: int, trials: int = 128, seeds: int = 3) -> SpaceResults:
    """A table with an effect in it."""
    return made(
        np.random.default_rng([seed, 1]),
        trials,
        seeds,
        score=lambda u: 1 + 20 * (u["lr_g"].to_numpy() - 0.4) ** 2,
        risk=lambda u: np.where(in_corner(u), 0.9, 0.03),
    )


def null(seed: int, trials: int = 128, seeds: int = 3) -> SpaceResults:
    """A table without one: configurations scatter and 15% of them diverge."""
    generator = np.random.default_rng([seed, 2])
    return made(
        generator,
        trials,
        seeds,
        score=lambda u: 3 + generator.normal(size=len(u)),
        risk=lambda u: np.full(len(u), 0.15),
    )


def in_corner(u: pd.DataFrame) -> np.ndarray:
    return np.logical_and.reduce([u[name].to_numpy() > above for name, above in CORNER.items()])


def claims(results: SpaceResults) -> dict[str, Any]:
    """What the sentences claim of a space."""
    objective = findings.objective(results, results.plan.kimg)
    divergence = findings.divergence(results)
    region = findings.region(results)
    conditions = () if region is None else region.conditions
    return {
        "objective": sorted(objective.matter),
        "divergence": sorted(divergence.matter),
        "region": {c.name: (c.side, place(results, c.name, c.bound)) for c in conditions},
        "cannot_tell": bool(objective.cannot_tell and divergence.cannot_tell and region is None),
    }


def place(results: SpaceResults, name: str, bound: Any) -> float:
    """A bound in its hyperparameter's unit, on the axis from 0 to 1."""
    row = results.trials.iloc[:1].assign(**{name: bound})
    return round(float(unit_scaled(results.space, row)[name].iloc[0]), 3)


def verdict(claim: dict[str, Any]) -> str:
    """'right', or what is wrong with what is claimed of a planted table."""
    named = {*claim["objective"], *claim["divergence"]}
    if named - CORNER.keys() or claim["region"].keys() - CORNER.keys():
        return "claims something else"
    if named != CORNER.keys():
        return f"misses {' and '.join(sorted(CORNER.keys() - named))}"
    if not claim["region"]:
        return "no region"
    for name, above in CORNER.items():
        side, at = claim["region"].get(name, ("", 0.0))
        if side != "above" or abs(at - above) > BIN:
            return f"region without {name}" if not side else "region too far off"
    return "right"


def shares(trials: int, tables: int) -> dict[str, dict[str, float]]:
    """What importance makes of lr_g and lr_d in their sum, 80% and 20% of its variance: means over tables."""
    true = {"lr_g": 0.8, "lr_d": 0.2}
    found: list[Any] = []
    for k in range(tables):
        results = made(
            np.random.default_rng([k, 7]),
            trials,
            3,
            score=lambda u: (10 * u["lr_g"] + 5 * u["lr_d"]).to_numpy(),
        )
        effects = {e.name: e for e in findings.objective(results, results.plan.kimg).effects}
        found += [
            {"name": n, **vars(effects[n]), "holds": effects[n].low <= s <= effects[n].high}
            for n, s in true.items()
        ]
    columns = ["share", "holds", "matters"]
    return pd.DataFrame(found).groupby("name")[columns].mean().to_dict("index")  # type: ignore[return-value]


def main(arguments: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.planted")
    p.add_argument("--tables", type=int, default=20)
    p.add_argument("--null", type=int, default=100)
    p.add_argument("--first", type=int, default=100, help="number of the first table: a seed")
    p.add_argument("--trials", type=int, nargs="+", default=[128])
    p.add_argument("--json", type=Path)
    p.add_argument("--shares", type=int, metavar="N", help="only: what becomes of 80%% and 20%%, of N tables")
    options = p.parse_args(arguments)
    if options.shares:
        for trials in (64, 200):
            print(f"{trials} trials, {options.shares} tables:", shares(trials, options.shares), flush=True)
        return
    kept: dict[str, Any] = {}
    for trials in options.trials:
        found = [claims(planted(k, trials)) for k in range(options.first, options.first + options.tables)]
        verdicts = Counter("cannot tell" if claim["cannot_tell"] else verdict(claim) for claim in found)
        print(f"{trials} trials, planted, {len(found)} tables:", dict(verdicts.most_common()), flush=True)
        chance = [claims(null(k, trials)) for k in range(options.first, options.first + options.null)]
        by = {
            kind: sum(bool(claim[kind]) for claim in chance) for kind in ("objective", "divergence", "region")
        }
        any_ = sum(any(claim[kind] for kind in by) for claim in chance)
        print(f"{trials} trials, null, {len(chance)} tables: {any_} with a claim", by, flush=True)
        kept[str(trials)] = {"planted": found, "null": chance}
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    main()
