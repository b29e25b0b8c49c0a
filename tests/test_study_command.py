"""Whole studies through the command line, with Ray: they end, tell the truth, and survive kills."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from optuna.trial import TrialState

from study.data import facts, prepare
from study.machine.files import read_json
from study.metrics.judge.evaluator import evaluator_for
from study.metrics.judge.floor import floors
from study.records.schema import TIMED
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES
from study.records.trial_folder import TrialFolder
from study.reporting.timing import WORKER_PARTS
from study.trial.run import run
from tests.recomputed import check_tables
from tests.studies import TINY, check_books, journal, small, states, table, untimed

pytestmark = pytest.mark.study


@dataclass
class Command:
    """A study.tune that runs, or has run, in `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path
    began: float
    seconds: float = 0.0

    @property
    def out(self) -> str:
        return (self.folder / "out.txt").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err.txt").read_text()

    def wait(self, seconds: float = 150) -> int:
        status = self.process.wait(seconds)
        self.seconds = self.seconds or time.perf_counter() - self.began
        return status


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [tuple(map(int, line.split())) for line in lines.splitlines()]
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, parent in pairs if parent in newest} - found
        found |= newest
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run, zombies left out."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True).stdout
    stats = {int(pid): stat for pid, stat in (line.split() for line in lines.splitlines())}
    return {pid for pid in pids if stats.get(pid, "Z")[0] != "Z"}


def workers(pids: set[int]) -> set[int]:
    """Those that run trials."""

    def name(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    return {pid for pid in alive(pids) if b"Trainable" in name(pid) or b"PackWorker" in name(pid)}


def wait_for(condition: Callable[[], object], seconds: float = 100) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def end_all(pids: set[int]) -> None:
    """End what a killed driver left: Ray's agents notice its death within a minute only."""
    for pid in alive(pids):
        os.kill(pid, signal.SIGKILL)


Start = Callable[..., Command]


def starter(folder: Path) -> Iterator[Start]:
    """Starts `python -m study.tune` in a folder, as the leader of its own process group.

    Its trials stop at the `gate` if one is given (tests/gate).
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, gate: Path | None = None) -> Command:
        environment = {**os.environ}
        if gate is not None:
            paths = [str(Path(__file__).parent / "gate"), os.environ.get("PYTHONPATH", "")]
            environment |= {"GATE": str(gate), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        began = time.perf_counter()
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "study.tune", *arguments],
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        started.append(process)
        return Command(process, folder, began)

    yield start
    for process in started:
        if process.poll() is None:
            below = descendants(process.pid)
            process.kill()
            process.wait()
            end_all(below)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    yield from starter(tmp_path)


@pytest.fixture(scope="module")
def three_arms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, Start]]:
    """One study of the project's own spaces, ended."""
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


def test_every_figure_of_its_tables_is_that_of_a_second_implementation(
    three_arms: tuple[Command, Start],
) -> None:
    command, _ = three_arms
    check_tables(command.folder / "results" / "arms")


def test_the_parts_of_its_cost_sum_to_the_wall_time(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    cost = read_json(command.folder / "results" / "arms" / "study.json")["cost"]
    wall = command.seconds
    # Of the command's time, its interpreter's start and end and the last table shown are not in it.
    assert 0.85 * wall < cost["wall_seconds"] < wall
    assert sum(cost["driver_seconds"].values()) == pytest.approx(cost["wall_seconds"], rel=1e-9)
    assert sum(cost["slot_seconds"].values()) == pytest.approx(cost["slots"] * cost["wall_seconds"], rel=1e-9)
    assert all(cost["slot_seconds"][part] > 0 for part in WORKER_PARTS if part != "wait")
    assert cost["slot_seconds"]["idle"] > -0.01 * wall


def test_study_json_tells_of_the_data_their_floor_and_the_price(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    record = read_json(command.folder / "results" / "arms" / "study.json")
    floor = evaluator_for("ring8", torch.device("cpu")).floor
    assert record["floor"] == floor == floors(command.folder / "results" / "arms" / "judge", "ring8")
    assert not {"classifier_accuracy", "judge_sha256"} & record.keys()
    assert record["measured_seconds"].keys() == {*ARMS}
    assert record["plan"]["fingerprint"] == facts(prepare("ring8"))[0]


def test_what_a_study_prints(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    for words in ("3 kimg", "2 seeds", "trials at a time", "cost: about", "best trials"):
        assert words in command.out
    for arm in ARMS:
        assert f"{arm}: 2 trials by tpe, stopped early by asha" in command.out
        assert f"{arm}: made to find its best" in command.out
    assert "results: results/arms" in command.out
    assert "report: python -m analysis.report results/arms" in command.out
    assert command.out.count("keeping the best evaluation's networks beside the last checkpoint: about") == 1
    assert "Traceback" not in command.out
    assert max(map(len, command.out.splitlines())) <= 140


def test_a_study_leaves_only_its_results(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    study = command.folder / "results" / "arms"
    tables = {f"{name}.parquet" for name in TABLES}
    assert {path.name for path in study.iterdir() if not path.name.startswith(".")} == (
        {"study.json", "optuna.journal", "ray.log", "trials", "judge"} | tables
    )
    assert (study / "ray.log").read_text() == ""
    assert not (study / ".ray").exists()
    assert list(study.rglob("*.tmp")) == []


def test_a_finished_study_is_extended_from_the_command_line(three_arms: tuple[Command, Start]) -> None:
    first, start = three_arms
    study = StudyFolder(first.folder / "results" / "arms")
    before = {name: (f.path / "curves.jsonl").read_bytes() for name, f in study.trials()}
    command = start("--resume", "results/arms", "--trials", "3")
    assert (command.wait(), command.err) == (0, "")
    check_books(study, dict.fromkeys(ARMS, 3), evaluations=4)
    assert read_json(study.path / "study.json")["plan"]["trials"] == dict.fromkeys(ARMS, 3)
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


def begin(
    start: Start, folder: Path, pack: str, *more: str, concurrency: int = 2
) -> tuple[Command, StudyFolder]:
    """A study of five trials of which, on return, the first have ended (one, or those of the first pack).

    Each of its processes that train stands at the gate, in a trial that has been evaluated three times;
    what is resumed without the gate is not held.
    """
    (folder / "small.yaml").write_text(yaml.safe_dump(small()))
    gate = folder / "gate"
    gate.mkdir()
    free = 1 if pack == "trial" else 2
    for number in range(free, 5):
        (gate / f"small-{number:05d}").touch()
    budget = ["--kimg", "4", "--eval-kimg", "0.5", "--trials", "5"]
    how = ["--pack", pack, "--concurrency", str(concurrency), "--name", "cut", *more]
    command = start("--space", "small.yaml", *TINY, *budget, *how, gate=gate)
    wait_until_held(command, concurrency)
    study = StudyFolder(folder / "results" / "cut")
    assert list(finished_files(study)) == [f"small-{number:05d}" for number in range(free)]
    return command, study


def wait_until_held(command: Command, trials: int) -> None:
    """Until so many trials have come to the gate, since it was closed."""

    def held() -> bool:
        assert command.process.poll() is None, command.err
        return len(list(command.folder.glob("gate/*.held"))) == trials

    wait_for(held)


def finished_files(study: StudyFolder) -> dict[str, bytes]:
    """The curves of the trials that have ended."""
    files = {n: f.path / "curves.jsonl" for n, f in study.trials() if f.ending()}
    return {n: file.read_bytes() if file.exists() else b"" for n, file in files.items()}


def unfinished(study: StudyFolder) -> list[TrialFolder]:
    return [f for _, f in study.trials() if f.exists() and not f.ending()]


@pytest.mark.parametrize("pack", ["trial", "4"])
def test_a_killed_study_is_finished_by_resume(pack: str, start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, pack)
    below = descendants(command.process.pid)
    command.process.kill()
    assert command.wait() == -signal.SIGKILL
    try:
        before = finished_files(study)
        begun = {folder.path.name: folder.rows() for folder in unfinished(study)}
        assert any(begun.values())
        resumed = start("--resume", "results/cut")  # at once: workers of the killed driver may still be dying
        assert (resumed.wait(), resumed.err) == (0, "")
        assert not workers(below)
    finally:
        end_all(below)
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}
    assert finished_files(study).items() >= before.items()
    for name, rows in begun.items():  # continued from the last checkpoint, which no evaluation was behind
        assert study.trial(name).rows()[: len(rows)] == rows


def test_a_trial_whose_process_is_killed_goes_on(start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "trial")
    os.kill(workers(descendants(command.process.pid)).pop(), signal.SIGKILL)
    for closed in tmp_path.glob("gate/small-*"):
        closed.unlink()
    assert (command.wait(), command.err) == (0, "")
    assert command.out.count("its process died (killed, out of memory, or its machine was lost)") == 1
    assert "it goes on from its last checkpoint (retry 1 of 3)" in command.out
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}
    for name, folder in study.trials():
        alone = TrialFolder(tmp_path / name)
        list(run(folder.plan(), alone, torch.device("cpu")))
        assert untimed(folder.rows()) == untimed(alone.rows())


def test_a_trial_that_is_lost_too_often_has_failed_and_can_be_tried_again(
    start: Start, tmp_path: Path
) -> None:
    command, study = begin(start, tmp_path, "trial", "--retries", "0")
    os.kill(workers(descendants(command.process.pid)).pop(), signal.SIGKILL)
    for closed in tmp_path.glob("gate/small-*"):
        closed.unlink()
    assert (command.wait(), command.err) == (0, "")
    (lost,) = (name for name, state in states(study).items() if state == "failed")
    ending = study.trial(lost).ending()
    assert ending is not None
    assert ending.error == "its process died (killed, out of memory, or its machine was lost)"
    before = {name: file for name, file in finished_files(study).items() if name != lost}
    resumed = start("--resume", "results/cut", "--retry-failed")
    assert (resumed.wait(), resumed.err) == (0, "")
    assert f"to be tried again: {lost}" in resumed.out
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}
    assert finished_files(study).items() >= before.items()


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(start: Start, tmp_path: Path) -> None:
    """After it, the checkpoint of one of the interrupted trials is damaged: it begins again."""
    command, study = begin(start, tmp_path, "trial")
    below = descendants(command.process.pid)
    began = time.monotonic()
    os.killpg(command.process.pid, signal.SIGINT)  # a terminal's Ctrl-C goes to all of the group
    assert command.wait(60) == 130
    assert time.monotonic() - began < 15
    assert "Traceback" not in command.out + command.err
    assert command.out.splitlines()[-1].endswith("python -m study.tune --resume results/cut")
    wait_for(lambda: not alive(below), seconds=15)

    done = finished_files(study)
    left = unfinished(study)
    assert states(study) == {
        **dict.fromkeys(done, "completed"),
        **{folder.path.name: "interrupted" for folder in left},
    }
    assert len(table(study, "curves")) == sum(len(f.rows()) for _, f in study.trials())

    broken = next(folder for folder in left if folder.checkpoint.is_file())
    broken.checkpoint.write_bytes(b"nothing that torch can read")
    resumed = start("--resume", "results/cut")
    assert (resumed.wait(), resumed.err) == (0, "")
    assert f"{broken.path.name}: {broken.checkpoint}: the checkpoint can't be read" in resumed.out
    assert "it begins again" in resumed.out
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}
    assert finished_files(study).items() >= done.items()


def test_a_space_that_diverges_ends_early_and_is_status_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "wild.yaml").write_text(yaml.safe_dump(small(1e3, 1e4)))
    budget = ["--kimg", "100", "--trials", "3"]
    command = start("--space", "wild.yaml", *TINY, *budget, "--name", "wild", "--map", "--report")
    assert command.wait() == 1
    study = StudyFolder(tmp_path / "results" / "wild")
    assert study.plan().maps("wild")
    assert "report: results/wild/report/report.html" in command.out
    assert (study.path / "report" / "report.html").is_file()
    check_books(study, {"wild": 3})
    trials, runs = table(study, "trials"), table(study, "runs")
    assert set(trials["state"]) == {"diverged"}
    assert (trials["kimg"] < 50).all()
    first = table(study, "curves").query("evaluation == 0")
    assert trials["objective"].tolist() == first.groupby("trial_id")["w1"].mean().tolist()
    assert (trials["failure_rate"] == 1).all()
    assert runs["diverged"].all()
    assert (runs["diverged_at_kimg"] > 0).all()
    assert all(runs["reason"])
    assert {trial.state for trial in journal(study, "wild")} == {TrialState.COMPLETE}
    assert command.err.count("\n") == 1
    assert command.err.startswith("error: no trial completed")
    assert "Traceback" not in command.out


@pytest.mark.parametrize("pack", ["trial", "4"])
def test_hyperband_ends_all_trials(pack: str, start: Start, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small()))
    budget = ["--kimg", "3", "--eval-kimg", "1", "--trials", "4"]
    how = ["--scheduler", "hyperband", "--pack", pack, "--cpus-per-trial", "0.5", "--concurrency", "1"]
    command = start("--space", "small.yaml", *TINY, *budget, *how, "--name", "bands")
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "bands")
    check_books(study, {"small": 4}, evaluations=4)
    assert set(table(study, "trials")["ended_by"]) <= {"budget", "hyperband"}
    assert read_json(study.path / "study.json")["cost"]["slot_seconds"]["idle"] > -0.1


@pytest.mark.parametrize("pack", ["4", "auto"])
def test_trials_that_share_packs_end_as_alone(pack: str, start: Start, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small()))
    budget = ["--kimg", "0.6", "--eval-kimg", "0.2", "--trials", "8", "--concurrency", "1"]
    command = start("--space", "small.yaml", *TINY, *budget, "--pack", pack, "--name", "shared")
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "shared")
    check_books(study, {"small": 8}, evaluations=4)
    for name, folder in study.trials():
        alone = TrialFolder(tmp_path / name)
        list(run(folder.plan(), alone, torch.device("cpu")))
        for row, other in zip(folder.rows(), alone.rows(), strict=True):
            assert row["w1"] == pytest.approx(other["w1"], rel=0.02)  # bf16, twenty updates
    if pack == "4":
        replay = [sys.executable, "-m", "study.train", "--replay", str(study.trial("small-00000").path)]
        replayed = subprocess.run(replay, capture_output=True, text=True)
        assert (replayed.returncode, replayed.stderr) == (0, "")
        assert "it shared its pack with small-00001" in replayed.stdout
    record = read_json(study.path / "study.json")
    members = int(re.search(r"a pack has up to (\d+) members", command.out)[1])  # type: ignore[index]
    cost = record["cost"]
    assert cost["slots"] == members // 2
    assert sum(cost["slot_seconds"].values()) == pytest.approx(cost["slots"] * cost["wall_seconds"], rel=1e-9)
    assert cost["slot_seconds"]["train"] > 0
    if pack == "auto":
        sizes = record["pack_sizes"]["small"]
        assert [size["members"] for size in sizes] == [2, 4]  # two trials at a time are a quarter of eight
        assert members in [size["members"] for size in sizes]
        assert all(size["rate"] > 0 and size["mib"] >= 0 for size in sizes)
    else:
        assert members == 4


def test_a_fault_in_a_pack_is_recorded_as_that_of_its_trial(start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "4", concurrency=1)
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.wait(60) == 130
    broken = next(folder for folder in unfinished(study) if folder.checkpoint.is_file())
    torch.save({"of": "another program"}, broken.checkpoint)
    assert start("--resume", "results/cut").wait() == 0
    found = states(study)
    assert found.pop(broken.path.name) == "failed"
    assert set(found.values()) == {"completed"}
    ending = broken.ending()
    assert ending is not None
    assert ending.error is not None
    assert ending.error.startswith("Traceback (most recent call last)")
    assert "pack.pt is no checkpoint of this trial" in ending.error
    assert "ray" not in ending.error


def test_a_pack_worker_that_dies_is_followed_by_another(start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "4", concurrency=1)
    below = descendants(command.process.pid)
    (worker,) = (pid for pid in alive(below) if b"PackWorker" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(worker, signal.SIGKILL)
    for closed in tmp_path.glob("gate/small-*"):
        closed.unlink()
    assert command.wait() == 0
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}


def test_a_trial_that_kills_its_process_takes_no_other_with_it(start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "4", "--retries", "1", concurrency=1)
    deadly = "small-00002"
    (tmp_path / "gate" / f"{deadly}.deadly").touch()
    for closed in tmp_path.glob("gate/small-?????"):
        closed.unlink()
    assert (command.wait(), command.err) == (0, "")
    check_books(study, {"small": 5}, evaluations=9)
    found = states(study)
    assert found.pop(deadly) == "failed"
    assert set(found.values()) == {"completed"}
    ending = study.trial(deadly).ending()
    assert ending is not None
    assert ending.error == "its process died 2 times (killed, out of memory, or its machine was lost)"
    assert f"{deadly}: its process died (killed, out of memory, or its machine was lost)" in command.out
    innocent = "its pack's process died; it went on from its last checkpoint, in a pack of its own"
    assert f"small-00003: {innocent}" in command.out.splitlines()
    assert "small-00003: its process" not in command.out
    (tmp_path / "gate" / f"{deadly}.deadly").unlink()
    assert start("--resume", "results/cut", "--retry-failed").wait() == 0
    assert set(states(study).values()) == {"completed"}


def test_a_trial_whose_asker_is_killed_is_begun_anew_by_its_pack_worker(start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "4", concurrency=1)
    below = workers(descendants(command.process.pid))
    askers = {pid for pid in below if b"Trainable" in Path(f"/proc/{pid}/cmdline").read_bytes()}
    assert len(askers) == 2
    os.kill(askers.pop(), signal.SIGKILL)
    wait_for(lambda: "retry 1 of 3" in command.out)
    for closed in tmp_path.glob("gate/small-?????"):
        closed.unlink()
    assert (command.wait(), command.err) == (0, "")
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}


@pytest.mark.parametrize("process", ["raylet", "gcs_server"])
def test_a_study_that_loses_ray_says_so_and_can_go_on(process: str, start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "trial")
    below = descendants(command.process.pid)
    named = [pid for pid in below if Path(f"/proc/{pid}/comm").read_text().strip() == process]
    try:
        os.kill(named[0], signal.SIGKILL)
        assert command.wait(30) == 1
        what = {"raylet": "its process on this machine (raylet)", "gcs_server": "its head (GCS)"}[process]
        assert command.err == f"error: Ray is gone: {what} does not answer\n"
        last = command.out.splitlines()[-1]
        assert last == "not finished; continue with: python -m study.tune --resume results/cut"
        assert len(table(study, "trials")) == 3
    finally:
        end_all(below)
    resumed = start("--resume", "results/cut")
    assert (resumed.wait(), resumed.err) == (0, "")
    check_books(study, {"small": 5}, evaluations=9)
    assert set(states(study).values()) == {"completed"}


README = (Path(__file__).parents[1] / "README.md").read_text()


def hinge(folder: Path) -> list[str]:
    """Two trials, of three seeds, of the networks that the README declares: the command's arguments."""
    (folder / "mine.py").write_text(README.partition("```python\n")[2].partition("```")[0])
    (folder / "hinge.yaml").write_text(yaml.safe_dump(small(model="hinge")))
    budget = ["--kimg", "2", "--eval-kimg", "0.5", "--trials", "2", "--concurrency", "1"]
    return ["--space", "hinge.yaml", "--plugin", "mine.py", *TINY, "--seeds", "3", *budget]


def test_a_study_of_a_plugin_is_killed_and_resumed_to_the_same_tables(start: Start, tmp_path: Path) -> None:
    what = [*hinge(tmp_path), "--sampler", "qmc"]  # which a resumed study goes on with where it stood
    whole = start(*what, "--name", "whole")
    assert (whole.wait(), whole.err) == (0, "")
    assert "the critic of hinge: members are computed one after another" in whole.out

    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "hinge-00000").touch()
    command = start(*what, "--name", "cut", gate=tmp_path / "gate")
    wait_until_held(command, 1)
    below = descendants(command.process.pid)
    command.process.kill()
    command.wait()
    try:
        resumed = start("--resume", "results/cut", "--plugin", "mine.py")
        assert (resumed.wait(), resumed.err) == (0, "")
    finally:
        end_all(below)
    studies = [StudyFolder(tmp_path / "results" / name) for name in ("whole", "cut")]
    for name in TABLES:
        tables = [table(study, name) for study in studies]
        same = [c for c in tables[0].columns if c not in TIMED and c != "study"]
        pd.testing.assert_frame_equal(tables[0][same], tables[1][same])
    assert table(studies[0], "runs")["seed"].tolist() == [0, 1, 2] * 2
    assert set(states(studies[0]).values()) == {"completed"}


def test_trials_of_a_plugin_share_packs(start: Start, tmp_path: Path) -> None:
    command = start(*hinge(tmp_path), "--pack", "6", "--name", "shared")
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "shared")
    assert set(states(study).values()) == {"completed"}
    (recorded,) = read_json(study.path / "study.json")["plan"]["plugins"]
    assert Path(recorded["path"]) == (tmp_path / "mine.py").resolve()
