"""How training amplifies rounding: a trial beside itself with all initial weights moved by a unit of float32.

python -m tests.benchmarks.rounding [--dataset D ...]

A cell is the largest difference of a loss or gradient norm so far, of two seeds, in parts of its column's
largest value (`study.records.repetition`). The last column: beside itself in a pack that three trials share.
"""

import argparse
import asyncio
import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from study.config import TrialConfig
from study.machine.hardware import detect
from study.metrics import METRICS, default_metric
from study.models import MODELS
from study.plan import TrialPlan
from study.records.repetition import MEASURED, Recorded
from study.records.trial_folder import RUNNING, TrialFolder
from study.training.pack import Pack
from study.trial.group import TrialGroup
from study.trial.run import run

CPU = torch.device("cpu")
UNIT = 2.0**-23
UPDATES_EACH, EVALUATIONS = 20, 5  # of critic and generator together, at most
LEARNING_RATES = (1e-4, 1e-3, 1e-2)


def moved(*given: Any) -> Pack:
    """A pack whose weights all differ by a unit of float32, up or down, from what they would be."""
    pack = Pack(*given)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for player in (pack.generator, pack.critic):
            for weights in player.parameters:
                up = torch.randint(0, 2, weights.shape, generator=generator) * 2 - 1
                weights.mul_(1 + UNIT * up)
    return pack


def plan_of(number: int, precision: str, chosen: Mapping[str, Any]) -> TrialPlan:
    config = TrialConfig.from_dict(chosen)
    iterations = UPDATES_EACH // (config.n_critic + 1)
    eval_kimg = iterations * config.n_critic * config.batch_size / 1000
    return TrialPlan(
        study="rounding",
        space="rounding",
        trial_id=f"rounding-{number:05d}",
        config=config,
        seeds=(0, 1),
        study_seed=0,
        kimg=EVALUATIONS * eval_kimg,
        eval_kimg=eval_kimg,
        metric=default_metric(config.dataset),
        aggregate="mean",
        precision=precision,
        keep_best=False,
    )


async def train_together(plans: list[TrialPlan], folders: list[TrialFolder]) -> None:
    group = TrialGroup(CPU)

    async def to_its_end(plan: TrialPlan, folder: TrialFolder) -> None:
        await group.begin(plan, folder)
        while (await group.next(plan.trial_id))[0].state == RUNNING:
            await asyncio.sleep(0)

    await asyncio.gather(*map(to_its_end, plans, folders))


def growth(own: TrialFolder, other: TrialFolder) -> list[float]:
    """The largest share so far, at each evaluation after the first."""
    recorded, again = Recorded(own.rows(), (0, 1)), other.rows()
    largest, found = 0.0, []
    for evaluation in list(recorded.rows)[1:]:
        rows = [row for row in again if row["evaluation"] == evaluation]
        shares = [d.share for d in recorded.differences(evaluation, rows) if d.column in MEASURED]
        largest = max(largest, *shares, 0.0)
        found.append(largest)
    return found


def line(dataset: str, model: str, precision: str, lr: float) -> str:
    chosen = {"dataset": dataset, "model": model, "lr_g": lr, "lr_d": lr}
    plan = plan_of(0, precision, chosen)
    companions = [plan_of(n, precision, chosen | {"lr_g": lr / (1 + n)}) for n in (1, 2)]
    with tempfile.TemporaryDirectory() as path:

        def folder(name: str, of: TrialPlan = plan) -> TrialFolder:
            return TrialFolder(Path(path) / name / of.trial_id)

        list(run(plan, folder("alone"), CPU))
        with mock.patch("study.trial.run.Pack", moved):
            list(run(plan, folder("moved"), CPU))
        packed = [plan, *companions]
        asyncio.run(train_together(packed, [folder("packed", of) for of in packed]))
        cells = [f"{share:.1e}" for share in growth(folder("alone"), folder("moved"))]
        cells.append(f"{growth(folder('alone'), folder('packed'))[-1]:.1e}")
    return f"| {' | '.join([dataset, model, precision, f'{lr:g}', *cells])} |"


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.rounding")
    p.add_argument("--dataset", nargs="+", choices=("ring8", "digits"), default=["ring8", "digits"])
    options = p.parse_args()
    torch.set_num_threads(1)
    METRICS["w1"] = replace(METRICS["w1"], samples={"points": 50})  # it is not what is compared, and is dear
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"{detect().cpu_name} ({capability}), torch {torch.__version__}\n")
    heads = [f"{UPDATES_EACH * (1 + n)} updates" for n in range(EVALUATIONS)]
    head = ["data", "model", "precision", "lr", *heads, f"in a pack, {UPDATES_EACH * EVALUATIONS} updates"]
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    settings = itertools.product(options.dataset, MODELS, ("fp32", "bf16"), LEARNING_RATES)
    for setting in settings:
        print(line(*setting), flush=True)


if __name__ == "__main__":
    main()
