"""Whole studies in this process: they end, tell the truth, and survive interruptions and damage.

The trials and the books are the real ones, with a loop in place of Ray.
"""

import errno
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna_dashboard
import pandas as pd
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from study.errors import UserError
from study.machine.files import is_full, read_json
from study.plan import StudyPlan
from study.records.schema import TIMED, Row
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from study.records.trial_folder import MARKERS, Ending, TrialFolder
from study.reporting.console import Console
from study.reporting.timing import StudyCost, Timing
from study.reporting.tracking import Tracker
from study.runner import bookkeeper
from study.runner.bookkeeper import Bookkeeper, QueueSearcher
from study.runner.interruption import Interruption
from study.runner.journal import open_searches
from study.runner.run import search_of
from study.runner.schedulers import PerSpaceScheduler
from study.runner.search import Search
from study.runner.trainable import TrialTrainable
from study.runner.worker import PackWorkers
from study.runner.workplace import Home
from study.space import parse_space
from study.training.capture import EagerIterations
from study.trial import run as trial_run
from study.trial.run import run
from tests.benchmarks.hollow import EVALUATIONS, SEEDS, HollowTrainable
from tests.records.written import ended, rows
from tests.studies import (
    Clock,
    check_books,
    journal,
    small,
    states,
    study_plan,
    table,
    trial_plan,
    untimed,
)


def stopped_early() -> StudyPlan:
    space = {**small(), "early_terminate": {"type": "hyperband", "min_iter": 1}}
    return study_plan(spaces={"a": space}, schedulers="asha", trials=6, kimg=0.192)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


class Driver:
    """A new driver process, made of a study's folder alone, that runs one trial at a time."""

    def __init__(self, folder: StudyFolder, clock: Callable[[], float] = time.perf_counter) -> None:
        self.plan, self.home = folder.plan(), Home(str(folder.path))
        spaces = [parse_space(name, document) for name, document in self.plan.spaces.items()]
        searches, self.wrong = open_searches(
            self.plan, folder, lambda journal: {s.name: search_of(self.plan, s, journal) for s in spaces}
        )
        self.results = Results(folder)
        self.results.add_all(include_unfinished=False)
        tracker = Tracker("disabled", folder.path, "", "")
        console = Console(self.plan)
        cost = StudyCost(1, Timing("books", clock))
        self.books = Bookkeeper(
            self.plan, folder, searches, self.results, tracker, console, Interruption(console), cost
        )
        self.ended = self.books.reconcile()
        self.scheduler = PerSpaceScheduler(self.plan, spaces, "min")
        for space, trial_id, history in self.books.past():
            self.scheduler.replay(space, trial_id, history)
        self.order: list[str] = []
        self.worker: Any = None

    def run(self, steps: int | None = None) -> None:
        """Run what is left, or up to `steps` evaluations."""
        searcher = QueueSearcher(self.books, self.home, threads=1, device="cpu")
        with self.books.cost.loop():
            while self.ended + len(self.order) < self.plan.total_trials:
                config = searcher.suggest("ray's own id")
                assert isinstance(config, dict)
                self.order.append(config["plan"]["trial_id"])
                kept = SimpleNamespace(last_result={}, metric_analysis={}, metric_n_steps={})
                trial = SimpleNamespace(
                    trial_id=self.order[-1],
                    config=config,
                    evaluated_params={},
                    last_result={},
                    run_metadata=kept,
                )
                self.scheduler.on_trial_add(None, trial)
                self.books.on_trial_start(0, [], trial)
                if self.worker is None:
                    self.worker = object.__new__(TrialTrainable)
                    self.worker.setup(config)
                self.worker.reset_config(config)
                while self.step(trial):
                    if steps is not None:
                        steps -= 1
                        if steps == 0:
                            self.worker.cleanup()
                            return
        self.results.add_all(include_unfinished=True)
        self.results.write()

    def step(self, trial: Any) -> bool:
        """One evaluation; whether the trial goes on."""
        trial.last_result = self.worker.step()
        self.books.on_trial_result(0, [], trial, trial.last_result)
        if not trial.last_result["done"]:
            decision = self.scheduler.on_trial_result(None, trial, trial.last_result)
            if decision == TrialScheduler.CONTINUE:
                return True
        else:
            self.scheduler.on_trial_complete(None, trial, trial.last_result)
        self.books.on_trial_complete(0, [], trial)
        return False


