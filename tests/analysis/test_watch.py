"""What `watch` shows of a study: the folder's facts, whoever writes them and however often one looks."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from analysis.progress import UNDER_WAY, Progress, Watched
from analysis.watch import BLOCKS, WIDEST, lines, main, sparkline
from study.command import run_command
from study.records.schema import Row
from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder
from tests.records.written import Add, ended, row, rows, tables, write_floor
from tests.studies import small, study_plan


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """Two spaces of four trials each."""
    folder = StudyFolder(tmp_path / "results" / "mine")
    folder.create(study_plan(spaces={"a": small(), "b": small()}, trials=4, kimg=2.0, eval_kimg=1.0), [], {})
    write_floor(folder)
    return folder


def begin(add: Add) -> None:
    """In a: completed, pruned, diverged; in b: failed, and two that have not ended."""
    add("a-00000", rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6]), ended("completed"))
    add("a-00001", rows([1.0, 0.3], [1.0, 0.3]), ended("pruned", 0.3))
    add("a-00002", rows([1.0, None], [1.0, None]), ended("diverged", 1.0))
    add("b-00000", rows([1.0], [1.0]), ended("failed", None))
    add("b-00001", rows([1.0, 0.8], [1.0, 0.7]))
    add("b-00002", [])


def states(seen: Progress) -> list[dict[str, int]]:
    return [dict(space.states) for space in seen.spaces]


STATES = [{"completed": 1, "pruned": 1, "diverged": 1}, {"failed": 1, UNDER_WAY: 2}]


def test_states_are_those_of_the_folders(study: StudyFolder, add: Add) -> None:
    begin(add)
    seen = Watched(study).read()
    assert (states(seen), seen.ended) == (STATES, 4)


@pytest.mark.parametrize("include_unfinished", [False, True])
def test_tables_tell_the_same(include_unfinished: bool, study: StudyFolder, add: Add) -> None:
    begin(add)
    tables(study, include_unfinished)
    seen = Watched(study).read()
    assert (states(seen), seen.ended) == (STATES, 4)


def test_what_has_ended_since_is_seen(study: StudyFolder, add: Add) -> None:
    begin(add)
    tables(study, include_unfinished=False)
    watched = Watched(study)
    watched.read()
    study.trial("b-00001").finish(ended("completed", 0.75, kimg=1.0))
    assert states(watched.read())[1] == {"failed": 1, UNDER_WAY: 1, "completed": 1}
    tables(study, include_unfinished=False)
    assert states(watched.read())[1] == {"failed": 1, UNDER_WAY: 1, "completed": 1}


def test_the_best_is_completed_or_under_way(study: StudyFolder, add: Add) -> None:
    begin(add)
    a, b = Watched(study).read().spaces
    assert str(a.best) == "0.5 at kimg 2 (a-00000, ended)"  # the pruned one's 0.3 is of half the budget
    assert a.curve == [(0, 1.0), (1, pytest.approx(0.65)), (2, 0.5)]
    assert str(b.best) == "0.75 at kimg 1 (b-00001, not ended yet)"
    assert b.curve == [(0, 1.0), (1, 0.75)]


def test_failure_has_its_interval_and_its_n(study: StudyFolder, add: Add) -> None:
    """Two of the six at risk diverge at kimg 0.5, before any was stopped."""
    begin(add)
    tables(study, include_unfinished=False)
    a, b = Watched(study).read().spaces
    assert a.failure.startswith(
        "6 seeds: 2 diverged, 2 stopped early, 2 survived\n  33% of seeds diverge within 2 kimg (95%"
    )
    assert a.failure.endswith("2 of 3 configurations seen to the end)")
    assert b.failure == "2 seeds: 0 diverged, 2 stopped early, 0 survived\n  no seed was seen to last 2 kimg"


def test_looking_leaves_nothing_behind(study: StudyFolder, add: Add) -> None:
    begin(add)
    tables(study)
    before = {path: path.stat().st_mtime_ns for path in study.path.rglob("*")}
    Watched(study).read()
    assert {path: path.stat().st_mtime_ns for path in study.path.rglob("*")} == before


def test_a_curve_is_read_again_where_it_has_grown(
    study: StudyFolder, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add("a-00000", rows([1.0, 0.8], [1.0, 0.7]))
    read: list[Path] = []
    original = TrialFolder.rows

    def counted(trial: TrialFolder) -> list[Row]:
        read.append(trial.path)
        return original(trial)

    monkeypatch.setattr(TrialFolder, "rows", counted)
    watched = Watched(study)
    watched.read()
    watched.read()
    assert len(read) == 1
    folder.append([row(seed, 2, 0.5) for seed in (0, 1)])
    assert str(watched.read().spaces[0].best) == "0.5 at kimg 2 (a-00000, not ended yet)"
    assert len(read) == 2


@pytest.mark.parametrize("content", [None, b"no table"])
def test_a_table_that_is_gone_is_remembered(content: bytes | None, study: StudyFolder, add: Add) -> None:
    begin(add)
    tables(study, include_unfinished=False)
    watched = Watched(study)
    before = watched.read()
    for name in ("trials", "runs"):
        path = study.path / f"{name}.parquet"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    assert watched.read() == before


def test_a_damaged_trial_is_shown_as_what_its_marker_says(study: StudyFolder, add: Add) -> None:
    folder = add("a-00000", rows([1.0, 0.4], [1.0, 0.6]), ended("completed"))
    for name in ("config.json", "curves.jsonl"):
        (folder.path / name).write_text("{")
    (space, _) = Watched(study).read().spaces
    assert (space.states, list(space.curve)) == ({"completed": 1}, [])


def test_time_left_is_at_the_pace_so_far(study: StudyFolder, add: Add) -> None:
    """Two of eight have ended and one is half way, after 100 s: 5.5 are left, at 40 s each."""
    begun = datetime.fromisoformat(study.read()["started"])
    add("a-00000", rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6]), ended("completed"))
    add("a-00001", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9))
    add("b-00001", rows([1.0, 0.8], [1.0, 0.7]))
    with study.lock():
        seen = Watched(study).read(begun + timedelta(seconds=100))
    assert (seen.running, seen.seconds) == (True, 100)
    assert seen.left == pytest.approx(220)


def test_what_ended_before_a_resume_says_nothing_of_the_pace(study: StudyFolder, add: Add) -> None:
    add("a-00000", rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6]), ended("completed"))
    time.sleep(0.002)  # times are in milliseconds
    study.resume(study.plan(), [], {})
    with study.lock():
        seen = Watched(study).read()
    assert (seen.ended, seen.left) == (1, None)


def last_line(study: StudyFolder) -> str:
    return list(lines(Watched(study).read()))[-1]


def test_the_last_line_says_how_the_study_stands(study: StudyFolder, add: Add) -> None:
    begin(add)
    assert last_line(study).endswith(
        f"it is not running; continue with: python -m study.tune --resume {study.path}"
    )
    with study.lock():
        assert last_line(study).startswith("4 of 8 trials ended | 0:0")
        assert "about" in last_line(study)
    for number in range(4):
        for space in "ab":
            study.trial(f"{space}-{number:05d}").record_fault("boom")
    assert last_line(study).endswith("it has ended")


def test_a_study_without_a_trial_can_be_looked_at(study: StudyFolder) -> None:
    with study.lock():
        assert list(lines(Watched(study).read())) == [
            "study mine on ring8: mean w1 of 2 seeds",
            "a: 0 of 4 trials begun",
            "b: 0 of 4 trials begun",
            "0 of 8 trials ended | 0:00 elapsed, time left unknown yet",
        ]


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], BLOCKS),
        ([3, 3, 3], BLOCKS[0] * 3),
        ([100, 10, 1], BLOCKS[7] + BLOCKS[4] + BLOCKS[0]),  # in logarithms half way: 3.5 of 7, to even
        ([-1, 0], BLOCKS[0] + BLOCKS[7]),
    ],
)
def test_a_curve_is_drawn_in_blocks(values: list[float], drawn: str) -> None:
    assert sparkline([(float(kimg), value) for kimg, value in enumerate(values)]) == drawn


def test_a_long_curve_keeps_its_ends() -> None:
    drawn = sparkline([(float(kimg), float(kimg)) for kimg in range(1000)])
    assert (len(drawn), drawn[0], drawn[-1]) == (WIDEST, BLOCKS[0], BLOCKS[7])


def test_outside_a_terminal_it_prints_once(
    study: StudyFolder, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(add)
    with study.lock():
        assert main([str(study.path)]) == 0
    assert capsys.readouterr().out.count("study mine on ring8") == 1


def test_a_folder_that_is_no_study_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: main([str(tmp_path)])) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} is not a study folder: it has no study.json\n"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setattr("analysis.watch.raise_interrupt", lambda: None)
    return monkeypatch


def test_ctrl_c_ends_it_quietly(
    study: StudyFolder, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    terminal.setattr("analysis.watch.time.sleep", interrupt)
    with study.lock():
        assert main([str(study.path)]) == 0
    assert capsys.readouterr().err == ""


def test_it_ends_with_the_study(
    study: StudyFolder, terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = study.lock()
    looks = iter([lambda: None, lock.release])
    terminal.setattr("analysis.watch.time.sleep", lambda _: next(looks)())
    assert main([str(study.path)]) == 0
    assert next(looks, None) is None
    assert "it is not running" in capsys.readouterr().out
