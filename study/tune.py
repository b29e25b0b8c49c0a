"""Tune GANs: one study over one or more search spaces on one dataset.

python -m study.tune --space wgan_gp
"""

if __name__ == "__main__":  # before all that takes its time to be imported
    from study.signals import end_at_once

    end_at_once()

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.command import (
    NOTHING_COMPLETED,
    OK,
    STOPPED,
    Parser,
    add_shared,
    begin,
    check_model_of,
    folder_here,
    not_negative,
    positive,
    run_command,
    use_data_folder,
    use_plugins,
    whole_at_least,
    with_plugins,
)
from study.config import TrialConfig
from study.data import DATASETS, check_contents, facts, file_name, prepare
from study.declared import describe
from study.errors import StoppedError, UserError
from study.machine.files import full_disk, is_full
from study.machine.hardware import Hardware, detect
from study.machine.precision import resolve
from study.metrics import METRICS, check_metric, default_metric
from study.models import MODELS
from study.plan import (
    EVALUATIONS,
    MIN_UPDATES,
    PACKS,
    RETRIES,
    SAMPLERS,
    SCHEDULERS,
    TRIALS_OF_A_MAP,
    WANDB_MODES,
    StudyPlan,
    check_study_name,
)
from study.plugins import check_same
from study.records.belonging import check_trials
from study.records.remote_folder import is_url
from study.records.remote_study import check_mirror, fetch, read_copy
from study.records.study_folder import StudyFolder, command_line
from study.reporting.timing import StudyCost, Timing
from study.resources import default_resources, default_seeds, default_trials, resolve_resources
from study.signals import INTERRUPTED

if TYPE_CHECKING:
    from study.space import Space

PROGRAM = "python -m study.tune"
SAMPLER_OF_METHOD = {"bayes": "tpe", "random": "random", "grid": "grid"}
LAUNCHER = "GAN_STUDY_LAUNCHER"  # in the environment: the command that started this one, with its cluster
NO_MIRROR = "none"  # what --mirror says to a resumed study
MAPPED_BY = {"bayes": "qmc", "random": "qmc", "grid": "grid"}


