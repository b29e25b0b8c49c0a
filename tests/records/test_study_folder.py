"""A study's folder: made once, read strictly, driven by one process at a time."""

import errno
import fcntl
import json
import math
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Timer

import pytest

from study.errors import UserError
from study.machine.files import read_json, write_json
from study.records.schema import VERSION
from study.records.study_folder import StudyFolder, command_line
from tests.studies import small, study_plan

PLAN = study_plan(spaces={"wgan_gp": small()})


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "results" / "mine")
    folder.create(PLAN, ["python", "-m", "study.tune"], {"cpus": 2})
    return folder


def test_a_folder_that_was_started_in_and_is_gone_leaves_no_half_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    study = StudyFolder(tmp_path / "results" / "mine")
    with pytest.raises(UserError, match="the folder that this was started in is gone"):
        study.create(PLAN, [], {})
    assert not study.path.exists()


def test_a_study_that_cant_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("study.records.study_folder.write_json", full)
    study = StudyFolder(tmp_path / "results" / "mine")
    with pytest.raises(UserError, match="can't be written: No space left"):
        study.create(PLAN, [], {})
    assert not study.path.exists()


def test_study_json_says_what_was_run(folder: StudyFolder) -> None:
    record = folder.read()
    assert record["command"] == ["python", "-m", "study.tune"]
    assert record["hardware"] == {"cpus": 2}
    assert record["plan"] == json.loads(json.dumps(PLAN.to_dict()))
    assert {"torch", "ray", "optuna", "wandb"} <= set(record["packages"])
    assert all(record["packages"].values())
    assert datetime.fromisoformat(record["started"]).tzinfo is not None
    assert "git_commit" in record


def test_the_plan_survives(folder: StudyFolder) -> None:
    assert folder.plan() == PLAN


def test_a_study_is_named_by_its_folder(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.path)
    assert StudyFolder(Path()).name == "mine"


def test_an_existing_study_is_not_overwritten(folder: StudyFolder) -> None:
    before = (folder.path / "study.json").read_text()
    with pytest.raises(UserError, match=r"exists already; continue it with --resume .*mine"):
        folder.create(PLAN, [], {})
    assert (folder.path / "study.json").read_text() == before


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/mine can't be written: Not a directory"):
        StudyFolder(tmp_path / "file" / "mine").create(PLAN, [], {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_resuming_keeps_the_rest_and_is_noted(folder: StudyFolder) -> None:
    before = folder.read()
    longer = replace(PLAN, trials={"wgan_gp": 5})
    folder.resume(longer, ["python", "-m", "study.tune"], {"cpus": 3})
    folder.add_facts(floor={"w1": {"mean": 0.06, "std": 0.01}})
    after = folder.read()
    assert folder.plan() == longer
    assert after.pop("floor") == {"w1": {"mean": 0.06, "std": 0.01}}
    (again,) = after.pop("resumed")
    assert (again["command"], again["hardware"]) == (["python", "-m", "study.tune"], {"cpus": 3})
    assert before.pop("resumed") == []
    assert {**after, "plan": None} == {**before, "plan": None}


def test_trials_come_in_the_order_of_their_ids(folder: StudyFolder) -> None:
    for name in ("b-00001", "a-00002", "b-00000"):
        (folder.path / "trials" / name).mkdir()
    (folder.path / "trials" / "a-file").touch()
    assert [name for name, _ in folder.trials()] == ["a-00002", "b-00000", "b-00001"]
    assert [trial.path.name for _, trial in folder.trials()] == ["a-00002", "b-00000", "b-00001"]


def test_a_folder_without_trials_has_none(tmp_path: Path) -> None:
    assert list(StudyFolder(tmp_path).trials()) == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "null", "{}", '{"plan": {}}', '{"plan": 3}', '{"plan": null}', '{"plan": {"x": 1}}'],
)
def test_a_damaged_study_json_is_a_user_error(folder: StudyFolder, content: str) -> None:
    (folder.path / "study.json").write_text(content)
    with pytest.raises(UserError, match="mine") as caught:
        folder.plan()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("command", "python", "command = 'python' is not a list"),
        ("started", 3, "started = 3 is not text"),
        ("packages", {"torch": 3}, "packages: 'torch' = 3 is not text or null"),
        ("hardware", [], "hardware = [] is not a dict"),
        ("hardware", {"gpus": 3}, "hardware: gpus = 3 is not a list"),
        ("resumed", {}, "resumed = {} is not a list"),
        ("resumed", [3], "resumed[0] = 3 is not a dict"),
        ("cost", {"slot_seconds": {"train": "1"}}, "'train' = '1' is not a finite number"),
        ("cost", {"wall_seconds": math.inf}, "wall_seconds = inf is not a finite number"),
        ("judge_sha256", None, "judge_sha256 = None is not text"),
        ("plan", None, "plan = None is not a dict"),
    ],
)
def test_what_study_json_says_has_its_types(folder: StudyFolder, key: str, value: object, words: str) -> None:
    record = {**read_json(folder.path / "study.json"), key: value}
    (folder.path / "study.json").write_text(json.dumps(record))
    with pytest.raises(UserError) as caught:
        folder.read()
    assert str(caught.value).startswith(f"{folder.path} is not a readable study folder: study.json: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("seed", "0"), ("seed", None), ("aggregate", "max"), ("aggregate", 3), ("wandb", "on")),
        *(("wandb", None), ("wandb_project", 3), ("address", 3), ("kimg", True), ("kimg", 1e308)),
        *(("seeds", [0, 1]), ("seeds", True), ("keep_best", "yes"), ("concurrency", 1.5), ("trials", {})),
        *(("trials", {"wgan_gp": "3"}), ("precision", {"dcgan": "half"}), ("precision", 3), ("pack", [])),
        *(("samplers", {"wgan_gp": []}), ("plugins", {}), ("declared", 3), ("fingerprint", [])),
        *(("metric", 3), ("dataset", None), ("name", "a\n"), ("spaces", [])),
    ],
)
def test_a_plan_of_other_types_is_a_user_error(folder: StudyFolder, key: str, value: object) -> None:
    record = read_json(folder.path / "study.json")
    record["plan"][key] = value
    (folder.path / "study.json").write_text(json.dumps(record))
    with pytest.raises(UserError) as caught:
        folder.plan()
    assert str(caught.value).startswith(f"{folder.path / 'study.json'} ")


