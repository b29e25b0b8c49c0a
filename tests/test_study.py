"""Whole studies through the command line: they end, are told truthfully, and survive any interruption."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from study.files import read_json
from study.results import TABLES
from study.study_folder import StudyFolder
from study.trial_folder import TrialFolder

pytestmark = [pytest.mark.study, pytest.mark.timeout(280)]

STATES = {
    "completed": TrialState.COMPLETE,
    "diverged": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
TINY = ["--dataset", "ring8", "--seeds", "2", "--wandb", "disabled"]
SMALL_NETWORKS = """
method: random
parameters:
  model: {{value: wgan_gp}}
  width: {{value: 8}}
  batch_size: {{value: 32}}
  n_critic: {{value: 1}}
  lr_g: {{distribution: log_uniform_values, min: {low}, max: {high}}}
  lr_d: {{distribution: log_uniform_values, min: {low}, max: {high}}}
"""


@dataclass
class Command:
    """A study.tune that runs, or has run, in `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def out(self) -> str:
        return (self.folder / "out.txt").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err.txt").read_text()

    def wait(self, seconds: float = 150) -> int:
        return self.process.wait(seconds)


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [tuple(map(int, line.split())) for line in table.splitlines()]
    found, newest = set(), {pid}
    while newest:
        newest = {child for child, parent in pairs if parent in newest} - found
        found |= newest
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run, zombies left out."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True).stdout
    states = {int(pid): state for pid, state in (line.split() for line in table.splitlines())}
    return {pid for pid in pids if states.get(pid, "Z")[0] != "Z"}


def wait_for(condition: Callable[[], object], seconds: float = 100) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def no_process_is_left(pids: set[int]) -> None:
    """Ray's own reaper ends what a killed driver leaves; whatever it misses is ended here, and is a fault."""
    try:
        wait_for(lambda: not alive(pids), seconds=30)
    finally:
        for pid in alive(pids):
            os.kill(pid, signal.SIGKILL)


Start = Callable[..., Command]


def starter(folder: Path) -> Iterator[Start]:
    """Starts `python -m study.tune` in a folder, as the leader of its own process group."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> Command:
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "study.tune", *arguments],
                cwd=folder,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        started.append(process)
        return Command(process, folder)

    yield start
    for process in started:
        if process.poll() is None:
            below = descendants(process.pid)
            process.kill()
            process.wait()
            no_process_is_left(below)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    yield from starter(tmp_path)


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A space of small networks with sensible learning rates."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_NETWORKS.format(low="1.0e-4", high="1.0e-2"))
    return path.name


def journal(study: StudyFolder, space: str) -> list[FrozenTrial]:
    """A space's trials as Optuna itself reads them."""
    storage = JournalStorage(JournalFileBackend(str(study.journal)))
    return optuna.load_study(study_name=space, storage=storage).trials


def table(study: StudyFolder, name: str) -> pd.DataFrame:
    return pd.read_parquet(study.path / f"{name}.parquet")


def check_books(study: StudyFolder, asked: dict[str, int], evaluations: int | None = None) -> None:
    """Folders, tables and journal tell of the same trials, as many as were asked for, each once."""
    trials, runs, curves = (table(study, name) for name in TABLES)
    names = [f"{space}-{number:05d}" for space in sorted(asked) for number in range(asked[space])]
    assert [name for name, _ in study.trials()] == names
    assert trials["trial_id"].tolist() == names
    assert trials["space"].value_counts().to_dict() == asked
    assert [tuple(pair) for pair in runs[["trial_id", "seed"]].to_numpy()] == [
        (name, seed) for name in names for seed in (0, 1)
    ]
    assert not curves.duplicated(["trial_id", "seed", "evaluation"]).any()
    for (name, _), rows in curves.groupby(["trial_id", "seed"]):
        assert rows["evaluation"].tolist() == list(range(len(rows)))
        assert rows["kimg"].is_monotonic_increasing
        state = trials.set_index("trial_id").loc[name, "state"]
        if evaluations and state == "completed":
            assert len(rows) == evaluations
    for space, count in asked.items():
        told = journal(study, space)
        assert len(told) == count
        for trial in told:
            check_trial(study, trial, trials[trials["space"] == space].iloc[trial.number].to_dict())


def check_trial(study: StudyFolder, told: FrozenTrial, row: dict[str, Any]) -> None:
    """One trial in the journal, in the table and in its folder."""
    folder = study.trial(row["trial_id"])
    ending = folder.ending()
    assert ending is not None
    assert (row["state"], row["ended_by"], row["kimg"]) == (ending.state, ending.ended_by, ending.kimg)
    assert told.state == STATES[row["state"]]
    if row["state"] == "failed":
        assert row["error"] == ending.error
        assert told.value is None
        return
    assert told.value == row["objective"] == ending.objective
    for name, value in told.params.items():
        assert row[name] == value
    objectives = {
        e: sum(r["score"] for r in folder.rows() if r["evaluation"] == e) / 2
        for e in {r["evaluation"] for r in folder.rows()}
    }
    assert told.intermediate_values == pytest.approx(objectives, rel=1e-12)


# A study of three spaces


@pytest.fixture(scope="module")
def three_arms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, Start]]:
    """The project's own spaces, one study."""
    starts = starter(tmp_path_factory.mktemp("arms"))
    start = next(starts)
    arguments = ["--space", "dcgan", "wgan_cp", "wgan_gp", *TINY]
    command = start(*arguments, "--kimg", "3", "--eval-kimg", "1", "--trials", "2", "--name", "arms")
    command.wait()
    yield command, start
    next(starts, None)


ARMS = ["dcgan", "wgan_cp", "wgan_gp"]


def test_three_spaces_are_three_arms_of_one_table(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    assert (command.process.returncode, command.err) == (0, "")
    study = StudyFolder(command.folder / "results" / "arms")
    check_books(study, dict.fromkeys(ARMS, 2), evaluations=4)
    trials = table(study, "trials")
    assert (trials["space"] == trials["model"]).all()
    assert (trials["state"] == "completed").any()
    assert len(table(study, "runs")) == 12
    for _, folder in study.trials():
        assert (folder.path / "DONE").is_file() or (folder.path / "DIVERGED").is_file()
        assert folder.checkpoint.is_file()
        assert len(list(folder.samples.glob("*.png"))) == len(folder.rows()) / 2


def test_what_a_study_prints(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    for words in ("3 kimg", "2 seeds", "trials at a time", "trials 6/6 ended", "best trials", "left"):
        assert words in command.out
    for arm in ARMS:
        assert f"{arm}: 2 trials by tpe, stopped early by asha" in command.out
    assert "results: results/arms" in command.out
    assert "Traceback" not in command.out
    assert max(map(len, command.out.splitlines())) <= 140


def test_a_study_leaves_only_its_results(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    study = command.folder / "results" / "arms"
    tables = {f"{name}.parquet" for name in TABLES}
    assert {path.name for path in study.iterdir() if not path.name.startswith(".")} == (
        {"study.json", "optuna.journal", "trials"} | tables
    )
    assert not (study / ".ray").exists()
    assert list(study.rglob("*.tmp")) == []


def test_a_finished_study_is_extended(three_arms: tuple[Command, Start]) -> None:
    first, start = three_arms
    study = StudyFolder(first.folder / "results" / "arms")
    before = {name: (f.path / "curves.jsonl").read_bytes() for name, f in study.trials()}
    command = start("--resume", "results/arms", "--trials", "3")
    assert (command.wait(), command.err) == (0, "")
    check_books(study, dict.fromkeys(ARMS, 3), evaluations=4)
    for name, content in before.items():
        assert (study.trial(name).path / "curves.jsonl").read_bytes() == content
    for arm in ARMS:
        assert len({trial.params["lr_g"] for trial in journal(study, arm)}) == 3


def test_a_finished_study_has_nothing_to_resume(three_arms: tuple[Command, Start]) -> None:
    first, start = three_arms
    study = first.folder / "results" / "arms"
    tables = {name: (study / f"{name}.parquet").read_bytes() for name in TABLES}
    command = start("--resume", "results/arms")
    assert (command.wait(), command.err) == (0, "")
    assert "best trials" in command.out
    assert {name: (study / f"{name}.parquet").read_bytes() for name in TABLES} == tables


# Interruptions


def begin(start: Start, space: str, *more: str) -> Command:
    """A study of four trials in which, on return, one has ended and another has been evaluated twice."""
    arguments = [*TINY, "--kimg", "4", "--eval-kimg", "0.5", "--trials", "4", "--concurrency", "2"]
    command = start("--space", space, *arguments, "--name", "cut", *more)
    study = StudyFolder(command.folder / "results" / "cut")

    def under_way() -> bool:
        assert command.process.poll() is None, command.err
        folders = [folder for _, folder in study.trials()]
        ended = [folder for folder in folders if folder.ending()]
        return bool(ended) and any(len(f.rows()) >= 4 and not f.ending() for f in folders)

    wait_for(under_way)
    return command


def finished_files(study: StudyFolder) -> dict[str, bytes]:
    return {
        name: (folder.path / "curves.jsonl").read_bytes()
        for name, folder in study.trials()
        if folder.ending()
    }


def unfinished(study: StudyFolder) -> list[TrialFolder]:
    return [folder for _, folder in study.trials() if folder.exists() and not folder.ending()]


def test_a_killed_study_is_finished_by_resume(start: Start, small: str) -> None:
    command = begin(start, small)
    study = StudyFolder(command.folder / "results" / "cut")
    below = descendants(command.process.pid)
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    no_process_is_left(below)
    before = finished_files(study)
    rows = {folder.path.name: folder.rows() for folder in unfinished(study)}
    assert before
    assert any(rows.values())
    resumed = start("--resume", "results/cut")
    assert (resumed.wait(), resumed.err) == (0, "")
    check_books(study, {"small": 4}, evaluations=9)
    assert set(table(study, "trials")["state"]) == {"completed"}
    after = finished_files(study)
    assert {name: after[name] for name in before} == before
    for name, begun in rows.items():  # continued from the last checkpoint, at most one evaluation back
        kept = study.trial(name).rows()[: max(0, len(begun) - 2)]
        assert kept == begun[: len(kept)]


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(start: Start, small: str) -> None:
    command = begin(start, small)
    study = StudyFolder(command.folder / "results" / "cut")
    below = descendants(command.process.pid)
    began = time.monotonic()
    os.killpg(command.process.pid, signal.SIGINT)  # a terminal's Ctrl-C goes to all of the group
    assert command.wait(60) == 130
    assert time.monotonic() - began < 15
    no_process_is_left(below)
    assert command.err == ""
    assert "Traceback" not in command.out
    assert command.out.splitlines()[-1].endswith("python -m study.tune --resume results/cut")

    trials = table(study, "trials").set_index("trial_id")
    done = finished_files(study)
    assert done
    left = unfinished(study)
    assert left
    assert set(trials.index) == {*done, *(folder.path.name for folder in left)}
    assert {trials.loc[folder.path.name, "state"] for folder in left} == {"interrupted"}
    assert len(table(study, "curves")) == sum(len(f.rows()) for _, f in study.trials())

    # One of the interrupted trials can't go on: it fails, and the study goes on without it.
    broken = next(folder for folder in left if folder.checkpoint.is_file())
    broken.checkpoint.write_bytes(b"nothing that torch can read")
    resumed = start("--resume", "results/cut")
    assert (resumed.wait(), resumed.err) == (0, "")
    check_books(study, {"small": 4}, evaluations=9)
    states = table(study, "trials").set_index("trial_id")["state"]
    assert states.pop(broken.path.name) == "failed"
    assert set(states) == {"completed"}
    ending = broken.ending()
    assert ending is not None
    assert ending.error is not None
    assert "Traceback (most recent call last)" in ending.error
    assert "pack.pt: the checkpoint can't be read" in ending.error
    assert (broken.path / "FAILED").is_file()
    assert finished_files(study).items() >= done.items()


def test_a_worker_that_dies_fails_its_trial_only(start: Start, small: str) -> None:
    command = begin(start, small, "--scheduler", "fifo")
    study = StudyFolder(command.folder / "results" / "cut")
    workers = [pid for pid in descendants(command.process.pid) if b"TrialTrainable" in cmdline(pid)]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert (command.wait(), command.err) == (0, "")
    check_books(study, {"small": 4}, evaluations=9)
    states = table(study, "trials")["state"].value_counts().to_dict()
    assert states == {"completed": 3, "failed": 1}


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# Divergence, and the other schedulers


def test_a_space_that_diverges_ends_early_and_is_status_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "wild.yaml").write_text(SMALL_NETWORKS.format(low="1000.0", high="10000.0"))
    command = start("--space", "wild.yaml", *TINY, "--kimg", "100", "--trials", "3", "--name", "wild")
    assert command.wait() == 1
    study = StudyFolder(tmp_path / "results" / "wild")
    check_books(study, {"wild": 3})
    trials, runs = table(study, "trials"), table(study, "runs")
    assert set(trials["state"]) == {"diverged"}
    assert (trials["kimg"] < 50).all()
    assert trials["objective"].tolist() == trials["w1_ceiling"].tolist()
    assert (trials["failure_rate"] == 1).all()
    assert runs["diverged"].all()
    assert (runs["diverged_at_kimg"] > 0).all()
    assert all(runs["reason"])
    assert {trial.state for trial in journal(study, "wild")} == {TrialState.COMPLETE}
    assert command.err.count("\n") == 1
    assert command.err.startswith("error: no trial completed")
    assert "Traceback" not in command.out


@pytest.mark.parametrize("scheduler", ["hyperband"])
def test_other_schedulers_end_all_trials(scheduler: str, start: Start, small: str, tmp_path: Path) -> None:
    arguments = [*TINY, "--kimg", "3", "--eval-kimg", "1", "--trials", "4", "--name", "other"]
    command = start("--space", small, *arguments, "--scheduler", scheduler)
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "other")
    check_books(study, {"small": 4}, evaluations=4)
    assert read_json(study.path / "study.json")["plan"]["schedulers"] == {"small": scheduler}