def parser() -> argparse.ArgumentParser:
    """The command line of study.tune."""
    p = Parser(
        prog=PROGRAM,
        description=__doc__.split("\n\n")[0],
        examples=(
            "python -m study.tune --space wgan_gp",
            "python -m study.tune --space dcgan wgan_gp --dataset folder:~/pictures --trials 20 --kimg 100",
            "python -m study.tune --resume results/<study>",
            "python -m study.tune --space wgan_gp --mirror s3://bucket/study",
        ),
    )
    what = p.add_argument_group("what to study")
    what.add_argument(
        "--space", nargs="+", metavar="SPACE", help="search spaces: names in search_spaces/, or YAML files"
    )
    add_shared(what, "--dataset", "--side", "--data-dir", "--plugin")
    what.add_argument(
        "--map",
        action="store_true",
        help="map the spaces instead of looking for their best: configurations spread evenly (QMC, or a "
        "space's grid), every trial trained to its end",
    )
    what.add_argument("--metric", help="metric to optimise (default: the space's metric)")
    add_shared(what, "--aggregate")
    what.add_argument(
        "--resume",
        metavar="FOLDER|URL",
        help="finish or extend the study in this folder, or the one that --mirror copied to this URL: it is "
        "fetched into --results",
    )
    size = p.add_argument_group("how much (defaults follow the hardware)")
    size.add_argument(
        "--trials", type=whole_at_least(1), help="number of trials of each space (default: by the hardware)"
    )
    size.add_argument(
        "--seeds",
        type=whole_at_least(1),
        help="seeds per trial; each seed trains one GAN (default: by the hardware)",
    )
    size.add_argument(
        "--kimg",
        type=positive,
        help="training budget: thousands of real images (or points) per seed (default: by the dataset)",
    )
    add_shared(size, "--eval-kimg", "--seed")
    how = p.add_argument_group("how")
    how.add_argument(
        "--sampler", choices=SAMPLERS, help="how configurations are proposed (default: by the space's method)"
    )
    how.add_argument(
        "--scheduler",
        choices=SCHEDULERS,
        help="how trials are stopped early; fifo: never (default: by the space's early_terminate)",
    )
    how.add_argument(
        "--min-updates",
        type=whole_at_least(1),
        default=MIN_UPDATES,
        help="generator updates before which asha stops no trial",
    )
    how.add_argument(
        "--concurrency",
        type=whole_at_least(1),
        help="training processes at a time (default: by the hardware)",
    )
    how.add_argument(
        "--cpus-per-trial",
        type=positive,
        help="CPUs (and threads) per training process (default: by the hardware)",
    )
    how.add_argument(
        "--gpus-per-trial",
        type=not_negative,
        help="GPUs per training process; fractions share a GPU (default: by the hardware)",
    )
    how.add_argument(
        "--pack",
        type=_pack,
        metavar="{trial,auto,N}",
        help="how many GANs train as one program: trial: the seeds of one trial (default on a CPU); N: those "
        "of several trials of one shape; auto: as many as is fastest and fits (default on a GPU)",
    )
    add_shared(how, "--precision")
    how.add_argument(
        "--retries",
        type=whole_at_least(0),
        metavar="N",
        help=f"how often a trial whose process dies goes on from its last checkpoint (default: {RETRIES})",
    )
    how.add_argument(
        "--retry-failed", action="store_true", help="with --resume: go on with the trials that failed, too"
    )
    how.add_argument(
        "--address", help="join a running Ray cluster: 'auto' or host:port (default: this machine alone)"
    )
    how.add_argument(
        "--nodes",
        type=whole_at_least(1),
        metavar="N",
        help="with --address: begin when so many of its nodes that have CPUs are there (default: 1)",
    )
    where = p.add_argument_group("where results go")
    where.add_argument(
        "--results", type=folder_here, default=Path("results"), help="folder that holds all studies"
    )
    where.add_argument(
        "--mirror",
        metavar="URL",
        help="copy the study as it runs (but not W&B's files) to s3://bucket/path, gs://... or any file "
        "system that pyarrow knows, with credentials from the environment: --resume URL goes on from there "
        "on another machine; with --resume, 'none' ends it",
    )
    where.add_argument(
        "--report", action="store_true", help="make the report when the study has ended (analysis.report)"
    )
    where.add_argument("--name", help="name of the study (default: spaces, dataset and time)")
    add_shared(where, "--keep-best")
    where.add_argument(
        "--wandb",
        choices=WANDB_MODES,
        default="auto",
        help="Weights & Biases; auto: online if you are logged in, else offline",
    )
    add_shared(where, "--wandb-project")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or resume a study; the exit status is the command's."""
    timing = Timing("books")
    plugins = use_plugins(arguments, PROGRAM)
    p = parser()
    options: Any = p.parse_args(arguments)
    options.plugin = plugins
    if bool(options.space) == bool(options.resume):
        p.error("give either --space, for a new study, or --resume, to finish one")
    if options.retry_failed and not options.resume:
        p.error("--retry-failed goes with --resume")
    if options.nodes and not options.address:
        p.error("--nodes goes with --address")
    use_data_folder(options.data_dir)
    if options.resume:
        return _resume(options, p, timing)
    return _start(options, timing)


def _start(options: argparse.Namespace, timing: Timing) -> int:
    from study.runner.environment import check_stays
    from study.space import find_space, read_space

    spaces = [read_space(find_space(name)) for name in options.space]
    names = [space.name for space in spaces]
    if len(set(names)) != len(names):
        raise UserError(f"the spaces {', '.join(names)} need different names")
    check_stays(options.results)
    hardware = _hardware(options.address, options.nodes)
    plan = plan_from(options, spaces, hardware)
    _check_models(plan, spaces)
    folder = StudyFolder(options.results / plan.name)
    if plan.mirror is not None and not folder.path.exists():
        check_mirror(plan.mirror, folder, None, may_begin=True)
    begin("study.runner.run")
    folder.create(plan, command_line(), hardware.to_dict())
    return _run(plan, folder, spaces, hardware, timing, options)


