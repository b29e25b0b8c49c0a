"""A study is copied as it runs, and goes on from its copy, on another machine, to the same tables.

The trials and the books are the real ones, with a loop in place of Ray.
"""

import os
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from study import tune
from study.machine.files import read_json
from study.plan import StudyPlan, trial_id
from study.records.mirror import Mirror
from study.records.remote_study import fetch
from study.records.schema import TIMED, Row
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES
from study.records.trial_folder import Ending, TrialFolder
from study.runner import bookkeeper
from tests.records.mirrored import copied, log_writes, put, to_copy
from tests.runner.test_study import Driver, Killed, stopped_early
from tests.studies import TINY, check_books, states, study_plan, table


def plan() -> StudyPlan:
    return study_plan(trials=4, kimg=0.192)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cheap_transport: None) -> dict[str, pd.DataFrame]:
    """The tables of the study that nothing happened to."""
    del cheap_transport
    folder = StudyFolder(tmp_path_factory.mktemp("undisturbed") / "mine")
    folder.create(plan(), [], {})
    Driver(folder).run()
    return {name: table(folder, name) for name in TABLES}


def check_tables(folder: StudyFolder, undisturbed: dict[str, pd.DataFrame]) -> None:
    check_books(folder, {"a": 4}, evaluations=4)
    for name, expected in undisturbed.items():
        same = [str(column) for column in expected if column not in TIMED]
        pd.testing.assert_frame_equal(table(folder, name)[same], expected[same])


def run_mirrored(folder: StudyFolder, url: str, steps: int | None = None) -> list[str]:
    """Run a study, or so many evaluations of it, with a mirror; what this said."""
    said: list[str] = []
    driver = Driver(folder)
    driver.books.mirror = Mirror(url, folder, said.append)
    driver.run(steps)
    driver.books.mirror.study()
    driver.books.mirror.close(20)
    return said


@pytest.mark.parametrize("steps", [1, 6, None])
def test_another_machine_goes_on_to_the_same_tables(
    steps: int | None, undisturbed: dict[str, pd.DataFrame], bucket: str, tmp_path: Path
) -> None:
    here = StudyFolder(tmp_path / "here" / "mine")
    here.create(plan(), [], {})
    assert run_mirrored(here, bucket, steps)[1:] == ["mirror: complete"]
    assert copied(bucket) == to_copy(here)
    there = fetch(bucket, tmp_path / "there" / "mine")
    assert run_mirrored(there, bucket)[1:] == ["mirror: complete"]
    check_tables(there, undisturbed)
    assert copied(bucket) == to_copy(there)


@pytest.fixture
def moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """What was written to a copy, in order: of a study that was killed, went on, and ended."""
    monkeypatch.setattr(bookkeeper, "TABLES_SECONDS", (0.0, 0.0))
    here = StudyFolder(tmp_path / "here" / "mine")
    here.create(plan(), [], {})
    url = f"file://{tmp_path}/copy"
    with monkeypatch.context() as patch:
        written = log_writes(patch)
        killed = Driver(here)
        killed.books.mirror = Mirror(url, here, lambda _: None)
        killed.run(steps=7)
        killed.worker.cleanup()
        run_mirrored(here, url)
    return written


def test_a_copy_can_be_gone_on_with_at_any_moment(
    moments: list[tuple[str, bytes]], undisturbed: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    first = [name for name, _ in moments].index("study.json") + 1
    chance = random.Random(0)
    for number in sorted(chance.sample(range(first, len(moments)), 12)):
        folder = StudyFolder(tmp_path / str(number) / "mine")
        put(folder.path, dict(moments[:number]))
        Driver(folder).run()
        check_tables(folder, undisturbed)


def test_an_end_is_copied_before_the_journal_hears_of_it(
    cheap_transport: None, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cheap_transport
    here = StudyFolder(tmp_path / "here" / "mine")
    here.create(stopped_early(), [], {})
    driver = Driver(here)
    mirror = driver.books.mirror = Mirror(bucket, here, lambda _: None)
    search = driver.books.searches["a"]
    tell, finish, pruned = search.tell, TrialFolder.finish, list[int]()

    def killed(number: int, ending: Ending, row: Row) -> None:
        if ending.state == "pruned":
            mirror.close(20)
            pruned.append(number)
            raise Killed
        tell(number, ending, row)

    def late(folder: TrialFolder, ending: Ending) -> None:
        while mirror._waits():  # the last evaluation is there, without the marker
            time.sleep(0.01)
        finish(folder, ending)

    monkeypatch.setattr(search, "tell", killed)
    monkeypatch.setattr(TrialFolder, "finish", late)
    with pytest.raises(Killed):
        driver.run()
    there = fetch(bucket, tmp_path / "there" / "mine")
    name = trial_id("a", *pruned)
    assert there.trial(name).ending() == here.trial(name).ending() is not None
    Driver(there).run()
    check_books(there, {"a": 6}, evaluations=4)
    assert states(there)[name] == "pruned"


# The command


@pytest.fixture
def _stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheap_transport: None) -> None:
    """Studies are interrupted as Ray starts."""
    del cheap_transport
    monkeypatch.setattr("ray.init", lambda **_: os.kill(os.getpid(), signal.SIGINT))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_stopped")
def test_a_study_moves_by_its_url(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tune.main(["--space", "wgan_gp", *TINY, "--name", "x", "--mirror", bucket]) == 130
    out = capsys.readouterr().out.splitlines()
    assert f"mirror: {bucket} gets each trial's evaluations, and the study's own files with its tables" in out
    assert "mirror: complete" in out
    here, there = (StudyFolder(tmp_path / name / "x") for name in ("results", "there"))
    assert here.plan().mirror == bucket
    assert copied(bucket) == to_copy(here)

    assert tune.main(["--resume", bucket, "--results", "there"]) == 130
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"fetching {bucket} ..."
    assert out[-1].endswith("python -m study.tune --resume there/x")
    assert there.plan() == here.plan()
    assert copied(bucket) == to_copy(there)
    assert len(read_json(there.path / "study.json")["resumed"]) == 1


@pytest.mark.usefixtures("_stopped")
def test_a_resumed_study_goes_on_being_copied_unless_told_otherwise(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = StudyFolder(tmp_path / "results" / "x")
    assert tune.main(["--space", "wgan_gp", *TINY, "--name", "x"]) == 130
    assert "mirror" not in capsys.readouterr().out
    resume = ["--resume", "results/x"]
    other = f"file://{tmp_path}/other"
    for more, expected in (
        (["--mirror", bucket], bucket),
        ([], bucket),
        (["--mirror", other], other),
        (["--mirror", "none"], None),
        ([], None),
    ):
        assert tune.main([*resume, *more]) == 130
        assert study.plan().mirror == expected
        assert ("mirror: complete" in capsys.readouterr().out) == (expected is not None)
        if expected is not None:
            assert copied(expected) == to_copy(study)
