"""What it costs a node that does not have the study's folder that its trials' files travel, per evaluation.

python -m tests.benchmarks.travel [--evaluations 9]

A real trial of the default study on digits, in a scratch folder: its files go through Ray to the actor that
keeps the study's folder, in another process of this machine. The network's own time is not in it: that is the
bytes, divided by what a network carries.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from study.plan import StudyPlan
from study.space import find_space, read_space
from tests.studies import study_plan

SEEDS = 2


def plan_of(evaluations: int) -> StudyPlan:
    space = read_space(find_space("wgan_gp"))
    return study_plan(
        name="travel",
        spaces={space.name: space.document},
        dataset="digits",
        metric="fd",
        seeds=SEEDS,
        kimg=float(evaluations),
        eval_kimg=1.0,
    )


def measure(plan: StudyPlan) -> tuple[list[float], list[int], list[float]]:
    """Of each evaluation the seconds until its files were at home, their bytes, and the seconds before."""
    import ray

    from study.records.study_folder import StudyFolder
    from study.records.travel import Stamp, stamps
    from study.runner.cluster import keep
    from study.runner.workplace import Workplace
    from study.trial.run import run

    sent, sizes, trained = list[float](), list[int](), list[float]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = StudyFolder(Path(temporary) / "travel")
        folder.create(plan, [], {})
        (space,) = plan.spaces
        trial = plan.trial(space, 0, read_space(find_space(space)).middle())
        folder.trial(trial.trial_id).create(trial)
        home, _ = keep(folder)
        place = Workplace(replace(home, marker="of another machine"))
        own = place.begin(trial.trial_id)
        before = time.perf_counter()
        known: dict[str, Stamp] = {}
        for _ in run(trial, own, torch.device("cpu")):
            now = stamps(own.path)
            sizes.append(sum(stamp.size for name, stamp in now.items() if known.get(name) != stamp))
            known = now
            began = time.perf_counter()
            place.send(trial.trial_id)
            ended = time.perf_counter()
            trained.append(began - before)
            sent.append(ended - began)
            before = time.perf_counter()
        assert len(folder.trial(trial.trial_id).rows()) == SEEDS * len(sent)
        ray.shutdown()
    return sent, sizes, trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--evaluations", type=int, default=9)
    options = parser.parse_args()
    from study.runner.environment import prepare

    prepare(None)
    from study.runner.cluster import start

    plan = plan_of(options.evaluations)
    start(plan)
    sent, sizes, trained = measure(plan)
    low, middle, high = min(sent[1:]), statistics.median(sent[1:]), max(sent[1:])
    print(f"{len(sent)} evaluations of {SEEDS} seeds; after the first, of each:")
    size = f"{statistics.median(sizes[1:]) / 1e6:.2f} MB"
    print(f"sending {size}: {1e3 * middle:.0f} ms ({1e3 * low:.0f} to {1e3 * high:.0f})")
    print(f"training and evaluating before it: {statistics.median(trained[1:]):.2f} s a kimg")


if __name__ == "__main__":
    main()