@pytest.mark.parametrize("version", [None, 1, VERSION + 1, "two"])
def test_a_study_whose_tables_mean_other_things_is_refused(folder: StudyFolder, version: object) -> None:
    record = read_json(folder.path / "study.json")
    if version is None:
        del record["tables"]
    else:
        record["tables"] = version
    write_json(folder.path / "study.json", record)
    with pytest.raises(UserError, match=r"made by another version of this program.*are left as they are$"):
        folder.plan()


def test_a_folder_without_study_json_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a study folder: it has no study\.json"):
        StudyFolder(tmp_path).plan()


def test_one_driver_at_a_time(folder: StudyFolder) -> None:
    other = StudyFolder(folder.path)
    assert not other.is_running()
    with folder.lock():
        assert other.is_running()
        with pytest.raises(UserError, match="is being run by another process"):
            other.lock()
    assert not other.is_running()
    other.lock().release()


def test_whoever_looks_makes_no_lock(folder: StudyFolder) -> None:
    before = sorted(folder.path.iterdir())
    assert not folder.is_running()
    assert sorted(folder.path.iterdir()) == before


def test_whoever_looks_keeps_no_driver_out(folder: StudyFolder) -> None:
    folder.lock().release()
    with (folder.path / ".lock").open("rb") as file:  # as `is_running` does, but for longer
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        Timer(0.2, fcntl.flock, (file.fileno(), fcntl.LOCK_UN)).start()
        folder.lock().release()


def test_a_killed_driver_leaves_no_lock(folder: StudyFolder) -> None:
    code = (
        "import os, pathlib, sys; from study.records.study_folder import StudyFolder; "
        "lock = StudyFolder(pathlib.Path(sys.argv[1])).lock(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(folder.path)], timeout=60)
    assert ended.returncode == -9
    assert (folder.path / ".lock").exists()
    assert not folder.is_running()


def test_the_command_line_is_what_a_user_would_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/study/tune.py", "--space", "dcgan", "a b"])
    assert command_line() == ["python", "-m", "study.tune", "--space", "dcgan", "a b"]


def test_study_json_is_plain_json(folder: StudyFolder) -> None:
    path = folder.path / "study.json"
    write_json(path, read_json(path))  # raises for NaN
    assert [p.name for p in folder.path.iterdir() if p.name.endswith(".tmp")] == []


def test_a_lock_of_optunas_that_a_kill_left_is_no_link_of_somebody_elses(study: StudyFolder) -> None:
    study.path.mkdir(parents=True, exist_ok=True)
    (study.path / "optuna.journal.lock").symlink_to("optuna.journal")
    study.check_own()
    (study.path / "other").symlink_to("optuna.journal")
    with pytest.raises(UserError, match="other is neither a file nor a folder"):
        study.check_own()
