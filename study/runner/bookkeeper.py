"""Who is next, and what is written down when a trial reports or ends.

Optuna, the trial folders, the tables, W&B and the screen hear of a trial from here and nowhere else. A killed
study goes on from here, too: what has ended is told, what was begun comes first (`reconcile`, `queue`).
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from study.plan import StudyPlan, TrialPlan, trial_id, trial_number
from study.plugins import to_send
from study.records.mirror import PATIENCE, PATIENCE_INTERRUPTED, Mirror, NoMirror
from study.records.objective import Standing, standings
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.records.trial_folder import RUNNING, Ending
from study.reporting.console import Console
from study.reporting.timing import StudyCost
from study.reporting.tracking import Tracker, config_of
from study.runner.interruption import Interruption
from study.runner.search import Proposal, Search
from study.runner.trainable import FAILED, STOPPED, WITHOUT_NEWS
from study.runner.worker import PackWorkers
from study.runner.workplace import Home

# Between two writings of the tables: so that they take 1% of the driver's time, within these seconds.
TABLES_SHARE = 0.01
TABLES_SECONDS = (2.0, 30.0)
# What W&B may take at the end.
TRACKER_SECONDS = 60.0
TRACKER_SECONDS_INTERRUPTED = 5.0


class Bookkeeper(Callback):
    """Keeps a running study's books; Ray Tune calls it in the driver.

    Attributes:
        workers: who trains, where trials share packs; None where each trial has a process to itself.
        mirror: what copies the study.
    """

    def __init__(
        self,
        plan: StudyPlan,
        folder: StudyFolder,
        searches: dict[str, Search],
        results: Results,
        tracker: Tracker,
        console: Console,
        interruption: Interruption,
        cost: StudyCost,
    ) -> None:
        self.plan, self.folder, self.searches = plan, folder, searches
        self.results, self.tracker, self.console = results, tracker, console
        self.interruption, self.cost, self.timing = interruption, cost, cost.driver
        self.workers: PackWorkers | None = None
        self.mirror: Mirror | NoMirror = NoMirror()
        self._started: set[str] = set()
        self._closed: set[str] = set()
        self._best_untold = plan.keep_best  # the size of the file that is kept
        self._unwritten = False  # whether the tables lack a trial that has ended
        self._write_again = 0.0  # when they may be written next
        self._fault: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles its callbacks to restore them; a study resumes from its folder instead."""
        return {}

    def queue(self) -> Iterator[TrialPlan]:
        """Trials to run: first those that were begun, then new ones, the spaces taking turns."""
        begun = {space: search.running() for space, search in self.searches.items()}
        asked = {space: len(begun[space]) + len(search.finished()) for space, search in self.searches.items()}
        for space, proposals in begun.items():
            for proposal in proposals:
                yield self._trial(space, proposal)
        for turn in range(max(self.plan.trials.values())):
            for space, search in self.searches.items():
                if asked[space] <= turn < self.plan.trials[space]:
                    proposal = search.ask()
                    asked[space] += 1
                    yield self._trial(space, proposal)

    def _trial(self, space: str, proposal: Proposal) -> TrialPlan:
        return self.plan.trial(space, proposal.number, proposal.hyperparameters, proposal.origin)

    def reconcile(self) -> int:
        """Tell Optuna of trials whose end a kill kept from it; return how many trials have ended."""
        ended = 0
        for space, search in self.searches.items():
            told = search.finished()
            for proposal in search.running():
                folder = self.folder.trial(trial_id(space, proposal.number))
                ending = folder.ending()
                if ending is not None:
                    self._tell(space, proposal.number, ending)
                    told.add(proposal.number)
            ended += len(told)
        return ended

    def past(self) -> Iterator[tuple[str, str, list[Standing]]]:
        """Space, id and standings of every trial that has ended, for a scheduler to learn from."""
        for space, search in self.searches.items():
            for number in sorted(search.finished()):
                name = trial_id(space, number)
                yield space, name, self.results.standings(name)

    def _tell(self, space: str, number: int, ending: Ending) -> None:
        """Optuna gets every evaluation that the folder holds, then the end."""
        name = trial_id(space, number)
        if ending.state != "failed":
            for evaluation, objective in self.results.objectives(name):
                self.searches[space].report(number, evaluation, objective)
        self.searches[space].tell(number, ending, self.results.trial_row(name))

    def is_finished(self) -> bool:
        """Whether every trial asked for has ended."""
        return sum(len(search.finished()) for search in self.searches.values()) >= self.plan.total_trials

    def close(self, *, finished: bool) -> None:
        """End W&B's part, and make the tables complete: what has not ended is interrupted. Ray's files go."""
        self.tracker.close(TRACKER_SECONDS if finished else TRACKER_SECONDS_INTERRUPTED)
        shutil.rmtree(self.folder.ray, ignore_errors=True)
        self.results.add_all(include_unfinished=True)
        self.results.write()
        for problem in self.results.problems:
            self.console.say(problem)

    def send_last(self, *, finished: bool) -> None:
        """Have the study's copy be what the study is, as far as there is time."""
        self.mirror.study()
        self.mirror.close(PATIENCE if finished else PATIENCE_INTERRUPTED)

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Between two steps of Ray's loop no file is half written: the moment to stop."""
        del iteration, trials, info
        self.check()
        self.interruption.check()
        self._write_tables()

    def check(self) -> None:
        """Raise RuntimeError where the end of a trial could not be written down."""
        if self._fault is not None:
            raise RuntimeError("the study's books can't be kept any more") from self._fault

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """An exception is kept, to stop the study: Ray would take it for a loss of the trial's process."""
        try:
            yield
        except Exception as error:
            self._fault = self._fault or error

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        del iteration, trials, info
        plan = trial.config["plan"]
        name = plan["trial_id"]
        if name not in self._started:  # Ray says it again of a trial that was paused
            self._started.add(name)
            with self.timing.part("wandb"):
                self.tracker.start(name, config_of(plan))
            with self.timing.part("report"):
                self.console.started(name)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Any],
        trial: Any,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        del iteration, trials, info
        if result["state"] in WITHOUT_NEWS:
            return
        name, space = trial.config["plan"]["trial_id"], trial.config["space"]
        summary, image, cost, note = result.pop("news")  # Ray keeps a trial's last result for good
        self.mirror.trial(name)
        with self.timing.part("report"):
            self.cost.reported(*cost)
            if note:
                self.console.say(f"{name}: {note}")
            if self._best_untold and (folder := self.folder.trial(name)).best.exists():
                self._best_untold = False
                self.console.say(folder.cost_of_best())
            self.searches[space].report(trial_number(name), result["evaluation"], result["objective"])
            self.console.evaluated(name, result["kimg"], result["objective"])
        with self.timing.part("wandb"):
            own = self.folder.trial(name).samples / image.name if image else None  # it may be of another node
            self.tracker.log(name, summary, step=result["evaluation"], image=own)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial ended by itself, or the scheduler stopped it: then its marker is written here."""
        del iteration, trials, info
        result = trial.last_result
        if result["state"] == STOPPED:  # it has not ended: a resumed study goes on with it
            self.interruption.stop(result["why"])
            return
        name, space = trial.config["plan"]["trial_id"], trial.config["space"]
        with self._stopping():
            self._mark(name, space, result)
            self._ended(name, space)
        _forget(trial)

    def _mark(self, name: str, space: str, result: dict[str, Any]) -> None:
        """Write the marker of a trial's end, unless that is done."""
        folder = self.folder.trial(name)
        if result["state"] == FAILED:
            folder.record_fault(result["why"])
        if result["state"] == RUNNING:
            folder.finish(
                Ending(
                    state="pruned",
                    ended_by=self.plan.schedulers[space],
                    kimg=result["kimg"],
                    objective=result["objective"],
                )
            )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        del iteration, trials, info
        name, losses = trial.config["plan"]["trial_id"], trial.run_metadata.num_failures
        folder = self.folder.trial(name)
        with self._stopping():
            folder.claim()  # a process that lives on, out of reach, is not to write any more
            folder.record_fault(lost(losses))
            self._ended(name, trial.config["space"])
        _forget(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its process was lost: Ray begins it again, and it goes on from its checkpoint."""
        del iteration, trials, info
        losses = trial.run_metadata.num_failures
        trial.config["alone"] = True
        # A machine that was drained before it was taken back is not counted.
        retry = f" (retry {losses} of {self.plan.retries})" if losses else ""
        name = trial.config["plan"]["trial_id"]
        self.console.say(f"{name}: {lost(losses)}; it goes on from its last checkpoint{retry}")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Ray would gather every trial's results, from files that are not there, for nobody."""
        del info
        del trials[1:]

    def _ended(self, name: str, space: str) -> None:
        if name in self._closed:
            return
        self._closed.add(name)
        if self.workers is not None:
            self.workers.release(name)
        with self.timing.part("end_of_trial"):
            ending = self.folder.trial(name).ending()
            assert ending is not None
            self.results.add(name)
            self._unwritten = True
            self.mirror.trial(name)
            self._tell(space, trial_number(name), ending)
            row = self.results.trial_row(name)
            self.console.ended(name, ending)
        with self.timing.part("wandb"):
            self.tracker.finish(name, ending.state, row)
        self._write_tables()

    def _write_tables(self) -> None:
        """Write what has ended, unless the tables were written a moment ago."""
        began = time.monotonic()
        if not self._unwritten or began < self._write_again:
            return
        with self.timing.part("tables"):
            self.results.write()
            self._unwritten = False
            self.folder.add_facts(cost=self.cost.to_dict())
            self.mirror.study()
        took = time.monotonic() - began
        least, most = TABLES_SECONDS
        self._write_again = began + took + min(most, max(least, took / TABLES_SHARE))


def _forget(trial: Any) -> None:
    """Ray keeps every trial for good: of one that has ended its name, space and last result will do."""
    kept = {"plan": {"trial_id": trial.config["plan"]["trial_id"]}, "space": trial.config["space"]}
    trial.config.clear()
    trial.config.update(kept)
    trial.evaluated_params.clear()
    trial.run_metadata.last_result.pop("config", None)
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


def lost(times: int) -> str:
    """That a trial's process died, in words."""
    often = f" {times} times" if times > 1 else ""
    return f"its process died{often} (killed, out of memory, or its machine was lost)"


class QueueSearcher(Searcher):
    """Hands Ray Tune the bookkeeper's queue; what comes back goes to the bookkeeper, not here."""

    def __init__(self, bookkeeper: Bookkeeper, home: Home, threads: int, device: str) -> None:
        super().__init__()
        self._bookkeeper = bookkeeper
        self._queue = bookkeeper.queue()
        # As source: the file itself may not be where the trial is trained.
        plugins = to_send(bookkeeper.plan.plugins)
        self._where: dict[str, Any] = {
            "home": home,
            "threads": threads,
            "device": device,
            "plugins": plugins,
        }

    def __getstate__(self) -> dict[str, Any]:
        """As for the bookkeeper."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial as a Ray Tune config; its config.json is on disk before Ray knows of it."""
        del trial_id
        workers = self._bookkeeper.workers
        with self._bookkeeper.timing.part("ask"):
            plan = next(self._queue, None)
            if plan is None:
                return self.FINISHED
            worker = workers.assign(plan) if workers else None
            plan = replace(
                plan,
                threads=self._where["threads"],
                device=self._where["device"],
                companions=workers.companions(plan.trial_id) if workers else (),
            )
            folder = self._bookkeeper.folder.trial(plan.trial_id)
            folder.create(plan)
            try:
                history = standings(plan, folder.rows())
            except (ValueError, KeyError):  # damaged: the worker finds the same, and the trial fails
                history = []
        return {
            "plan": plan.to_dict(),
            "space": plan.space,
            "history": history,
            "worker": worker,
            "alone": False,
            **self._where,
        }

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        del metric, mode, config, spec
        return True

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The bookkeeper tells Optuna."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a study resumes from its folder."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
