"""Train one configuration with several seeds, without Ray or Optuna; also a W&B sweep's program.

python -m study.train --model wgan_gp --lr-g 1e-3 --lr-d 1e-3
"""

if __name__ == "__main__":  # before all that takes its time to be imported
    from study.signals import end_at_once

    end_at_once()

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from study.command import (
    NOTHING_COMPLETED,
    OK,
    STOPPED,
    Parser,
    add_shared,
    begin,
    check_model_of,
    folder_here,
    positive,
    run_command,
    use_data_folder,
    use_plugins,
    whole_at_least,
    with_plugins,
)
from study.config import TrialConfig
from study.data import DATASETS, KINDS, check_contents, dataset_named, facts, file_name, prepare
from study.declared import describe
from study.errors import StoppedError, UserError
from study.machine.files import full_disk, is_full
from study.machine.hardware import detect
from study.machine.precision import resolve
from study.metrics import METRICS, check_metric, default_metric
from study.models import MODELS, hyperparameters
from study.plan import EVALUATIONS, WANDB_MODES, TrialPlan, check_study_name
from study.plugins import check_same
from study.records.schema import Row
from study.records.spool import SpoolError
from study.records.study_folder import StudyFolder, check_own
from study.records.trial_folder import TrialFolder
from study.replay import replay
from study.reporting.tracking import Tracker, config_of
from study.signals import INTERRUPTED

PROGRAM = "python -m study.train"
TRACKER_SECONDS = 60.0
TRACKER_SECONDS_INTERRUPTED = 10.0  # whoever sends SIGTERM kills a while later; W&B's agent after 30 s


def parser() -> argparse.ArgumentParser:
    """The command line of study.train; each hyperparameter as --lr-g or --lr_g."""
    p = Parser(
        prog=PROGRAM,
        description=__doc__.split("\n\n")[0],
        examples=(
            "python -m study.train --model wgan_gp --lr-g 1e-3 --lr-d 1e-3",
            "python -m study.train --model dcgan --dataset array:points.npy --seeds 4 --kimg 200",
        ),
    )
    budgets = ", ".join(f"{kind.kimg:g} for {name}" for name, kind in KINDS.items())
    default_metrics = [name for name, metric in METRICS.items() if metric.is_default]
    p.add_argument("--resume", type=Path, metavar="FOLDER", help="continue the trial in this folder")
    p.add_argument(
        "--replay",
        type=Path,
        metavar="FOLDER",
        help="train the trial in this folder again, up to where it stopped, and compare row by row; status 1 "
        "where it differs. The folder is left as it is",
    )
    p.add_argument("--seeds", type=whole_at_least(1), default=2, help="seeds; each seed trains one GAN")
    add_shared(p, "--seed")
    p.add_argument(
        "--kimg",
        type=positive,
        help=f"training budget: thousands of real images (or points) per seed (default: {budgets})",
    )
    add_shared(p, "--eval-kimg")
    p.add_argument("--metric", help=f"metric to score (default: {' or '.join(default_metrics)}, by the data)")
    add_shared(p, "--aggregate")
    p.add_argument("--results", type=folder_here, default=Path("results"), help="folder of the results")
    p.add_argument("--name", default="train", help="name of the study that the trial is filed under")
    add_shared(p, "--keep-best")
    add_shared(p, "--precision")
    p.add_argument(
        "--threads",
        type=whole_at_least(1),
        help="CPU threads (default: torch's choice; with --resume and --replay the trial's)",
    )
    p.add_argument(
        "--wandb",
        choices=WANDB_MODES,
        default="auto" if "WANDB_SWEEP_ID" in os.environ else "disabled",
        help="Weights & Biases; by default on only under a sweep's agent",
    )
    add_shared(p, "--wandb-project")
    group = p.add_argument_group("hyperparameters (defaults depend on model and data)")
    titles = "; ".join(f"{name}: {model.title}" for name, model in MODELS.items()).replace("%", "%%")
    group.add_argument("--model", help=f"{titles} (default: {MODELS.default.name})")
    add_shared(group, "--dataset", "--side", "--data-dir")
    add_shared(p, "--plugin")
    for name, hyperparameter in hyperparameters().items():
        group.add_argument(
            *dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"]),
            dest=name,
            type=hyperparameter.type,
            metavar=hyperparameter.type.__name__.upper(),
            help=f"{hyperparameter.meaning}; {hyperparameter.describe()}".replace("%", "%%"),
        )
    return p