@pytest.fixture
def folder(tmp_path: Path, cheap_transport: None) -> StudyFolder:
    del cheap_transport
    return StudyFolder(tmp_path / "results" / "mine")


def test_books_agree_when_all_trials_complete(folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run()
    check_books(folder, {"a": 3}, evaluations=3)
    assert set(states(folder).values()) == {"completed"}


def test_tables_are_not_written_at_every_end(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[None] = []
    write = Results.write
    monkeypatch.setattr(Results, "write", lambda results: written.append(write(results)))
    monkeypatch.setattr(bookkeeper, "TABLES_SECONDS", (1e6, 1e6))
    folder.create(study_plan(trials=6), [], {})
    driver = Driver(folder)
    driver.run()
    assert len(written) == 2  # when the first trial ended, and when the study did
    assert driver.books._unwritten
    monkeypatch.setattr(driver.books, "_write_again", time.monotonic())
    driver.books.on_step_begin(0, [])  # Ray calls it all the time
    assert not driver.books._unwritten
    assert len(written) == 3


def test_study_json_tells_what_the_study_cost(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in ("study.trial.run", "study.training.trainer"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr("study.runner.trainable.Timing", partial(Timing, clock=clock))
    clock.slow(monkeypatch, EagerIterations, "__call__", 10)
    clock.slow(monkeypatch, trial_run, "save_samples", 4)
    clock.slow(monkeypatch, Search, "ask", 3)
    clock.slow(monkeypatch, Results, "write", 2)
    monkeypatch.setattr(bookkeeper, "TABLES_SECONDS", (1e6, 1e6))
    folder.create(study_plan(), [], {})
    driver = Driver(folder, clock)
    driver.run()
    cost = driver.books.cost.to_dict()
    trained, judged, asked, written = 3 * 4 * 10, 3 * 3 * 4, 3 * 3, 2  # and written once more in the end
    driver_parts = {"ray": trained + judged, "ask": asked, "tables": written, "books": written}
    slot_parts = {
        "worker_start": asked / 3,
        "next_trial": asked * 2 / 3 + written,
        "train": trained,
        "evaluate": judged,
        "study_end": written,
    }
    assert {part: seconds for part, seconds in cost["driver_seconds"].items() if seconds} == driver_parts
    assert {part: seconds for part, seconds in cost["slot_seconds"].items() if seconds} == slot_parts
    assert cost["wall_seconds"] == sum(driver_parts.values()) == sum(slot_parts.values())
    trials = table(folder, "trials")
    assert (trials["train_seconds"].sum(), trials["eval_seconds"].sum()) == (trained, judged)
    assert read_json(folder.path / "study.json")["cost"].keys() == cost.keys()


def test_spaces_take_turns(folder: StudyFolder) -> None:
    spaces = {"b": small(), "a": small(model="dcgan"), "c": small(model="wgan_cp")}
    folder.create(study_plan(spaces=spaces, trials={"b": 2, "a": 1, "c": 2}, kimg=0.064), [], {})
    driver = Driver(folder)
    driver.run()
    assert driver.order == ["b-00000", "a-00000", "c-00000", "b-00001", "c-00001"]
    check_books(folder, {"a": 1, "b": 2, "c": 2}, evaluations=2)


def test_a_trial_that_the_scheduler_stops_is_pruned(folder: StudyFolder) -> None:
    folder.create(stopped_early(), [], {})
    Driver(folder).run()
    check_books(folder, {"a": 6}, evaluations=4)
    trials = table(folder, "trials")
    pruned = trials[trials["state"] == "pruned"]
    assert 0 < len(pruned) < 6
    assert set(pruned["ended_by"]) == {"asha"}
    assert (pruned["kimg"] < 0.19).all()


def test_a_trial_that_has_lost_its_checkpoint_and_its_end_comes_to_the_same(folder: StudyFolder) -> None:
    folder.create(stopped_early(), [], {})
    driver = Driver(folder)
    driver.run()
    driver.worker.cleanup()
    before = {name: (trial.ending(), untimed(trial.rows())) for name, trial in folder.trials()}
    assert {ending.state for ending, _ in before.values() if ending} == {"completed", "pruned"}
    for _, trial in folder.trials():
        shutil.rmtree(trial.checkpoint.parent)
        for marker in MARKERS.values():
            (trial.path / marker).unlink(missing_ok=True)
    folder.journal.unlink()
    Driver(folder).run()
    for name, trial in folder.trials():
        ending, curve = before[name]
        found = trial.ending()
        assert ending is not None
        assert found is not None
        assert (found.state, found.kimg, found.objective) == (ending.state, ending.kimg, ending.objective)
        assert untimed(trial.rows()) == curve


def test_wandb_hears_of_each_trial(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, dict[str, Any]] = {}
    told: dict[str, tuple[str, Row]] = {}
    monkeypatch.setattr(Tracker, "start", lambda _, name, config: started.update({name: config}))
    monkeypatch.setattr(Tracker, "finish", lambda _, name, *how: told.update({name: how}))
    folder.create(stopped_early(), [], {})
    Driver(folder).run()
    assert {name: state for name, (state, _) in told.items()} == states(folder)
    figures = {"objective", "objective_low", "objective_high", "n_diverged", "n_censored", "mode_coverage"}
    for name, (_, summary) in told.items():
        assert figures <= summary.keys()
        assert started[name]["lr_g"] == summary["lr_g"]
        assert "config" not in started[name]


def test_a_worker_that_is_used_again_remembers_nothing(folder: StudyFolder, tmp_path: Path) -> None:
    spaces = {"b": small(model="dcgan"), "a": small(), "c": small(model="wgan_cp", width=4)}
    folder.create(study_plan(spaces=spaces), [], {})
    Driver(folder).run()
    for name, trial in folder.trials():
        alone = TrialFolder(tmp_path / name)
        list(run(trial.plan(), alone, torch.device("cpu")))
        assert untimed(trial.rows()) == untimed(alone.rows())


def test_a_worker_has_the_threads_it_is_told() -> None:
    before = torch.get_num_threads()
    try:
        worker: Any = object.__new__(TrialTrainable)
        config: dict[str, Any] = {
            "home": Home("mine"),
            "worker": None,
            "plugins": [],
            "plan": {"trial_id": "a-00000"},
        }
        worker.setup({**config, "threads": 2})
        assert torch.get_num_threads() == 2
        worker.reset_config({**config, "threads": 1})
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_trial_that_raises_is_failed_and_the_study_goes_on(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(trial: Any, *rest: Any) -> Iterator[Any]:
        for evaluation in run(trial, *rest):
            if trial.trial_id == "a-00001" and evaluation.evaluation == 1:
                raise ZeroDivisionError("no such luck")
            yield evaluation

    monkeypatch.setattr("study.trial.run.run", faulty)
    folder.create(study_plan(), [], {})
    Driver(folder).run()
    check_books(folder, {"a": 3}, evaluations=3)
    assert states(folder) == {"a-00000": "completed", "a-00001": "failed", "a-00002": "completed"}
    ending = folder.trial("a-00001").ending()
    assert ending is not None
    assert ending.error is not None
    assert ending.error.startswith("Traceback (most recent call last)")
    assert "ZeroDivisionError: no such luck" in ending.error
    assert (ending.ended_by, ending.kimg) == ("fault", 0.064)


def test_a_full_disk_ends_the_study_and_no_trial(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = TrialFolder.append

    def full(trial: TrialFolder, rows: list[Row]) -> None:
        if (trial.path.name, rows[0]["evaluation"]) == ("a-00001", 1):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(trial, rows)

    folder.create(study_plan(), [], {})
    driver = Driver(folder)
    with monkeypatch.context() as patch:
        patch.setattr(TrialFolder, "append", full)
        driver.run()
    assert driver.books.interruption.why.startswith("there is no space left on the disk of ")
    with pytest.raises(KeyboardInterrupt):
        driver.books.on_step_begin(0, [])
    assert states(folder)["a-00001"] == "interrupted"
    Driver(folder).run()
    check_books(folder, {"a": 3}, evaluations=3)
    assert set(states(folder).values()) == {"completed"}


def test_an_end_that_cannot_be_written_stops_the_study(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To Ray an exception would be the loss of a process: it would begin the trial again, or give it up."""

    finish = TrialFolder.finish

    def full(trial: TrialFolder, ending: Ending) -> None:
        if ending.state == "pruned":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finish(trial, ending)

    folder.create(stopped_early(), [], {})
    driver = Driver(folder)
    with monkeypatch.context() as patch:
        patch.setattr(TrialFolder, "finish", full)
        driver.run()
    driver.worker.cleanup()
    with pytest.raises(RuntimeError, match="can't be kept any more") as raised:
        driver.books.on_step_begin(0, [])
    assert is_full(raised.value)
    assert "failed" not in states(folder).values()
    Driver(folder).run()
    assert set(states(folder).values()) == {"completed", "pruned"}


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_an_interrupted_study_goes_on(steps: int, folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run(steps)
    resumed = Driver(folder)
    resumed.run()
    assert resumed.order == ["a-00000", "a-00001", "a-00002"][resumed.ended :]
    check_books(folder, {"a": 3}, evaluations=3)
    assert len({trial.params["lr_g"] for trial in journal(folder, "a")}) == 3


KILLS = [  # where a driver or its worker may be killed, in the order in which it comes by
    (Search, "ask", "before"),
    (Search, "ask", "after"),
    (TrialFolder, "create", "after"),
    (TrialFolder, "append", "after"),
    (Search, "report", "before"),
    (TrialFolder, "finish", "before"),
    (TrialFolder, "finish", "after"),
    (Search, "tell", "before"),
    (Search, "tell", "after"),
    (Results, "write", "before"),
    (Results, "write", "after"),
]


@pytest.mark.parametrize(
    ("holder", "method", "when"), KILLS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_study_killed_anywhere_goes_on(
    holder: type, method: str, when: str, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(holder, method)
    calls = 0

    def kill(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2 and when == "before":
            raise Killed
        result = original(*given, **options)
        if calls == 2:
            raise Killed
        return result

    folder.create(study_plan(), [], {})
    with monkeypatch.context() as patch:
        patch.setattr(bookkeeper, "TABLES_SECONDS", (0.0, 0.0))
        patch.setattr(holder, method, kill)
        killed = Driver(folder)
        with pytest.raises(Killed):
            killed.run()
    if killed.worker is not None:
        killed.worker.cleanup()  # the lock of a process that is gone
    Driver(folder).run()
    check_books(folder, {"a": 3}, evaluations=3)
    assert set(states(folder).values()) == {"completed"}


def run_with_kills(folder: StudyFolder, kills: int, patch: pytest.MonkeyPatch) -> None:
    """Run a study to its end, killed so often where KILLS are, at random."""
    chance = random.Random(0)
    left = 0

    def killing(original: Callable[..., Any], when: str) -> Callable[..., Any]:
        def method(*given: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 and when == "before":
                raise Killed
            result = original(*given, **options)
            if left == 0 and when == "after":
                raise Killed
            return result

        return method

    for holder, name, when in KILLS:
        patch.setattr(holder, name, killing(getattr(holder, name), when))
    for _ in range(kills):
        left = chance.randrange(1, 25)
        driver: list[Driver] = []
        with suppress(Killed):
            driver.append(Driver(folder))  # it may be killed as it takes stock
            driver[0].run()
        if driver and driver[0].worker is not None:
            driver[0].worker.cleanup()  # the lock of a process that is gone
    left = 0
    Driver(folder).run()


def test_a_hollow_trial_is_kept_in_the_books_like_any(folder: StudyFolder) -> None:
    """`python -m tests.benchmarks.hollow` measures what users' studies do."""
    plan = study_plan(
        spaces={"a": small()}, samplers="random", trials=3, seeds=SEEDS, kimg=9.0, eval_kimg=1.0
    )
    folder.create(plan, [], {})
    driver = Driver(folder)
    driver.worker = object.__new__(HollowTrainable)
    driver.run()
    assert set(states(folder).values()) == {"completed"}
    assert len(table(folder, "curves")) == 3 * SEEDS * EVALUATIONS


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [("random", "fifo"), ("qmc", "fifo"), ("grid", "fifo"), ("tpe", "fifo"), ("tpe", "asha")],
)
def test_a_study_killed_twenty_times_has_the_tables_of_an_undisturbed_one(
    sampler: str, scheduler: str, tmp_path: Path, cheap_transport: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cheap_transport
    space: dict[str, Any] = {**small(), "early_terminate": {"type": "hyperband", "min_iter": 1}}
    if sampler == "grid":
        known = {"lr_g": {"values": [1e-4, 1e-3]}, "lr_d": {"values": [1e-4, 1e-3, 1e-2]}}
        space = {**space, "method": "grid", "parameters": {**space["parameters"], **known}}
    plan = study_plan(spaces={"a": space}, samplers=sampler, schedulers=scheduler, trials=6, kimg=0.192)
    calm, troubled = (StudyFolder(tmp_path / name / "mine") for name in ("calm", "troubled"))
    for folder in (calm, troubled):
        folder.create(plan, [], {})
    Driver(calm).run()
    with monkeypatch.context() as patch:
        run_with_kills(troubled, 20, patch)
    check_books(troubled, {"a": 6})
    for name in TABLES:
        expected, found = table(calm, name), table(troubled, name)
        same = [str(column) for column in expected if column not in TIMED]
        pd.testing.assert_frame_equal(found[same], expected[same])


@pytest.mark.parametrize("state", ["pruned", "failed"])
def test_an_end_that_optuna_was_not_told_of_is_not_undone(
    state: str, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between marker and journal: such a trial has budget left, and must not go on to use it."""
    folder.create(stopped_early(), [], {})

    def faulty(trial: Any, *rest: Any) -> Iterator[Any]:
        for evaluation in run(trial, *rest):
            if state == "failed" and trial.trial_id == "a-00002" and evaluation.evaluation == 1:
                raise ZeroDivisionError
            yield evaluation

    def kill(search: Search, number: int, ending: Ending, row: Row) -> None:
        if ending.state == state:
            raise Killed
        tell(search, number, ending, row)

    tell = Search.tell
    with monkeypatch.context() as patch:
        patch.setattr("study.trial.run.run", faulty)
        patch.setattr(Search, "tell", kill)
        killed = Driver(folder)
        with pytest.raises(Killed):
            killed.run()
    name = killed.order[-1]
    rows = folder.trial(name).rows()
    assert len(rows) < 8
    killed.worker.cleanup()
    resumed = Driver(folder)
    resumed.run()
    assert name not in resumed.order
    assert folder.trial(name).rows() == rows
    assert states(folder)[name] == state
    check_books(folder, {"a": 6}, evaluations=4)


# The journal


def told(folder: StudyFolder) -> list[dict[str, Any]]:
    """What the journal says of each trial, but for when and how it was asked for."""
    kept = ("number", "state", "values", "params", "distributions", "user_attrs", "intermediate_values")
    return [
        {**{name: getattr(trial, name) for name in kept}, "constraints": trial.constraints}
        for trial in journal(folder, "a")
    ]


def lose(path: Path) -> None:
    path.unlink()


def garble(path: Path) -> None:
    content, half = path.read_bytes(), path.stat().st_size // 2
    path.write_bytes(content[:half] + b"\0" * 40 + content[half + 40 :])


def cut(path: Path) -> None:
    """At the end of a line: Optuna reads what is left without a complaint."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]))


def of_another_study(path: Path) -> None:
    folder = StudyFolder(path.parent.parent / "another")
    folder.create(replace(stopped_early(), seed=7), [], {})
    Driver(folder).run()
    path.write_bytes(folder.journal.read_bytes())


@pytest.mark.parametrize("damage", [lose, garble, cut, of_another_study], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("steps", [None, 9], ids=["ended", "interrupted"])
def test_a_journal_is_made_again_of_the_trials(
    damage: Callable[[Path], None], steps: int | None, folder: StudyFolder
) -> None:
    folder.create(stopped_early(), [], {})
    Driver(folder).run(steps)
    before, configurations = told(folder), [trial.plan() for _, trial in folder.trials()]
    old = folder.journal.read_bytes()
    damage(folder.journal)
    resumed = Driver(folder)
    assert resumed.wrong.startswith("optuna.journal was ")
    kept = [path for path in folder.path.iterdir() if path.name.startswith("optuna.journal.aside")]
    assert len(kept) == (damage is not lose)
    assert told(folder) == before
    resumed.run()
    check_books(folder, {"a": 6})
    assert [trial.plan() for _, trial in folder.trials()][: len(configurations)] == configurations
    assert Driver(folder).wrong == ""
    assert steps is not None or len(folder.journal.read_bytes()) <= 1.2 * len(old)


def test_a_trial_whose_folder_is_gone_is_trained_again_as_it_was(folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run()
    before = table(folder, "curves")
    shutil.rmtree(folder.trial("a-00001").path)
    folder.journal.unlink()
    Driver(folder).run()
    check_books(folder, {"a": 3})
    same = [column for column in before if column not in TIMED]
    pd.testing.assert_frame_equal(table(folder, "curves")[same], before[same])


def test_a_configuration_says_what_it_was_handed_out_to_and_is_written_once(folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run(1)
    path = folder.trial("a-00000").path / "config.json"
    before = path.stat().st_mtime_ns
    plan = folder.trial("a-00000").plan()
    assert (plan.threads, plan.device, plan.companions) == (1, "cpu", ())
    Driver(folder).run()
    assert path.stat().st_mtime_ns == before


def test_a_configuration_names_those_that_came_to_its_pack_before(folder: StudyFolder) -> None:
    folder.create(study_plan(pack=4), [], {})
    driver = Driver(folder)
    books = driver.books
    books.workers = object.__new__(PackWorkers)  # without their processes
    books.workers.names, books.workers.trials_each, books.workers._at = ["pack-0", "pack-1"], 2, {}
    searcher = QueueSearcher(books, driver.home, threads=2, device="cuda")
    given = [searcher.suggest("") for _ in range(3)]
    plans = [trial.plan() for _, trial in folder.trials()]
    assert [plan.to_dict() for plan in plans] == [trial["plan"] for trial in given if isinstance(trial, dict)]
    assert [plan.companions for plan in plans] == [(), ("a-00000",), ()]
    assert {(plan.threads, plan.device) for plan in plans} == {(2, "cuda")}


def test_a_trial_is_not_written_over_another(folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run(1)
    other = replace(folder.trial("a-00000").plan(), study_seed=9)
    before = (folder.trial("a-00000").path / "config.json").read_bytes()
    with pytest.raises(UserError, match="a-00000 holds another trial"):
        folder.trial("a-00000").create(other)
    assert (folder.trial("a-00000").path / "config.json").read_bytes() == before


def test_optuna_dashboard_shows_how_each_trial_ended(tmp_path: Path) -> None:
    """Of trials whose end a kill kept from the journal. Its page can write: it is given a copy."""
    folder = StudyFolder(tmp_path / "mine")
    folder.create(study_plan(trials=4, kimg=2.0, eval_kimg=1.0), [], {})
    list(islice(Driver(folder).books.queue(), 4))
    fates: list[tuple[list[list[float | None]], Ending]] = [
        ([[1.0, 0.6, 0.4], [1.0, 0.7, 0.6]], ended("completed")),
        ([[1.0, 0.9], [1.0, None]], ended("pruned", 0.95, kimg=1.0)),
        ([[1.0, None], [1.0, None]], ended("diverged", 1.0, kimg=1.0)),
        ([[1.0], [1.0]], ended("failed", None, kimg=0.0, error="boom")),
    ]
    for number, (curves, ending) in enumerate(fates):
        trial = folder.trial(f"a-{number:05d}")
        trial.create(trial_plan(space="a", trial_id=trial.path.name, kimg=2.0, eval_kimg=1.0))
        trial.append(rows(*curves))
        trial.finish(ending)
    assert Driver(folder).ended == 4

    copy = shutil.copy(folder.journal, tmp_path / "copy.journal")
    application = optuna_dashboard.wsgi(JournalStorage(JournalFileBackend(str(copy))))

    def get(path: str) -> Any:
        request: dict[str, Any] = {"PATH_INFO": path}
        setup_testing_defaults(request)
        return json.loads(b"".join(application(request, lambda *_: lambda _: None)))

    (found,) = get("/api/studies")["study_summaries"]
    study = get(f"/api/studies/{found['study_id']}")
    assert study["objective_names"] == ["w1"]
    shown = [{a["key"]: a["value"] for a in trial["user_attrs"]} for trial in study["trials"]]
    names = ("state", "ended_by", "kimg", "n_seeds", "n_diverged", "n_censored")
    assert [tuple(trial.get(name) for name in names) for trial in shown] == [
        ("completed", "budget", "2.0", "2", "0", "0"),
        ("pruned", "asha", "1.0", "2", "1", "1"),
        ("diverged", "divergence", "1.0", "2", "2", "0"),
        ("failed", "fault", "0.0", "2", "0", "2"),
    ]


def test_a_trial_is_on_disk_before_it_is_handed_out(folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    driver = Driver(folder)
    config = QueueSearcher(driver.books, driver.home, threads=1, device="cpu").suggest("ray's own id")
    assert isinstance(config, dict)
    assert folder.trial("a-00000").plan().to_dict() == config["plan"]


def test_a_study_is_extended(folder: StudyFolder) -> None:
    folder.create(study_plan(trials=2), [], {})
    Driver(folder).run()
    before = {name: trial.rows() for name, trial in folder.trials()}
    folder.resume(replace(folder.plan(), trials={"a": 4}), [], {})
    extended = Driver(folder)
    extended.run()
    assert extended.order == ["a-00002", "a-00003"]
    check_books(folder, {"a": 4}, evaluations=3)
    assert {name: folder.trial(name).rows() for name in before} == before
    assert len({trial.params["lr_g"] for trial in journal(folder, "a")}) == 4


DAMAGE = {
    "no checkpoint": ("checkpoint/pack.pt", None),
    "bad checkpoint": ("checkpoint/pack.pt", b"nothing that torch can read"),
    "bad curves": ("curves.jsonl", b"nonsense\n" * 2),
    "binary curves": ("curves.jsonl", b"\xff\n" * 2),
    "bad marker": ("DONE", b"{"),
    "bad config": ("config.json", b"{"),
    "no config": ("config.json", None),
}


def do_damage(trial: TrialFolder, damage: str) -> None:
    file, content = DAMAGE[damage]
    path = trial.path / file
    path.unlink() if content is None else path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_unfinished_trial_does_not_stop_the_study(damage: str, folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run(steps=4)  # the first trial has ended, the second has been evaluated twice
    do_damage(folder.trial("a-00001"), damage)
    Driver(folder).run()
    assert [trial.state.is_finished() for trial in journal(folder, "a")] == [True] * 3
    found = states(folder)
    assert found.pop("a-00001") in {"failed", "completed"}
    assert found == {"a-00000": "completed", "a-00002": "completed"}


@pytest.mark.parametrize("damage", ["no checkpoint", "bad curves", "bad marker", "bad config"])
def test_a_damaged_finished_trial_does_not_stop_the_study(damage: str, folder: StudyFolder) -> None:
    folder.create(study_plan(), [], {})
    Driver(folder).run(steps=4)
    do_damage(folder.trial("a-00000"), damage)
    Driver(folder).run()
    assert [trial.state for trial in journal(folder, "a")] == [TrialState.COMPLETE] * 3
    found = states(folder)
    assert found.pop("a-00000") == ("completed" if "checkpoint" in damage else "failed")
    assert found == {"a-00001": "completed", "a-00002": "completed"}


def test_a_grid_is_walked_once_over_interruptions(folder: StudyFolder) -> None:
    cells = small()
    cells["parameters"] |= {"lr_g": {"values": [1e-4, 1e-3]}, "lr_d": {"values": [1e-4, 1e-3]}}
    folder.create(study_plan(spaces={"a": cells}, samplers="grid", trials=4, kimg=0.064), [], {})
    for _ in range(3):
        Driver(folder).run(steps=3)
    Driver(folder).run()
    check_books(folder, {"a": 4}, evaluations=2)
    trials = table(folder, "trials")
    assert len(set(zip(trials["lr_g"], trials["lr_d"], strict=True))) == 4


def test_divergence_is_complete_with_the_untrained_value(folder: StudyFolder) -> None:
    folder.create(study_plan(spaces={"a": small(1e3, 1e4)}, trials=2, kimg=100.0), [], {})
    Driver(folder).run()
    check_books(folder, {"a": 2})
    trials = table(folder, "trials")
    assert set(trials["state"]) == {"diverged"}
    first = table(folder, "curves").query("evaluation == 0")
    assert trials["objective"].tolist() == first.groupby("trial_id")["w1"].mean().tolist()
