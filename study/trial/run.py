"""One trial: train its pack, evaluate every member, write its folder. No Ray, Optuna or W&B."""

import math
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from study.data import load
from study.errors import UserError
from study.machine.arithmetic import settle
from study.machine.clock import now
from study.machine.environment import environment
from study.machine.memory import keep_freed_memory
from study.metrics import METRICS
from study.metrics.judge.evaluator import Evaluator, evaluator_for
from study.metrics.stability import clamp_score
from study.networks.ordinary import Ordinary
from study.plan import TrialPlan
from study.records.objective import is_best_yet, objective, rank
from study.records.sample_arrays import save_arrays
from study.records.schema import Row
from study.records.trial_folder import RUNNING, Ending, TrialFolder
from study.reporting.pictures import save_samples
from study.reporting.timing import Timing
from study.training import checkpoint
from study.training.members import member
from study.training.pack import Pack
from study.training.schedule import Progress, is_finished, schedule
from study.training.trainer import Due, carry_out
from study.trial.evaluation import Evaluation


def default_device() -> torch.device:
    """The first GPU that this process may use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def run(
    plan: TrialPlan, folder: TrialFolder, device: torch.device, timing: Timing | None = None
) -> Generator[Evaluation]:
    """Run a trial from its last checkpoint, or from the start, yielding every evaluation.

    When it ends by itself (budget or divergence) its marker is written before the last
    evaluation is yielded. A caller that stops listening earlier writes the marker, if any.
    The time goes to parts of `timing`.

    Raises:
        filelock.Timeout: another process is training this trial.
        GivenAwayError: another process has taken it on.
        RuntimeError: its checkpoint is one of another trial.
    """
    return carry_out(steps(plan, folder, device, timing or Timing("next_trial")))


def steps(
    plan: TrialPlan, folder: TrialFolder, device: torch.device, timing: Timing
) -> Iterator[Due | Evaluation]:
    """The same, but the training is left to the caller, between a `Due` and what comes next."""
    with ExitStack() as locked:
        with timing.part("build"):
            folder.create(plan)
            keep_freed_memory()
            settle(device)
            folder.claim()
            locked.enter_context(folder.lock())
            data = load(plan.config.dataset, device)
            if data.fingerprint != plan.fingerprint.get("sha256", data.fingerprint):
                raise UserError(f"the data of {plan.config.dataset} are not those that the trial began with")
            evaluator = evaluator_for(plan.config.dataset, device, folder.judges)
            pack, note = _continued(plan, folder, data.sample_shape, device)
            history = folder.keep_rows_before(pack.next_evaluation)
            computing = {**environment(device), "companions": list(plan.companions)}
            folder.add_environment(computing, pack.next_evaluation)
        if history:
            # Killed between the last checkpoint and the marker: nothing is left to train.
            ended = _judge(plan, history, is_finished(pack, plan.kimg))
            if ended.state != RUNNING:
                folder.finish(_ending(ended))
                yield ended
                return

        for event in schedule(pack, data.train, plan.kimg, plan.eval_kimg):
            if isinstance(event, Due):
                with timing.part("train"):
                    yield event
                continue
            with timing.part("evaluate"):
                rows, image = _evaluate(pack, plan, event, evaluator, history, folder)
            with timing.part("record"):
                history += rows
                folder.append(rows)
            with timing.part("checkpoint"):
                folder.check_still_mine()
                if plan.keep_best and is_best_yet(plan, history):
                    checkpoint.save_networks(pack, event.evaluation, folder.best)
                checkpoint.save(pack, folder.checkpoint)
            with timing.part("record"):
                evaluation = _judge(plan, history, is_finished(pack, plan.kimg), image, note)
                note = ""
                if evaluation.state != RUNNING:
                    folder.finish(_ending(evaluation))
            with timing.part("report" if evaluation.state == RUNNING else "next_trial"):
                yield evaluation


def _continued(
    plan: TrialPlan, folder: TrialFolder, sample_shape: tuple[int, ...], device: torch.device
) -> tuple[Pack, str]:
    """The trial's pack as its checkpoint has it; where that is damaged or lost a new one, and what to say."""

    def new() -> Pack:
        seeds = plan.seeds
        return Pack([plan.config] * len(seeds), seeds, plan.study_seed, sample_shape, device, plan.precision)

    pack = new()
    if folder.checkpoint.exists():
        try:
            checkpoint.load(pack, folder.checkpoint)
        except checkpoint.DamagedError as error:
            folder.checkpoint.unlink()
            return new(), f"{' '.join(str(error).split())}; it begins again"
    elif len(folder.rows()) > len(plan.seeds):  # one evaluation may be ahead of its checkpoint
        return pack, f"{folder.checkpoint} is not there any more; it begins again"
    return pack, ""


