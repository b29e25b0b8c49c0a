"""Studies that are killed, stopped, or lose a process: nothing is lost, and what is told is true."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder
from study.trial.run import run
from tests.commands import Command, Start, alive, descendants, end_all, wait_for, wait_until_held, workers
from tests.studies import TINY, check_books, small, states, table, untimed

pytestmark = pytest.mark.study


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
    budget = ["--kimg", "2", "--eval-kimg", "0.5", "--trials", "5"]
    how = ["--pack", pack, "--concurrency", str(concurrency), "--name", "cut", *more]
    command = start("--space", "small.yaml", *TINY, *budget, *how, gate=gate)
    wait_until_held(command, concurrency)
    study = StudyFolder(folder / "results" / "cut")
    assert list(finished_files(study)) == [f"small-{number:05d}" for number in range(free)]
    return command, study


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
    check_books(study, {"small": 5}, evaluations=5)
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
    check_books(study, {"small": 5}, evaluations=5)
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
    check_books(study, {"small": 5}, evaluations=5)
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
    check_books(study, {"small": 5}, evaluations=5)
    assert set(states(study).values()) == {"completed"}
    assert finished_files(study).items() >= done.items()


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
    check_books(study, {"small": 5}, evaluations=5)
    assert set(states(study).values()) == {"completed"}


def test_a_trial_that_kills_its_process_takes_no_other_with_it(start: Start, tmp_path: Path) -> None:
    command, study = begin(start, tmp_path, "4", "--retries", "1", concurrency=1)
    deadly = "small-00002"
    (tmp_path / "gate" / f"{deadly}.deadly").touch()
    for closed in tmp_path.glob("gate/small-?????"):
        closed.unlink()
    assert (command.wait(), command.err) == (0, "")
    check_books(study, {"small": 5}, evaluations=5)
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
    check_books(study, {"small": 5}, evaluations=5)
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
    check_books(study, {"small": 5}, evaluations=5)
    assert set(states(study).values()) == {"completed"}
