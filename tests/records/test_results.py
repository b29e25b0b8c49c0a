"""python -m study.results rebuilds the tables, and says what it can't read."""

from pathlib import Path

import pandas as pd
import pytest

from study.command import run_command
from study.errors import UserError
from study.records.study_folder import StudyFolder
from study.results import main
from tests.records.written import Add, ended, every_fate, rows, tables


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