def plan_from(options: argparse.Namespace) -> TrialPlan:
    """Validated options -> a plan. Raises UserError."""
    chosen = {name: getattr(options, name) for name in ("model", "dataset", *hyperparameters())}
    TrialConfig.from_dict({**chosen, "dataset": None})  # what is wrong beside the data is said at once
    dataset = prepare(options.dataset or DATASETS.default.name, side=options.side)
    config = TrialConfig.from_dict({**chosen, "dataset": dataset.name})
    kimg = options.kimg or dataset.kimg
    hardware = detect()
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return TrialPlan(
        study=check_study_name(options.name),
        space="train",
        trial_id=f"{config.model}-{file_name(config.dataset)}-{stamp}",
        config=config,
        seeds=tuple(range(options.seeds)),
        study_seed=options.seed,
        kimg=kimg,
        eval_kimg=options.eval_kimg or kimg / EVALUATIONS,
        metric=check_metric(options.metric or default_metric(config.dataset), config.dataset),
        aggregate=options.aggregate,
        precision=resolve(
            options.precision,
            config.kind in MODELS[config.model].bf16_kinds,
            hardware.bf16(len(hardware.gpus)),
        ),
        fingerprint=facts(dataset)[0],
        declared=describe(dataset.name, [config.model]),
        keep_best=options.keep_best,
        plugins=[plugin.recorded() for plugin in options.plugin],
    )


def _known_trial(
    path: Path, options: argparse.Namespace, flag: str, *more: str
) -> tuple[TrialPlan, TrialFolder]:
    """The trial that a flag names; its code and data are here.

    Raises UserError: they aren't, or an option is given that a trial which has begun can't take any more.
    """
    p = parser()
    allowed = (flag, "threads", "data_dir", "plugin", *more)
    changed = [k for k, v in vars(options).items() if k not in allowed and v != p.get_default(k)]
    if changed:
        flags = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise UserError(
            f"{flags} can't be changed by --{flag}: the trial keeps the settings that it started with"
        )
    folder = TrialFolder(path.resolve())
    try:
        plan = folder.plan()
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is not a trial's folder: {error}") from error
    check_same(options.plugin, plan.plugins, plan.trial_id)
    if flag == "resume":
        check_own(folder.path)
        if os.path.lexists(folder.judges):
            check_own(folder.judges, itself=True)
        if folder.ending() is not None:
            raise UserError(f"{path} has ended: nothing is left to train")
        _check_nobody_has(folder)
    check_contents(plan.config.dataset, plan.fingerprint)
    return plan, folder


def _check_nobody_has(folder: TrialFolder) -> None:
    """Raise UserError where another process trains it, which would have to leave it, or runs its study."""
    if StudyFolder(folder.study).is_running():
        raise UserError(f"{folder.path} belongs to a study that is being run by another process")
    try:
        with folder.lock().acquire(timeout=0):
            pass
    except Timeout as error:
        raise UserError(f"{folder.path} is being trained by another process") from error
    except OSError as error:
        raise UserError(f"{folder.path} can't be written: {error.strerror}") from error


