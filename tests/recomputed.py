"""A second implementation of what a study's tables say of stability, failure and its objective.

It shares no code with the package: plain loops over the rows of curves.parquet.
"""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

HIGHER = {"hq", "modes_covered", "mode_coverage", "improved_precision"}
# 97.5% quantiles by number of values, from tables
STUDENT = {2: 12.7062047361747, 3: 4.30265272974946, 4: 3.18244630528371}
Z = 1.959964


def check_tables(folder: Path) -> None:
    """Every run and every trial of a finished study has the figures that its curves give."""
    trials, runs, curves = (pd.read_parquet(folder / f"{t}.parquet") for t in ("trials", "runs", "curves"))
    (file,) = (folder / "judge").glob("*.json")
    floor = {name: spread["mean"] for name, spread in json.loads(file.read_text())["floor"].items()}
    assert len(runs)
    for trial in trials.to_dict("records"):
        own: list[Any] = runs[runs["trial_id"] == trial["trial_id"]].to_dict("records")
        known = []
        for run in own:
            rows = curves[(curves["trial_id"] == run["trial_id"]) & (curves["seed"] == run["seed"])]
            records: list[Any] = rows.sort_values("evaluation").to_dict("records")
            known.append(_run(records, trial, floor))
            _same(run, known[-1])
        _same(trial, _trial(own, known))


def _run(rows: list[dict[str, Any]], trial: Any, floor: dict[str, float]) -> dict[str, Any]:
    last, metric = rows[-1], trial["metric"]
    sign = -1 if metric in HIGHER else 1  # so that lower is better
    values = [sign * row[metric] for row in rows if not pd.isna(row[metric])]
    scale = values[0] - sign * floor[metric] if values and metric in floor else 0.0
    found: dict[str, Any] = {"end": "survived" if trial["state"] == "completed" else "censored"}
    found["kimg_at_risk"] = min(last["kimg"], trial["kimg_planned"])
    if last["diverged"]:
        at = min(last["diverged_at_kimg"], trial["kimg_planned"])
        found |= {"end": "diverged", "kimg_at_risk": at}
    found["never_learned"] = all(values[0] - v < 0.1 * scale for v in values) if scale > 0 else None
    drawdown = dispersion = None
    if not last["diverged"] and scale > 0 and len(values) > 1:
        worst = max(values[j] - values[i] for i in range(len(values)) for j in range(i, len(values)))
        drawdown = worst / scale
        steps = sorted(b - a for a, b in pairwise(values))
        dispersion = (_quantile(steps, 0.75) - _quantile(steps, 0.25)) / scale
    found |= {"drawdown": drawdown, "dispersion": dispersion}
    covered = [row["mode_coverage"] for row in rows if not pd.isna(row["mode_coverage"])]
    found["never_covered"] = not any(share >= floor["mode_coverage"] / 2 for share in covered)
    found["collapsed"] = not found["never_covered"] and covered[-1] < max(covered) / 2
    for name in floor:
        seen = [row[name] for row in rows if not pd.isna(row[name])]
        found[f"{name}_best"] = (max if name in HIGHER else min)(seen) if seen else None
    return found


def _trial(runs: list[Any], known: list[dict[str, Any]]) -> dict[str, Any]:
    n, ends = len(runs), [figures["end"] for figures in known]
    diverged = ends.count("diverged")
    found: dict[str, Any] = {
        "n_diverged": diverged,
        "n_censored": ends.count("censored"),
        "n_never_learned": sum(figures["never_learned"] for figures in known),
        "n_collapsed": sum(figures["collapsed"] for figures in known),
        "n_never_covered": sum(figures["never_covered"] for figures in known),
        "failure_rate": None if "censored" in ends else diverged / n,
    }
    if "censored" not in ends:  # Wilson 1927: the roots of (p - k/n)^2 = z^2 p (1 - p) / n
        a, b, c = 1 + Z * Z / n, 2 * diverged / n + Z * Z / n, (diverged / n) ** 2
        root = math.sqrt(b * b - 4 * a * c)
        found |= {"failure_rate_low": (b - root) / (2 * a), "failure_rate_high": (b + root) / (2 * a)}
    scores = [run["score"] for run in runs]
    mean = sum(scores) / n
    half = STUDENT[n] * math.sqrt(sum((score - mean) ** 2 for score in scores) / (n - 1) / n)
    found |= {"objective": mean, "objective_low": mean - half, "objective_high": mean + half}
    if len(set(scores)) == 1:  # which says nothing of how others would differ
        found |= {"objective_low": None, "objective_high": None}
    for name in ("w1", "hq", "modes_covered", "mode_coverage", "mode_kl"):
        values = [run[name] for run in runs]
        missing = any(pd.isna(value) for value in values)
        found[name] = None if missing else sum(values) / n
        found[f"{name}_iqr"] = found[f"{name}_worst"] = None
        if not missing:
            ordered = sorted(values)
            found[f"{name}_iqr"] = _quantile(ordered, 0.75) - _quantile(ordered, 0.25)
            found[f"{name}_worst"] = ordered[0 if name in HIGHER else -1]
    return found


def _quantile(ordered: list[float], share: float) -> float:
    """Linear between order statistics."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _same(row: Any, found: dict[str, Any]) -> None:
    for name, value in found.items():
        if value is None:
            assert pd.isna(row[name]), (row["trial_id"], name)
        elif isinstance(value, float):
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), (row["trial_id"], name)
        else:
            assert row[name] == value, (row["trial_id"], name)
