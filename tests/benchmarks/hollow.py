"""Studies whose trials train nothing: real Ray, Optuna, books and tables, the driver's memory, and a resume.

python -m tests.benchmarks.hollow --trials 2000
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from study.machine.hardware import detect
from study.metrics import METRICS, metrics_for
from study.plan import TrialPlan
from study.records.schema import METERS, Row
from study.records.study_folder import StudyFolder
from study.records.trial_folder import Ending
from tests.studies import study_plan

SEEDS, EVALUATIONS = 4, 10
SPACE = {
    "method": "random",
    "parameters": {
        "model": {"value": "wgan_gp"},
        "lr_g": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        "lr_d": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        "beta1": {"min": 0.0, "max": 0.99},
        "lambda_gp": {"distribution": "log_uniform_values", "min": 0.1, "max": 100.0},
    },
}


def curve(plan: TrialPlan) -> Iterator[Row]:
    """Rows as study.trial.run writes them, of 4 seeds x 10 evaluations, with made-up figures."""
    names = metrics_for(plan.config.dataset)
    for evaluation in range(EVALUATIONS):
        for seed in range(SEEDS):
            value = 1.0 / (1 + evaluation + seed + plan.config.lr_g)
            yield {
                "seed": seed,
                "evaluation": evaluation,
                "kimg": float(evaluation),
                "critic_updates": 100 * evaluation,
                "generator_updates": 20 * evaluation,
                "train_seconds": 1.0 * evaluation,
                "eval_seconds": 0.1,
                **{name: 1 if METRICS[name].counts else value for name in names},
                "score": value,
                **{column.name: value for column in METERS},
                "diverged": False,
                "diverged_at_kimg": None,
                "reason": None,
                "mode_counts": None,
            }


class HollowTrainable(Trainable):
    """In place of TrialTrainable: a trial's whole folder in one step, without torch."""

    def setup(self, config: dict[str, Any]) -> None:
        del config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        plan = TrialPlan.from_dict(self.config["plan"])
        folder = StudyFolder(Path(self.config["home"].path)).trial(plan.trial_id)
        rows = list(curve(plan))
        folder.append(rows)
        objective = sum(row["score"] for row in rows[-SEEDS:]) / SEEDS
        kimg = rows[-1]["kimg"]
        folder.finish(Ending(state="completed", ended_by="budget", kimg=kimg, objective=objective))
        summary = {name: rows[-1][name] for name in ("kimg", "train_seconds", *(c.name for c in METERS))}
        return {
            "objective": objective,
            "rank": objective,
            "evaluation": EVALUATIONS - 1,
            "generator_updates": rows[-1]["generator_updates"],
            "kimg": kimg,
            "state": "completed",
            "done": True,
            "news": (summary, None, (str(os.getpid()), {}, 0.0), ""),
        }


def resident_mib() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(trials: int, sampler: str) -> dict[str, Any]:
    """Run a hollow study in a temporary folder, and resume it when nothing is left to do.

    Returns the driver's memory at every tenth of it, what it cost, and the seconds of `study.results` and of
    the resume, commands both.
    """
    from study.runner.environment import prepare

    prepare(None)
    from study.reporting.console import Console
    from study.reporting.timing import StudyCost, Timing
    from study.runner import run as runner
    from study.runner.bookkeeper import Bookkeeper
    from study.space import parse_space

    samples: list[dict[str, float]] = []
    close_books = Bookkeeper._ended
    began, timing = time.perf_counter(), Timing("books")

    def closing(books: Bookkeeper, name: str, space: str) -> None:
        close_books(books, name, space)
        ended = len(books._closed)
        if ended % max(1, trials // 10) == 0:
            samples.append({"trials": ended, "mib": resident_mib(), "seconds": time.perf_counter() - began})

    plan = study_plan(
        name="hollow", spaces={"hollow": SPACE}, samplers=sampler, trials=trials,
        seeds=SEEDS, kimg=EVALUATIONS - 1.0, eval_kimg=1.0, concurrency=2,
    )  # fmt: skip
    runner.TrialTrainable = HollowTrainable  # type: ignore[misc]
    Bookkeeper._ended = closing  # type: ignore[assignment, method-assign]
    with tempfile.TemporaryDirectory() as temporary:
        folder = StudyFolder(Path(temporary) / "hollow")
        folder.create(plan, [], detect().to_dict())
        console = Console(plan)
        console.say = str  # type: ignore[method-assign, assignment]
        cost = StudyCost(plan.concurrency, timing)
        spaces = [parse_space("hollow", SPACE)]
        results, _ = runner.run_study(plan, folder, spaces, console, cost, lambda _: 1)
        assert len(results.table("trials")) == trials
        return {
            "samples": samples,
            "end_mib": resident_mib(),
            "cost": cost.to_dict(),
            "tables_seconds": seconds_of("study.results", str(folder.path)),
            "resume_seconds": seconds_of("study.tune", "--resume", str(folder.path)),
        }


def seconds_of(module: str, *arguments: str) -> float:
    """How long a command takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sampler", default="random")
    options = parser.parse_args()
    print(json.dumps(run(options.trials, options.sampler)))


if __name__ == "__main__":
    main()
