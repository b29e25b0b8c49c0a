"""A node without the study's folder: what a trial needs comes, what it adds goes back, and nobody else's."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import RayTaskError

from study.errors import StoppedError
from study.records.study_folder import StudyFolder
from study.records.trial_folder import GivenAwayError, TrialFolder
from study.runner import workplace
from study.runner.worker import PackWorker
from study.runner.workplace import SCRATCH, Home, Keeper, Workplace, mark
from study.trial.run import run
from tests.studies import study_plan, trial_plan, untimed

pytestmark = pytest.mark.usefixtures("cheap_transport")

CPU = torch.device("cpu")
PLAN = trial_plan(0)
OWN = f"gan-study-{socket.gethostname()}-{os.getuid()}"  # of this machine, below the folder for scratch


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "results" / "mine")
    folder.create(study_plan(), [], {})
    folder.trial(PLAN.trial_id).create(PLAN)
    return folder


@pytest.fixture
def home(folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Of nodes that don't have it."""
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    monkeypatch.setattr(workplace, "ray", SimpleNamespace(get=lambda answer: answer))
    keeper = Keeper(str(folder.path))
    names = ("judge", "keep_judge", "give", "keep")
    remote = {name: SimpleNamespace(remote=getattr(keeper, name)) for name in names}
    return Home(str(folder.path), mark(folder), SimpleNamespace(**remote))


def train(place: Workplace, evaluations: int | None = None) -> None:
    """Up to so many evaluations of the trial."""
    found = run(PLAN, place.begin(PLAN.trial_id), CPU)
    for _ in range(evaluations or 100):
        if next(found, None) is None:
            break
        place.send(PLAN.trial_id)
    found.close()


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def undisturbed(path: Path) -> list[dict[str, Any]]:
    alone = TrialFolder(path / "alone" / "trials" / PLAN.trial_id)
    list(run(PLAN, alone, CPU))
    return untimed(alone.rows())


def test_a_trial_that_moves_ends_as_if_it_had_not(home: Home, folder: StudyFolder, tmp_path: Path) -> None:
    first, second, third = Workplace(home), Workplace(home), Workplace(home)
    first.fetch_judge()
    train(first, 2)
    train(second, 1)
    train(third)
    own = folder.trial(PLAN.trial_id)
    assert untimed(own.rows()) == undisturbed(tmp_path)
    ending = own.ending()
    assert ending is not None
    assert ending.state == "completed"
    assert len(list(own.samples.iterdir())) == 2 * 5  # a picture and its arrays, from all three
    assert {name for name in tree(own.path) if name.startswith("checkpoint")} == {
        "checkpoint/pack.pt",
        "checkpoint/best.pt",
    }
    for place in (first, second, third):
        place.leave(PLAN.trial_id)
        assert not list(place.root.glob("trials/*"))


def test_what_is_sent_is_there_before_the_next_evaluation_and_no_more_than_is_new(
    home: Home, folder: StudyFolder
) -> None:
    place, sent = Workplace(home), list[list[str]]()
    keep = home.keeper.keep.remote

    def keeping(trial_id: str, claim: str, files: dict[str, bytes]) -> None:
        sent.append(sorted(files))
        keep(trial_id, claim, files)

    home.keeper.keep.remote = keeping
    found = run(PLAN, place.begin(PLAN.trial_id), CPU)
    for evaluation in range(3):
        next(found)
        place.send(PLAN.trial_id)
        rows = folder.trial(PLAN.trial_id).rows()
        assert rows[-1]["evaluation"] == evaluation
    found.close()
    assert {"samples/0002.png", "samples/0002.npz", "curves.jsonl", "checkpoint/pack.pt"} <= set(sent[2])
    assert not {"samples/0001.png", "config.json", "environments.json"} & set(sent[2])
    place.send(PLAN.trial_id)
    assert sent[-1] == []


def test_a_node_whose_trial_was_given_away_can_send_nothing_more(home: Home, folder: StudyFolder) -> None:
    lost, next_one = Workplace(home), Workplace(home)
    train(lost, 2)
    before = tree(folder.trial(PLAN.trial_id).path)
    next_one.begin(PLAN.trial_id)
    list(run(PLAN, lost.folder(PLAN.trial_id), CPU))  # it lives on
    with pytest.raises(GivenAwayError):
        lost.send(PLAN.trial_id)
    after = tree(folder.trial(PLAN.trial_id).path)
    assert after.pop(".claim") != before.pop(".claim")
    assert after == before


def test_one_judge_for_all(home: Home, folder: StudyFolder) -> None:
    first, second = Workplace(home), Workplace(home)
    judges = StudyFolder(first.root).judges
    judges.mkdir(parents=True)
    (judges / "judge.json").write_text("made here")
    first.send_judge()
    second.fetch_judge()
    assert tree(StudyFolder(second.root).judges) == tree(folder.judges) == {"judge.json": b"made here"}


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_node_finds_out_whether_it_has_the_folder(folder: StudyFolder, is_marked: bool) -> None:
    marker = mark(folder)
    assert Home(str(folder.path), marker if is_marked else "of another study").is_here() is is_marked
    assert not Home("/no/such/folder", marker).is_here()


def test_a_study_of_one_machine_sends_nothing(folder: StudyFolder) -> None:
    place = Workplace(Home(str(folder.path)))
    assert place.begin(PLAN.trial_id).path == folder.trial(PLAN.trial_id).path
    place.send(PLAN.trial_id)
    place.leave(PLAN.trial_id)
    assert folder.trial(PLAN.trial_id).exists()


def test_what_dead_processes_left_on_a_node_goes(home: Home, tmp_path: Path) -> None:
    above = tmp_path / "scratch" / OWN
    (above / "999999999-x").mkdir(parents=True)
    (above / f"{os.getpid()}-x").mkdir()
    place = Workplace(home)
    assert {path.name for path in above.iterdir()} == {f"{os.getpid()}-x", place.root.name}


def test_a_folder_for_scratch_that_is_a_link_is_not_emptied(home: Home, tmp_path: Path) -> None:
    theirs, above = tmp_path / "home", tmp_path / "scratch" / OWN
    (theirs / "letters").mkdir(parents=True)
    above.parent.mkdir()
    above.symlink_to(theirs)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        Workplace(home)
    assert (theirs / "letters").exists()


def test_a_full_disk_of_the_driver_is_no_fault_of_a_trial(
    home: Home, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray tells a pack worker of it, which has the trial."""

    def get(answer: Callable[[], Any]) -> Any:
        try:
            return answer()
        except Exception as error:
            known = RayTaskError("keep", "", error, "a process", 1, "127.0.0.1").as_instanceof_cause()
        raise known

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    keeper = Keeper(str(folder.path))
    remote = {
        name: SimpleNamespace(remote=partial(partial, getattr(keeper, name)))
        for name in ("judge", "keep_judge", "give", "keep")
    }
    monkeypatch.setattr(workplace, "ray", SimpleNamespace(get=get))
    worker = PackWorker(replace(home, keeper=SimpleNamespace(**remote)), 1, "cpu", [])

    async def train() -> None:
        await worker.begin(PLAN.to_dict(), alone=False)
        monkeypatch.setattr(workplace, "write_whole", full)
        await worker.next(PLAN.trial_id)

    with pytest.raises(StoppedError) as raised:
        asyncio.run(train())
    assert "there is no space left on the disk of " in str(raised.value.cause)  # type: ignore[attr-defined]