def _resume(options: argparse.Namespace, p: argparse.ArgumentParser, timing: Timing) -> int:
    from study.runner.environment import check_stays
    from study.space import parse_space

    folder, record, plan, url = _to_resume(options)
    check_stays(folder.path)
    check_same(options.plugin, plan.plugins, plan.name)
    check_contents(plan.dataset, plan.fingerprint)
    if not plan.spaces:
        raise UserError(f"{folder.path} names no search space")
    spaces = [parse_space(name, document) for name, document in plan.spaces.items()]
    fixed = ("space", "dataset", "side", "metric", "aggregate", "seeds", "kimg", "eval_kimg", "seed",
             "map", "sampler", "scheduler", "min_updates", "precision", "keep_best", "wandb_project",
             "name", *(() if url else ("results",)))  # fmt: skip
    changed = [name for name in fixed if getattr(options, name) != p.get_default(name)]
    if changed:
        flags = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise UserError(
            f"{flags} can't be changed by --resume: {folder.path} keeps the settings that it started with"
        )
    if url is None:
        _check_can_go_on(plan, folder, spaces)
    hardware = _hardware(options.address, options.nodes)
    trials = _extended(plan, spaces, options.trials)
    fallback = plan.resources.within(hardware)
    resources = resolve_resources(vars(options), fallback)
    if bool(resources.gpus_per_trial) != bool(plan.gpus_per_trial):
        where = "on GPUs" if plan.gpus_per_trial else "without GPUs"
        raise UserError(
            f"--gpus-per-trial {resources.gpus_per_trial:g}: {plan.name} started {where}; random numbers "
            f"differ {'on a CPU' if plan.gpus_per_trial else 'on a GPU'}, so it cannot switch"
        )
    resources.check(hardware)
    if resources.concurrency < plan.concurrency and options.concurrency is None:
        print(f"{resources.concurrency} at a time, not {plan.concurrency}: there is no room for more here")
    wandb = options.wandb if options.wandb != p.get_default("wandb") else plan.wandb
    retries = plan.retries if options.retries is None else options.retries
    mirror = _mirror_of_resumed(options.mirror, url or plan.mirror, folder, record)
    begin("study.runner.run")
    if url is not None:
        print(f"fetching {url} ...")
        fetch(url, folder.path)
        _check_can_go_on(plan, folder, spaces)
    plan = replace(
        plan,
        retries=retries,
        trials=trials,
        wandb=wandb,
        address=options.address,
        mirror=mirror,
        **asdict(resources),
    )
    return _run(plan, folder, spaces, hardware, timing, options)


def _to_resume(options: argparse.Namespace) -> tuple[StudyFolder, dict[str, Any], StudyPlan, str | None]:
    """The study's folder, its study.json, the plan in that, and the URL to fetch the folder from, if any.

    Raises UserError.
    """
    if not is_url(options.resume):
        folder = StudyFolder(Path(options.resume))
        return folder, folder.read(), folder.plan(), None
    record, plan = read_copy(options.resume)
    folder = StudyFolder(options.results / plan.name)
    if folder.path.exists():
        raise UserError(
            f"{folder.path} exists already: continue it with --resume {folder.path}, or choose another "
            "folder for --results"
        )
    return folder, record, plan, options.resume


def _check_can_go_on(plan: StudyPlan, folder: StudyFolder, spaces: "Sequence[Space]") -> None:
    """Raises UserError."""
    folder.check_own()
    if not folder.can_go_on():
        raise UserError(
            f"{folder.path} has tables and no trial folders: it can't go on, and is left as it is"
        )
    check_trials(plan, folder, spaces)


def _mirror_of_resumed(
    asked: str | None, known: str | None, folder: StudyFolder, record: dict[str, Any]
) -> str | None:
    """The URL that a resumed study is copied to: as asked for, or as before. Raises UserError."""
    if asked is not None:
        if asked == NO_MIRROR:
            return None
        check_mirror(asked, folder, record, may_begin=True)
        return asked
    if known is not None:
        try:
            check_mirror(known, folder, record, may_begin=False)
        except UserError as error:
            raise UserError(f"{error} (--mirror {NO_MIRROR}: to go on without)") from error
    return known


def _check_models(plan: StudyPlan, spaces: "Sequence[Space]") -> None:
    """Try what users' models in the spaces bring, and say how it is computed. Raises UserError."""
    lines = []
    for space in spaces:
        latent_dim = space.largest().get("latent_dim")
        for model in space.models():
            lines += check_model_of(TrialConfig(model=model, dataset=plan.dataset, latent_dim=latent_dim))
    for line in dict.fromkeys(lines):
        print(line)


def _extended(plan: StudyPlan, spaces: "Sequence[Space]", asked: int | None) -> dict[str, int]:
    """Trials by space after --resume --trials: never fewer than there were."""
    if asked is None:
        return plan.trials
    if asked < max(plan.trials.values()):
        raise UserError(
            f"--trials {asked} is below the {max(plan.trials.values())} per space that {plan.name} has"
        )
    return {s.name: _trials(s, plan.samplers[s.name], asked, asked) for s in spaces}


