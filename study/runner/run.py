"""Run a study from where its folder stands: Ray up, Tuner, Ray down, tables complete."""

import math
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import ray
from optuna.storages import BaseStorage
from ray import tune

from study.errors import StoppedError, UserError
from study.metrics import METRICS
from study.plan import StudyPlan
from study.records.mirror import Mirror
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.reporting.console import Console
from study.reporting.timing import StudyCost
from study.reporting.tracking import Tracker, sweep_of
from study.runner.bookkeeper import Bookkeeper, QueueSearcher
from study.runner.cluster import Watch, keep, start, words_to
from study.runner.controller import use_controller
from study.runner.interruption import Interruption
from study.runner.journal import open_searches
from study.runner.nodes import NodesLeft
from study.runner.schedulers import PerSpaceScheduler
from study.runner.search import Search
from study.runner.trainable import TrialTrainable
from study.runner.worker import PackWorkers
from study.runner.workplace import Home
from study.space import Space


def run_study(
    plan: StudyPlan,
    folder: StudyFolder,
    spaces: list[Space],
    console: Console,
    cost: StudyCost,
    stopped: Callable[[StoppedError], int],
) -> tuple[Results, bool]:
    """Run all that is left to run. The caller holds the study's lock.

    Args:
        stopped: says why the study has stopped; returns the exit status of a process that Ray holds for ever.

    Returns:
        The study's tables, and whether every trial asked for has ended (False: interrupted).

    Raises:
        StoppedError: Ray was lost, or a worker found no space left; what was trained is kept.
    """
    searches, wrong = open_searches(
        plan, folder, lambda journal: {s.name: search_of(plan, s, journal) for s in spaces}
    )
    if wrong:
        console.say(wrong)
    results = Results(folder)
    results.add_all(include_unfinished=False)
    for name in results.missing():
        console.say(f"{name}: no folder is there any more, nor a row in the tables")
    tracker = Tracker(plan.wandb, folder.path, plan.wandb_project, plan.name)
    interruption = Interruption(console)
    bookkeeper = Bookkeeper(plan, folder, searches, results, tracker, console, interruption, cost)
    if plan.mirror is not None:
        bookkeeper.mirror = Mirror(plan.mirror, folder, console.say)
    finished = False

    with words_to(folder.words, console) as to_the_screen:

        def lost(gone: str) -> None:
            interruption.stop(f"Ray is gone: {gone} does not answer")

        def give_up() -> None:
            """What there is to do where Ray holds the main thread for ever."""
            try:
                bookkeeper.close(finished=False)
                bookkeeper.send_last(finished=False)
            except Exception:  # nobody could take it: in a moment this process is no more
                traceback.print_exc()
            finally:
                to_the_screen()
                os._exit(stopped(StoppedError(interruption.why)))

        try:
            ended = bookkeeper.reconcile()
            console.already(ended, results.best(plan.metric))
            results.write()
            if ended < plan.total_trials:
                tracker.make_sweeps({space: sweep_of(plan, space) for space in plan.spaces})
                with console, interruption, suppress(KeyboardInterrupt):
                    _ray(plan, bookkeeper)
                    with Watch(lost, give_up):
                        _tune(plan, folder, spaces, bookkeeper, plan.total_trials - ended)
            finished = bookkeeper.is_finished()
        finally:
            with cost.driver.part("end"):
                ray.shutdown()
                bookkeeper.close(finished=finished)
            folder.add_facts(cost=cost.to_dict())
            bookkeeper.send_last(finished=finished)
    if interruption.why:
        raise StoppedError(interruption.why)
    return results, finished


def search_of(plan: StudyPlan, space: Space, journal: BaseStorage) -> Search:
    """A space's Optuna study, as the plan has it."""
    default, outside = space.default(plan.dataset)
    return Search(
        space,
        journal,
        plan.samplers[space.name],
        plan.seed,
        plan.metric,
        plan.trials[space.name],
        None if outside else default,
    )


def _ray(plan: StudyPlan, bookkeeper: Bookkeeper) -> None:
    """Have Ray: that of a cluster has been joined already."""
    with bookkeeper.cost.driver.part("ray_start"):
        if not ray.is_initialized():
            start(plan)
    bookkeeper.interruption.check()


