"""How early does a ranking tell the final one? Rank correlation of early evaluations with the last.

python -m tests.benchmarks.rungs [--configurations 20] [--json FILE]

Random configurations of WGAN-GP on digits, a seed each, are trained to the end. Each is looked at where a
rung would judge it: when it has seen so many kimg and its generator has made so many updates. Those that make
fewer than 150 updates in all are left out, so that every figure is of the same configurations.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from optuna.storages import InMemoryStorage
from scipy.stats import spearmanr

from study.plan import TrialPlan, trial_id
from study.records.trial_folder import TrialFolder
from study.runner.search import Search
from study.space import find_space, read_space
from study.trial.run import run

UPDATES = (0, 10, 20, 35, 50, 75, 100, 150)
KIMG = (0.0, 3.3, 10.0)
KIMG_IN_ALL, EVALUATIONS = 30.0, 27
Curve = Sequence[tuple[float, int, float]]  # kimg, generator updates, rank (lower is better)


def curves(configurations: int) -> list[Curve]:
    """Train random configurations of the space; of each its curve without the evaluation before training."""
    space = read_space(find_space("wgan_gp"))
    search = Search(space, InMemoryStorage(), "random", 0, False, configurations)
    found: list[Curve] = []
    for number in range(configurations):
        plan = TrialPlan.from_dict(
            {
                "study": "rungs", "space": "wgan_gp", "trial_id": trial_id("wgan_gp", number),
                "config": {**search.ask().hyperparameters, "dataset": "digits"}, "seeds": [0],
                "study_seed": 0, "kimg": KIMG_IN_ALL, "eval_kimg": KIMG_IN_ALL / EVALUATIONS,
                "metric": "fd", "aggregate": "mean",
            }
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as temporary:
            folder = TrialFolder(Path(temporary) / "trials" / plan.trial_id)
            seen = list(run(plan, folder, torch.device("cpu")))[1:]
        found.append([(e.kimg, e.rows[0]["generator_updates"], e.rank) for e in seen])
        print(number, found[-1][-1], flush=True)
    return found


def correlation(found: Sequence[Curve], kimg: float, updates: int) -> float:
    """Spearman's, of the first evaluations that have as many of both with the last ones."""
    early = [next(at for at in curve if at[0] >= kimg and at[1] >= updates) for curve in found]
    return float(spearmanr([at[2] for at in early], [curve[-1][2] for curve in found]).statistic)


def main() -> None:
    p = argparse.ArgumentParser(prog="python -m tests.benchmarks.rungs")
    p.add_argument("--configurations", type=int, default=20)
    p.add_argument("--json", type=Path)
    options = p.parse_args()
    torch.set_num_threads(1)
    found = curves(options.configurations)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    long = [curve for curve in found if curve[-1][1] >= max(UPDATES)]
    print(f"{len(long)} of {len(found)} configurations; rows: updates, columns: kimg", *KIMG)
    for updates in UPDATES:
        print(f"{updates:4}", *(f"{correlation(long, kimg, updates):6.2f}" for kimg in KIMG))


if __name__ == "__main__":
    main()
