"""python -m study.results rebuilds the tables, and says what it can't read."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from study.command import run_command
from study.errors import UserError
from study.machine.files import read_json, write_json
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.results import main
from tests.records.written import Add, ended, every_fate, rows, tables
from tests.studies import study_plan


def test_the_command_rebuilds_and_counts(
    add: Add, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    every_fate(add)
    assert run_command(lambda: main([str(study.path)])) == 0
    out, err = capsys.readouterr()
    assert "7 trials" in out
    for words in ("2 interrupted", "2 failed", "1 completed", "1 pruned", "1 diverged"):
        assert words in out
    assert "runs.parquet: 12 rows" in out
    assert err.count("\n") == 1
    assert "b-00003" in err
    assert len(pd.read_parquet(study.path / "trials.parquet")) == 7


def test_the_command_leaves_out_what_is_running(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    with study.lock():
        assert main([str(study.path)]) == 0
    assert "interrupted" not in set(pd.read_parquet(study.path / "trials.parquet")["state"])


def test_the_command_takes_trials_of_study_train(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    (study.path / "study.json").unlink()
    assert main([str(study.path)]) == 0
    assert len(pd.read_parquet(study.path / "trials.parquet")) == 1


@pytest.mark.parametrize("make", [None, "empty", "file"])
def test_the_command_refuses_what_is_no_study(
    make: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nothing"
    if make == "empty":
        path.mkdir()
    elif make == "file":
        path.touch()
    before = sorted(tmp_path.rglob("*"))
    assert run_command(lambda: main([str(path)])) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "nothing" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_tables_are_not_replaced_by_empty_ones(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0]), ended("completed"), seeds=(0,))
    before = tables(study)["trials"]
    (study.path / "trials").rename(study.path / "elsewhere")
    with pytest.raises(UserError, match="no trial folders"):
        main([str(study.path)])
    assert len(pd.read_parquet(study.path / "trials.parquet")) == len(before) == 1


def test_a_copied_trial_is_said_and_counted_once(
    add: Add, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"), kimg=1.0)
    for copy in ("a-00001", "copy of a-00000"):
        shutil.copytree(study.path / "trials" / "a-00000", study.path / "trials" / copy)
    assert main([str(study.path)]) == 0
    err = capsys.readouterr().err
    assert err.count("is a copy of a-00000: it is in no table") == 2
    assert len(pd.read_parquet(study.path / "trials.parquet")) == 1


def test_before_a_copy_beyond_the_last_trial_none_is_missed(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "mine")
    folder.create(study_plan(trials=2), [], {})
    for name in ("a-00000", "a-00001", "a-00007"):
        (folder.path / "trials" / name).mkdir(parents=True)
    assert list(Results(folder).missing()) == []
    (folder.path / "trials" / "a-00000").rmdir()
    assert list(Results(folder).missing()) == ["trial a-00000"]


def test_a_deleted_trial_is_said(add: Add, study: StudyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 2, 6):
        add(f"a-{number:05d}", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"), kimg=1.0)
    assert main([str(study.path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "trial a-00001: no folder is there any more, nor a row in the tables",
        "trials a-00003 to a-00005: no folder is there any more, nor a row in the tables",
    ]


def test_a_study_whose_json_is_unreadable_has_tables_of_its_trials(
    add: Add, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"), kimg=1.0)
    (study.path / "study.json").write_text("{")
    assert main([str(study.path)]) == 0
    err = capsys.readouterr().err
    assert "is not a readable study folder" in err
    assert "the tables are made of the trials alone" in err
    assert len(pd.read_parquet(study.path / "trials.parquet")) == 1


def test_a_study_of_another_version_keeps_its_tables(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"), kimg=1.0)
    record = read_json(study.path / "study.json")
    write_json(study.path / "study.json", {**record, "tables": 1})
    with pytest.raises(UserError, match="made by another version"):
        main([str(study.path)])
    assert not (study.path / "trials.parquet").exists()


@pytest.mark.parametrize("name", ["config.json", "curves.jsonl", "DONE"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    name: str, add: Add, study: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"), kimg=1.0)
    path = study.path / "trials" / "a-00000" / name
    path.unlink()
    os.mkfifo(path)
    assert main([str(study.path)]) == 0
    assert pd.read_parquet(study.path / "trials.parquet")["state"].tolist() == ["failed"]
    assert "is not a" in capsys.readouterr().err or name == "DONE"