def _tune(
    plan: StudyPlan,
    folder: StudyFolder,
    spaces: list[Space],
    bookkeeper: Bookkeeper,
    samples: int,
) -> None:
    """Ray Tune's part: returns when all trials have ended, or after Ctrl-C."""
    cost = bookkeeper.cost
    mode = "max" if METRICS[plan.metric].higher_is_better else "min"
    scheduler = PerSpaceScheduler(plan, spaces, mode)
    for space, name, history in bookkeeper.past():
        scheduler.replay(space, name, history)
    home = _home(plan, folder, bookkeeper)
    threads = max(1, int(plan.cpus_per_trial))
    device = "cuda" if plan.gpus_per_trial else "cpu"
    bookkeeper.console.preparing()
    if plan.pack != "trial":
        with cost.driver.part("pack_size"):
            bookkeeper.workers = PackWorkers(plan, home, threads, device)
            cost.slots = plan.concurrency * _share_packs(plan, folder, spaces, bookkeeper)
    with cost.driver.part("prepare"):
        one = replace(plan, concurrency=1)
        workers = bookkeeper.workers or PackWorkers(one, home, threads, device)
        _prepare(plan, folder, spaces, bookkeeper, workers)
        if workers is not bookkeeper.workers:
            workers.stop()
    limit: int | None = cost.slots
    if scheduler.largest_bracket:
        # Trials wait, paused, for their bracket to fill: it must be asked for ahead, and CPUs are the limit.
        limit = None
        if plan.pack == "trial":
            cost.slots = int(ray.cluster_resources()["CPU"] / plan.cpus_per_trial)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(scheduler.largest_bracket)
    resources = _resources_of_a_trial(plan, cost.slots, limited=limit is not None)
    use_controller()
    tuner = tune.Tuner(
        tune.with_resources(TrialTrainable, resources),
        tune_config=tune.TuneConfig(
            metric="objective",
            mode=mode,
            search_alg=QueueSearcher(bookkeeper, home, threads, device),
            scheduler=scheduler,
            num_samples=samples,
            max_concurrent_trials=limit,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder.ray.resolve()),
            callbacks=[bookkeeper, *([NodesLeft(plan, bookkeeper.console.say)] if plan.address else [])],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=plan.retries),  # losses of processes alone
            verbose=0,
        ),
    )
    with cost.loop():
        tuner.fit()
    bookkeeper.check()  # the last trial's end has no step of the loop after it


def _home(plan: StudyPlan, folder: StudyFolder, bookkeeper: Bookkeeper) -> Home:
    """Where the study's folder is; on a cluster, nodes that don't have it are found."""
    if not plan.address:
        return Home(str(folder.path.resolve()))
    home, elsewhere = keep(folder)
    if elsewhere:
        what = f"the folder {folder.path} is not there on {elsewhere} of the cluster's nodes"
        bookkeeper.console.say(f"{what}: what their trials add is sent here")
    else:
        bookkeeper.console.say(f"all of the cluster's nodes share {folder.path}: nothing is sent")
    return home


def _prepare(
    plan: StudyPlan,
    folder: StudyFolder,
    spaces: list[Space],
    bookkeeper: Bookkeeper,
    workers: PackWorkers,
) -> None:
    """Have a worker make the judge and measure what trials cost."""
    plans = {s.name: plan.trial(s.name, 0, s.middle()) for s in spaces}
    facts = workers.prepare(plans, bookkeeper.interruption.check)
    judge = facts.get("judge_sha256")
    if folder.read().get("judge_sha256", judge) != judge:
        raise UserError(f"the judge in {folder.path / 'judge'} is not the one that the study began with")
    folder.add_facts(**facts)
    bookkeeper.console.facts(facts)


def _resources_of_a_trial(plan: StudyPlan, slots: int, *, limited: bool) -> dict[str, float]:
    """What Ray gives a trial: all it trains with, or next to nothing where pack workers have that.

    Where Tune has no limit on trials at a time, those that ask workers divide all the CPUs that are left,
    so that no more than `slots` run.
    """
    if plan.pack == "trial":
        return {"cpu": plan.cpus_per_trial, "gpu": plan.gpus_per_trial}
    left = 1.0 if limited else ray.cluster_resources()["CPU"] - plan.concurrency * plan.cpus_per_trial
    each = left / slots
    return {"cpu": math.ceil(each) if each > 1 else math.floor(1e4 * each) / 1e4}


def _share_packs(plan: StudyPlan, folder: StudyFolder, spaces: list[Space], bookkeeper: Bookkeeper) -> int:
    """How many trials each pack worker trains at a time: as the plan says, or as the first one measures."""
    workers = bookkeeper.workers
    assert workers is not None
    members = plan.pack
    # A sampler learns from trials that have ended: auto begins at most a quarter of them at a time.
    at_a_time = plan.total_trials if isinstance(members, int) else plan.total_trials // 4
    largest = max(1, at_a_time // plan.concurrency) * plan.seeds
    if isinstance(members, str):
        memory_share = min(1.0, plan.gpus_per_trial) or 1 / plan.concurrency
        check = bookkeeper.interruption.check
        found = {
            s.name: workers.pack_size(plan.trial(s.name, 0, s.largest()), largest, memory_share, check)
            for s in spaces
        }
        folder.add_facts(pack_sizes={space: measured for space, (_, measured) in found.items()})
        members = min(size for size, _ in found.values())
    workers.trials_each = max(1, min(members, largest) // plan.seeds)
    bookkeeper.console.say(
        f"a pack has up to {workers.trials_each * plan.seeds} members, of {workers.trials_each} trials"
    )
    return workers.trials_each
