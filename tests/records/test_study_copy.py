"""A study's copy holds what the folder holds, comes in an order that can be resumed, and only once."""

import random
from pathlib import Path
from typing import Any

import pytest

from study.machine.files import write_whole
from study.records.mirror import Mirror
from study.records.remote_folder import RemoteFolder
from study.records.study_copy import StudyCopy
from study.records.study_folder import StudyFolder
from study.records.trial_folder import MARKERS, TrialFolder
from tests.records.mirrored import copied, log_writes, mirror, put, to_copy
from tests.records.written import Add, ended, every_fate, rows, tables

CURVE = rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6])


@pytest.fixture(params=["s3", "file", "fsspec+memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder of each kind of file system."""
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    return f"{request.param}://{tmp_path}/copies/of-it"


def furnish(trial: TrialFolder) -> None:
    """Give a trial what its networks leave behind."""
    put(trial.path, {"checkpoint/pack.pt": b"pack", "checkpoint/best.pt": b"best", "samples/0000.png": b"0"})


def sent_once(study: StudyFolder, url: str) -> StudyCopy:
    """A copy to which the first trial has been sent as it now is."""
    copy = StudyCopy(study, RemoteFolder(url))
    copy.take_stock()
    copy.send_trial("a-00000")
    return copy


def test_a_copy_has_all_that_is_the_studys_own(study: StudyFolder, add: Add, url: str) -> None:
    every_fate(add)
    furnish(study.trial("a-00000"))
    tables(study)
    study.journal.write_bytes(b"{}\n")
    others = ["wandb/run/x.wandb", ".ray/session/y", ".lock", "trials/a-00000/.lock", "optuna.journal.lock"]
    put(study.path, dict.fromkeys([*others, "trials/a-00000/.curves.jsonl.0.tmp"], b"not the study's"))
    (study.path / "link").symlink_to("/etc/passwd")
    assert mirror(study, url)[1:] == ["mirror: complete"]
    (study.path / "link").unlink()
    assert copied(url) == to_copy(study)
    assert {"study.json", "trials.parquet", "judge/ring8-0.json", "optuna.journal"} <= copied(url).keys()
    assert "trials/a-00000/checkpoint/best.pt" in copied(url)


def test_what_has_not_changed_is_not_sent_again(
    study: StudyFolder, add: Add, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = add("a-00000", CURVE[:4])
    furnish(trial)
    copy = sent_once(study, url)
    written = log_writes(monkeypatch)
    copy.send_trial("a-00000")
    assert written == []
    trial.append(CURVE[4:])
    put(trial.path, {"checkpoint/pack.pt": b"kcap", "samples/0001.png": b"1"})
    copy.send_trial("a-00000")
    names = [name.removeprefix("trials/a-00000/") for name, _ in written]
    assert names == ["samples/0001.png", "curves.jsonl", "checkpoint/pack.pt"]


def test_a_trial_that_has_ended_is_sent_once(
    study: StudyFolder, add: Add, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for twice: after its last evaluation, when the marker may be there, and at its end."""
    furnish(add("a-00000", CURVE, ended("completed")))
    copy = sent_once(study, url)
    written = log_writes(monkeypatch)
    copy.send_trial("a-00000")
    assert written == []


def test_another_process_sends_what_is_not_there(
    study: StudyFolder, add: Add, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, ending in (("a-00000", ended("completed")), ("a-00001", None), ("a-00002", ended("completed"))):
        furnish(add(name, CURVE, ending))
    mirror(study, url)
    lost = ("trials/a-00000/samples/0000.png", "trials/a-00002/DONE")
    for name in lost:
        RemoteFolder(url).delete(name)
    written = log_writes(monkeypatch)
    assert mirror(study, url)[1:] == ["mirror: complete"]
    # Of a trial whose marker was not there it is not known whether the last state of its files was.
    again = {f"trials/{trial}/{file}" for trial in ("a-00001", "a-00002") for file in
             ("config.json", "curves.jsonl", "checkpoint/best.pt", "checkpoint/pack.pt")}  # fmt: skip
    assert {name for name, _ in written if name.startswith("trials/")} == {*lost, *again}
    assert copied(url) == to_copy(study)


def test_a_marker_that_was_taken_back_goes_first(
    study: StudyFolder, add: Add, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--retry-failed: or else the copy would say that the trial has failed, whatever comes of it."""
    trial = add("a-00000", CURVE[:4], ended("failed", None, kimg=1.0, error="boom"))
    mirror(study, url)
    assert study.reopen_failed() == ["a-00000"]
    trial.append(CURVE[4:])
    seen: list[bool] = []
    write = RemoteFolder.write

    def look(remote: RemoteFolder, name: str, content: bytes) -> None:
        seen.append("trials/a-00000/FAILED" in copied(url))
        write(remote, name, content)

    monkeypatch.setattr(RemoteFolder, "write", look)
    copy = StudyCopy(study, RemoteFolder(url))
    copy.take_stock()
    copy.send_trial("a-00000")
    assert seen
    assert not any(seen)


class Trainer:
    """A trial that is trained on while its files are read.

    Its checkpoints are the number of evaluations that it has made, and so is the number of its rows.
    """

    def __init__(self, trial: TrialFolder, evaluations: int, chance: random.Random) -> None:
        self.trial, self.left, self.made, self.chance = trial, evaluations, 0, chance
        self.pauses = False

    def goes_on(self) -> None:
        """By up to three evaluations, or to its end."""
        if self.pauses:
            return
        self.pauses = True  # as it writes, it reads
        for _ in range(self.chance.randrange(4)):
            if self.left:
                self.left -= 1
                self.made += 1
                self.trial.append(rows([1.0])[:1])
                for path in (self.trial.best, self.trial.checkpoint):
                    write_whole(path, self.write)
            elif self.trial.ending() is None:
                self.trial.finish(ended("completed"))
        self.pauses = False

    def write(self, path: Path) -> None:
        path.write_bytes(b"%d" % self.made)


@pytest.mark.parametrize("seed", range(20))
def test_a_copy_of_a_trial_in_training_is_never_ahead_of_its_curve(
    seed: int, study: StudyFolder, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/copy"
    trainer, ends = Trainer(add("a-00000", []), 12, random.Random(seed)), 0
    write, open_ = RemoteFolder.write, Path.open

    def check(remote: RemoteFolder, name: str, content: bytes) -> None:
        nonlocal ends
        trainer.goes_on()
        write(remote, name, content)
        trainer.pauses = True
        there = {name.removeprefix("trials/a-00000/"): data for name, data in copied(url).items()}
        trainer.pauses = False
        evaluations = int(there.get("checkpoint/pack.pt", b"0"))
        assert "config.json" in there
        assert there.get("curves.jsonl", b"").count(b"\n") >= evaluations
        assert int(there.get("checkpoint/best.pt", b"0")) >= evaluations
        if not there.keys().isdisjoint(MARKERS.values()):
            assert evaluations == 12
            ends += 1

    def trained_on(path: Path, *given: Any, **options: Any) -> Any:
        trainer.goes_on()
        file = open_(path, *given, **options)
        trainer.goes_on()
        return file

    monkeypatch.setattr(RemoteFolder, "write", check)
    monkeypatch.setattr(Path, "open", trained_on)
    copy = StudyCopy(study, RemoteFolder(url))
    copy.take_stock()
    for _ in range(20):
        copy.send_trial("a-00000")
    assert ends


def test_a_trial_that_began_again_is_never_ahead_of_its_curve(
    study: StudyFolder, add: Add, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = add("a-00000", CURVE)
    put(trial.path, {"checkpoint/pack.pt": b"3"})
    copy = sent_once(study, bucket)
    trial.keep_rows_before(1)
    put(trial.path, {"checkpoint/pack.pt": b"1"})
    written = log_writes(monkeypatch)
    copy.send_trial("a-00000")
    names = [name.removeprefix("trials/a-00000/") for name, _ in written]
    assert names == ["checkpoint/pack.pt", "curves.jsonl"]


def test_the_journal_tells_of_no_trial_that_is_not_there(
    study: StudyFolder, add: Add, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials end while others are being copied."""
    study.journal.write_bytes(b"")
    written = log_writes(monkeypatch)
    found = Mirror(bucket, study, lambda _: None)
    for number in range(30):
        name = f"a-{number:05d}"
        add(name, CURVE, ended("completed"))
        found.trial(name)
        with study.journal.open("a") as file:
            file.write(f"{name}\n")
        found.study()
    found.close(20)
    there: set[str] = set()
    journals = 0
    for name, content in written:
        there.add(name)
        if name == "optuna.journal":
            journals += 1
            assert {f"trials/{trial}/DONE" for trial in content.decode().split()} <= there
    assert journals > 1
    assert len(copied(bucket)["optuna.journal"].splitlines()) == 30


def test_the_judge_comes_before_the_plan_that_names_it(
    study: StudyFolder, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = log_writes(monkeypatch)
    mirror(study, bucket)
    assert [name for name, _ in written][:2] == ["judge/ring8-0.json", "study.json"]


def test_a_file_elsewhere_than_in_a_bucket_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RemoteFolder(f"file://{tmp_path}/copies")
    folder.write("a/b", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_files", Full(folder._files))
        with pytest.raises(OSError, match="No space left"):
            folder.write("a/b", b"after")
    assert folder.read("a/b") == b"before"
    folder.write("a/b", b"after")
    assert folder.read("a/b") == b"after"
    assert folder.sizes() == {"a/b": 5}


class Full:
    """A file system whose files can be begun and not ended."""

    def __init__(self, files: object) -> None:
        self._files = files

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)

    def move(self, *_: str) -> None:
        raise OSError(28, "No space left on device")