def _here(plan: TrialPlan, threads: int | None) -> TrialPlan:
    """A new trial's plan, with what this process will train it on."""
    import torch

    from study.trial.run import default_device

    return replace(plan, threads=threads or torch.get_num_threads(), device=default_device().type)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, printing a line per evaluation."""
    plugins = use_plugins(arguments, PROGRAM)
    options: Any = parser().parse_args(arguments)
    options.plugin = plugins
    use_data_folder(options.data_dir)
    if options.replay:
        plan, folder = _known_trial(options.replay, options, "replay")
        print(f"{folder.path}")
        return replay(plan, folder, options.threads)
    if options.resume:
        plan, folder = _known_trial(options.resume, options, "resume", "wandb", "wandb_project")
    else:
        plan = plan_from(options)
        for line in check_model_of(plan.config):
            print(line)
        plan = _here(plan, options.threads)
        folder = TrialFolder(options.results / plan.study / "trials" / plan.trial_id)
    begin("study.trial.run")
    if not options.resume:
        try:
            folder.create(plan)
        except OSError as error:
            raise UserError(f"{folder.path} can't be written: {error.strerror}") from error
    print(f"{folder.path}")
    for line in facts(dataset_named(plan.config.dataset))[1]:
        print(line)
    command = with_plugins(f"{PROGRAM} --resume {folder.path}", plan.plugins)
    try:
        return _train(plan, folder, options)
    except KeyboardInterrupt:
        print(f"interrupted; continue with: {command}")
        return INTERRUPTED
    except StoppedError as error:
        print(f"error: {error}", file=sys.stderr)
        print(f"not finished; continue with: {command}")
        return STOPPED


def _train(plan: TrialPlan, folder: TrialFolder, options: argparse.Namespace) -> int:
    """Raises StoppedError: there is no space left; what was trained is kept."""
    import torch

    from study.trial.run import default_device, run

    if threads := options.threads or plan.threads:
        torch.set_num_threads(threads)
    device = default_device()
    print(
        f"{len(plan.seeds)} seeds of {plan.config.model} on {plan.config.dataset}, {device}, {plan.precision}"
    )
    if dataset_named(plan.config.dataset).is_classified:
        print("preparing the classifier that judges samples (trained once, then kept) ...", flush=True)
    study = StudyFolder(folder.path.parents[1])
    tracker = Tracker(options.wandb, study.path, options.wandb_project, plan.study)
    tracker.start(plan.trial_id, config_of(plan.to_dict()))
    divergences: list[str] = []
    try:
        for evaluation in run(plan, folder, device):
            summary = evaluation.summary()
            divergences = [
                f"seed {row['seed']} diverged at kimg {row['diverged_at_kimg']:g}: {row['reason']}"
                for row in evaluation.rows
                if row["diverged"]
            ]
            if evaluation.evaluation > 0:  # W&B's Hyperband counts rows, and would stop an untrained one
                tracker.log(plan.trial_id, summary, step=evaluation.evaluation, image=evaluation.image)
            print(
                f"kimg {evaluation.kimg:9.2f}  objective {evaluation.objective:10.4f}  "
                + "  ".join(f"{name} {value:.4g}" for name, value in summary.items() if name in METRICS),
                f" diverged {summary['diverged_seeds']}/{len(plan.seeds)}",
                flush=True,
            )
            if evaluation.evaluation == 0 and folder.best.exists():
                print(folder.cost_of_best())
    except Exception as error:
        if is_full(error):
            raise StoppedError(full_disk(folder.path)) from error
        folder.record_fault(traceback.format_exc())
        print(f"error: the trial failed: {error}; the traceback is in {folder.path}", file=sys.stderr)
    finally:
        ending = folder.ending()
        state = ending.state if ending else "interrupted"
        if options.wandb != "disabled":
            tracker.finish(plan.trial_id, state, _row(study, plan.trial_id))
        tracker.close(TRACKER_SECONDS if ending else TRACKER_SECONDS_INTERRUPTED)
    for divergence in divergences:
        print(divergence)
    print(f"{state}: {folder.path}")
    return OK if state == "completed" else NOTHING_COMPLETED


def _row(study: StudyFolder, trial_id: str) -> Row:
    """What the trials table will have of the trial."""
    from study.records.tables import Results  # not above: it takes half a second

    try:
        results = Results(study)
        results.add(trial_id)
    except SpoolError as error:  # a disk that is full is told of, too, by whoever found that out
        print(f"W&B gets no last row: {error}", file=sys.stderr)
        return {}
    return results.trial_row(trial_id)


if __name__ == "__main__":
    sys.exit(run_command(main))