def plan_from(options: argparse.Namespace, spaces: "Sequence[Space]", hardware: Hardware) -> StudyPlan:
    """Options, spaces and hardware -> the study's plan. Raises UserError."""
    declared = prepare(_dataset(options.dataset, spaces), side=options.side)
    dataset = declared.name
    fingerprint, _ = facts(declared)
    kimg = options.kimg or declared.kimg
    eval_kimg = options.eval_kimg or kimg / EVALUATIONS
    if eval_kimg > kimg:
        raise UserError(f"--eval-kimg {eval_kimg:g} is above the budget of {kimg:g} kimg")
    used = hardware if options.gpus_per_trial != 0 else replace(hardware, gpus=())
    resources = resolve_resources(vars(options), default_resources(used, options.pack))
    resources.check(hardware)
    bf16 = hardware.bf16(resources.gpus_per_trial)
    trials = TRIALS_OF_A_MAP if options.map else default_trials(hardware)
    if options.map and (options.sampler or options.scheduler):
        flag = "--sampler" if options.sampler else "--scheduler"
        raise UserError(f"--map chooses sampler and scheduler itself: leave out {flag}")
    of_method = MAPPED_BY if options.map else SAMPLER_OF_METHOD
    samplers = {s.name: options.sampler or of_method[s.method] for s in spaces}
    early = {s.name: "fifo" if options.map or not s.min_evaluations else "asha" for s in spaces}
    what = f"{_short('+'.join(s.name for s in spaces))}-{_short(file_name(dataset))}"
    automatic = f"{what}-{datetime.now():%Y%m%d-%H%M%S}"
    return StudyPlan(
        name=check_study_name(automatic if options.name is None else options.name),
        spaces={s.name: s.document for s in spaces},
        dataset=dataset,
        metric=_metric(options.metric, spaces, dataset),
        aggregate=options.aggregate,
        samplers=samplers,
        schedulers={name: options.scheduler or scheduler for name, scheduler in early.items()},
        trials={s.name: _trials(s, samplers[s.name], options.trials, trials) for s in spaces},
        seeds=options.seeds or default_seeds(hardware),
        kimg=kimg,
        eval_kimg=eval_kimg,
        seed=options.seed,
        wandb=options.wandb,
        wandb_project=options.wandb_project,
        precision={
            m: resolve(options.precision, declared.kind in MODELS[m].bf16_kinds, bf16)
            for s in spaces
            for m in s.models()
        },
        address=options.address,
        fingerprint=fingerprint,
        declared=describe(dataset, (m for s in spaces for m in s.models())),
        keep_best=options.keep_best,
        plugins=[plugin.recorded() for plugin in options.plugin],
        min_updates=options.min_updates,
        retries=RETRIES if options.retries is None else options.retries,
        mirror=options.mirror,
        **asdict(resources),
    )


def _short(name: str) -> str:
    """A name, or its first hundred bytes."""
    return os.fsencode(name)[:100].decode(errors="ignore")


def _pack(text: str) -> int | str:
    """An argparse type: a word of PACKS or a number of members."""
    if text in PACKS:
        return text
    try:
        return whole_at_least(1)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor {' or '.join(PACKS)}") from None


def _trials(space: "Space", sampler: str, asked: int | None, default: int) -> int:
    """Trials of one space: what was asked for, else its run_cap at most; never more than its grid."""
    if sampler == "grid":
        size = space.grid_size()
        return min(asked or space.run_cap or size, size)
    return asked or min(default, space.run_cap or default)


def _dataset(asked: str | None, spaces: "Sequence[Space]") -> str:
    named: set[str] = {s.constants["dataset"] for s in spaces if "dataset" in s.constants}
    if asked is not None:
        named.add(asked)
    if len(named) > 1:
        raise UserError(f"the spaces (and --dataset) name different datasets: {', '.join(sorted(named))}")
    return named.pop() if named else DATASETS.default.name


