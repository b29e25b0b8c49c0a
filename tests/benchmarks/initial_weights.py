"""Which law of initial weights suits which model: each law, at two settings of every model, on two datasets.

python -m tests.benchmarks.initial_weights [--dataset D ...] [--model M ...] [--setting S ...] [--init I ...]

A line of the table is a trial: its seeds are one pack, and the same seeds for every law. A cell has the mean
over seeds, the least and the greatest; seeds that diverged have no metric and are counted. Without choices it
takes more than an hour of one core.
"""

import argparse
import itertools
import statistics
import tempfile
from pathlib import Path

import torch

from study.command import whole_at_least
from study.config import TrialConfig
from study.machine.hardware import detect
from study.metrics import default_metric
from study.models import MODELS, hyperparameters
from study.plan import TrialPlan
from study.records.schema import Row
from study.records.trial_folder import TrialFolder
from study.trial.run import run
from tests.benchmarks.precision import RUNS

CPU = torch.device("cpu")
EVALUATED = {"ring8": (600.0,), "digits": (30.0, 120.0)}  # kimg: multiples of the first
# Beside the models' defaults: those with which precision.py trains; of wgan_gp on digits the best of a study.
TUNED = {dataset: {model: chosen for model, (chosen, _) in runs.items()} for dataset, runs in RUNS.items()}
TUNED["digits"]["wgan_gp"] = {"lr_g": 2e-3, "lr_d": 6e-4, "beta1": 0.377, "batch_size": 32, "lambda_gp": 4.14}
SETTINGS = ("paper", "tuned")


def trained(config: TrialConfig, seeds: int) -> list[Row]:
    """The trial's rows, one per evaluation and seed."""
    kimgs = EVALUATED[config.dataset]
    plan = TrialPlan(
        study="initial_weights",
        space=config.model,
        trial_id="trial",
        config=config,
        seeds=tuple(range(seeds)),
        study_seed=0,
        kimg=kimgs[-1],
        eval_kimg=kimgs[0],
        metric=default_metric(config.dataset),
        aggregate="mean",
        keep_best=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        evaluations = run(plan, TrialFolder(Path(folder) / plan.trial_id), CPU)
        return [row for evaluation in evaluations for row in evaluation.rows]


def cells(rows: list[Row], metric: str, kimgs: tuple[float, ...]) -> list[str]:
    """A metric at each of `kimgs` as 'mean (least..greatest)' of the seeds that have one."""
    found = []
    for kimg in kimgs:
        at = [row[metric] for row in rows if row["evaluation"] == round(kimg / kimgs[0])]
        values = [value for value in at if value is not None]
        spread = (statistics.mean(values), min(values), max(values)) if values else ()
        found.append("{:.3g} ({:.3g}..{:.3g})".format(*spread) if spread else "none")
    return found


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.initial_weights")
    laws = hyperparameters()["init"].choices
    p.add_argument("--dataset", nargs="+", choices=EVALUATED, default=list(EVALUATED))
    p.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    p.add_argument("--setting", nargs="+", choices=SETTINGS, default=SETTINGS)
    p.add_argument("--init", nargs="+", choices=laws, default=laws)
    p.add_argument("--seeds", type=whole_at_least(1), default=5)
    options = p.parse_args()
    torch.set_num_threads(1)
    print(f"{detect().cpu_name}, torch {torch.__version__}, fp32; {options.seeds} seeds\n", flush=True)
    for dataset in options.dataset:
        kimgs, metric = EVALUATED[dataset], default_metric(dataset)
        heads = [f"{name} at {kimg:g} kimg" for name in (metric, "modes") for kimg in kimgs]
        head = ["model", "setting", "init", *heads, "diverged"]
        print(f"{dataset}:\n\n| {' | '.join(head)} |\n{'|---' * len(head)}|", flush=True)
        for setting, model, init in itertools.product(options.setting, options.model, options.init):
            chosen = TUNED[dataset][model] if setting == "tuned" else {}
            rows = trained(TrialConfig(model=model, dataset=dataset, init=init, **chosen), options.seeds)
            values = [*cells(rows, metric, kimgs), *cells(rows, "modes_covered", kimgs)]
            diverged = sum(row["diverged"] for row in rows[-options.seeds :])
            line = [model, setting, f"`{init}`", *values, f"{diverged} of {options.seeds}"]
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    main()