def _evaluate(
    pack: Pack,
    plan: TrialPlan,
    progress: Progress,
    evaluator: Evaluator,
    history: Sequence[Row],
    folder: TrialFolder,
) -> tuple[list[Row], Path]:
    """Sample every member, draw the picture, and make one row per seed."""
    start = time.perf_counter()
    samples = pack.sample(evaluator.samples)
    pack.record_critic_statistics(evaluator.real)
    divergences = pack.watch.divergences(plan.config.batch_size)
    last = progress.finished or progress.evaluation == 0
    nothing: tuple[dict[str, float | None], None] = ({}, None)
    judged = [
        evaluator.with_modes(own, _critic(pack, k), last=last) if divergences[k] is None else nothing
        for k, own in enumerate(samples)
    ]
    image = folder.samples / f"{progress.evaluation:04d}.png"
    save_samples(samples, evaluator.arrays, image)
    save_arrays(samples, evaluator.arrays, image.with_suffix(".npz"))
    eval_seconds, evaluated = time.perf_counter() - start, now()

    prices = _prices(plan, history, [values for values, _ in judged])
    rows = []
    for k, (seed, divergence) in enumerate(zip(plan.seeds, divergences, strict=True)):
        values, mode_counts = judged[k]
        row = {
            "seed": seed,
            "evaluation": progress.evaluation,
            "evaluated": evaluated,
            "host": socket.gethostname(),
            "kimg": progress.kimg,
            "critic_updates": progress.critic_updates,
            "generator_updates": progress.generator_updates,
            "train_seconds": progress.train_seconds,
            "eval_seconds": eval_seconds,
            "score": clamp_score(values.get(plan.metric), prices[k], METRICS[plan.metric].higher_is_better),
            **{name: _none_if_nan(means[k]) for name, means in progress.means.items()},
            "diverged": divergence is not None,
            "diverged_at_kimg": divergence.kimg if divergence else None,
            "reason": divergence.reason if divergence else None,
            "mode_counts": mode_counts,
        }
        rows.append(row | {metric.name: values.get(metric.name) for metric in evaluator.metrics})
    return rows, image


def _prices(
    plan: TrialPlan, history: Sequence[Row], metrics: Sequence[Mapping[str, float | None]]
) -> list[float]:
    """What each seed scores once it has diverged, and worse than which it never scores.

    Of its untrained value and the metric's worst, where there is one, the worse. A seed that has neither
    takes the worst of the others. `metrics`: of each seed, where there is no history yet.

    Raises RuntimeError: there is none for any seed.
    """
    chosen = METRICS[plan.metric]
    worse = min if chosen.higher_is_better else max
    untrained = [row for row in history if row["evaluation"] == 0] or metrics
    known = [
        [value for value in (row.get(plan.metric), chosen.worst) if value is not None] for row in untrained
    ]
    everybody = [value for own in known for value in own]
    if not everybody:
        raise RuntimeError(
            f"no seed has a finite {plan.metric} before training, and it declares no worst value"
        )
    return [worse(own or everybody) for own in known]


def _critic(pack: Pack, k: int) -> Callable[[Tensor], Tensor]:
    """Member k's critic, samples (n, ...) -> scores (n,); held alone from when it is first called."""

    @cache
    def network() -> nn.Module:
        own = member(pack, k).critic.network.requires_grad_(False)
        return own.judge() if isinstance(own, Ordinary) else own

    return lambda samples: network()(samples[None])[0]


def _judge(
    plan: TrialPlan, history: Sequence[Row], finished: bool, image: Path | None = None, note: str = ""
) -> Evaluation:
    """What the trial has come to after the last evaluation in `history`."""
    last = [row for row in history if row["evaluation"] == history[-1]["evaluation"]]
    kimg = last[0]["kimg"]
    state, ended_by = RUNNING, ""
    if all(row["diverged"] for row in last):
        state, ended_by = "diverged", "divergence"
    elif finished:
        state, ended_by = "completed", "budget"
    return Evaluation(
        evaluation=last[0]["evaluation"],
        kimg=kimg,
        rows=last,
        objective=objective(plan, last),
        rank=rank(plan, last),
        state=state,
        ended_by=ended_by,
        image=image,
        note=note,
    )


def _ending(evaluation: Evaluation) -> Ending:
    return Ending(
        state=evaluation.state,
        ended_by=evaluation.ended_by,
        kimg=evaluation.kimg,
        objective=evaluation.objective,
    )


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