def _metric(asked: str | None, spaces: "Sequence[Space]", dataset: str) -> str:
    """The metric asked for, or the one the spaces agree on, checked against the dataset."""
    if asked is not None:
        return check_metric(asked, dataset)
    default = default_metric(dataset)
    named = {default if s.metric == "objective" else s.metric for s in spaces}
    if len(named) > 1:
        raise UserError(f"the spaces have different metrics ({', '.join(sorted(named))}); choose --metric")
    metric = check_metric(named.pop(), dataset)
    for space in spaces:
        goal = "maximize" if METRICS[metric].higher_is_better else "minimize"
        if space.goal != goal:
            raise UserError(f"{space.name}: metric: goal = {space.goal}, but {metric} is to {goal}")
    return metric


def _hardware(address: str | None, nodes: int | None) -> Hardware:
    """The cluster's, when one is joined; this machine's otherwise. Raises UserError."""
    from study.runner.environment import prepare

    prepare(address)
    if address is None:
        return detect()
    from study.runner.cluster import connect

    if nodes:
        print(f"waiting for {nodes} of the cluster's nodes that have CPUs ...", flush=True)
    return connect(address, nodes or 1)


def _run(
    plan: StudyPlan,
    folder: StudyFolder,
    spaces: "list[Space]",
    hardware: Hardware,
    timing: Timing,
    options: argparse.Namespace,
) -> int:
    """Run what is left, show the best trials, and turn the outcome into an exit status."""
    from study.reporting.console import Console
    from study.runner.run import run_study

    console = Console(plan)

    def stopped(error: StoppedError) -> int:
        print(f"error: {error}", file=sys.stderr, flush=True)
        console.say(_how_to_continue(plan, folder))
        return STOPPED

    try:
        with folder.lock():
            console.begin(folder.path, hardware, spaces)
            if options.resume:
                folder.resume(plan, command_line(), hardware.to_dict())
            if options.retry_failed:
                again = ", ".join(folder.reopen_failed()) or "none, as no trial failed"
                console.say(f"to be tried again: {again}")
            cost = StudyCost(plan.concurrency, timing, before=folder.read().get("cost"))
            try:
                results, finished = run_study(plan, folder, spaces, console, cost, stopped)
            except Exception as error:
                if is_full(error):
                    return stopped(StoppedError(full_disk(folder.path)))
                if isinstance(error, StoppedError):
                    return stopped(error)
                raise
            console.results(results, spaces, _tuned(folder, plan.spaces))
        console.say(f"results: {folder.path}")
        if finished:
            console.say(_report(folder, make=options.report))
    except KeyboardInterrupt:
        finished = False
    if not finished:
        console.say(_how_to_continue(plan, folder))
        return INTERRUPTED
    trials = results.table("trials")
    if not (trials["state"] == "completed").any():
        states = ", ".join(sorted(set(trials["state"])))
        print(f"error: no trial completed (they ended as: {states})", file=sys.stderr)
        return NOTHING_COMPLETED
    return OK


def _tuned(folder: StudyFolder, spaces: Iterable[str]) -> dict[str, str]:
    """What tuning brought in each space, as the report will say it."""
    from analysis import verdicts
    from analysis.attempts import Attempts
    from analysis.tables import SpaceResults, load

    attempts, missing = Attempts(), "What tuning brought could not be said; the report may know."
    said, none = dict.fromkeys(spaces, missing), list[SpaceResults]()
    for found in attempts.make("the tables can't be read", lambda: load(folder.path), none):
        name = found.space.name
        said[name] = attempts.make(f"{name}: no last word on tuning", partial(verdicts.tuned, found), missing)
    for problem in attempts.problems:
        print(f"warning: {problem}", file=sys.stderr)
    return said


def _report(folder: StudyFolder, *, make: bool) -> str:
    """Where the report is, if it is to be made, or else the command that makes it."""
    if not make:
        return f"report: python -m analysis.report {shlex.quote(str(folder.path))}"
    from analysis.writer import write_report

    try:
        path, problems = write_report([folder.path])
    except UserError as error:
        return f"no report: {error}"
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    return f"report: {path}"


def _how_to_continue(plan: StudyPlan, folder: StudyFolder) -> str:
    joined = f" --address {plan.address}" if plan.address else ""
    again = os.environ.get(LAUNCHER)
    resume = f"{again} --resume {folder.path}" if again else f"{PROGRAM} --resume {folder.path}{joined}"
    command = with_plugins(resume, plan.plugins)
    return f"not finished; continue with: {command}"


if __name__ == "__main__":
    status = run_command(main)
    end_at_once()  # nothing is left to lose, and Ray's own end takes a moment
    sys.exit(status)
