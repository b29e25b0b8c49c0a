"""A trial's folder: what a kill at any moment leaves in it can be read."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from study.records.trial_folder import MARKERS, Ending, GivenAwayError, TrialFolder
from tests.studies import trial_plan

PLAN = trial_plan(3, space="wgan_gp", lr_g=3e-4)
ENDINGS = [
    Ending(state="completed", ended_by="budget", kimg=2.0, objective=0.125),
    Ending(state="pruned", ended_by="asha", kimg=0.5, objective=0.9),
    Ending(state="diverged", ended_by="divergence", kimg=0.7, objective=0.96),
    Ending(state="failed", ended_by="fault", kimg=0.0, objective=None, error="Traceback ...\nboom"),
]


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    folder = TrialFolder(tmp_path / "trials" / PLAN.trial_id)
    folder.create(PLAN)
    return folder


def rows(evaluation: int) -> list[dict[str, Any]]:
    at = {"evaluation": evaluation, "kimg": 0.5 * evaluation, "generator_updates": 0, "diverged": False}
    return [{"seed": k, **at, "score": 0.1 * k, "w1": 0.1 * k} for k in (0, 1)]


def curves(folder: TrialFolder) -> Path:
    return folder.path / "curves.jsonl"


# The plan


def test_the_plan_survives(folder: TrialFolder) -> None:
    assert folder.exists()
    assert folder.plan() == PLAN


def test_a_folder_that_was_not_made_yet_says_so(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "absent")
    assert not folder.exists()
    assert folder.rows() == []
    assert folder.ending() is None
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        folder.plan()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "null", "{}", '{"config": {}}', '{"config": 3, "seeds": [0]}', "\0"]
)
def test_a_damaged_plan_is_a_value_error_with_its_name(folder: TrialFolder, content: str) -> None:
    (folder.path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json"):
        folder.plan()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeds", 3),
        ("seeds", []),
        ("kimg", "2"),
        ("kimg", None),
        ("config", {"model": "vae"}),
        ("config", {"lr_g": 0}),
        ("config", {"colour": "red"}),
        ("aggregate", "max"),
        ("study", 3),
        ("space", "../evil"),
        ("trial_id", "a\0"),
        ("seeds", ["0"]),
        ("seeds", "01"),
        ("seeds", [2**63]),
        ("study_seed", 0.5),
        ("kimg", True),
        ("kimg", math.nan),
        ("kimg", 10**400),
        ("eval_kimg", 1e-300),
        ("metric", "loss"),
        ("metric", "fd"),
        ("keep_best", "yes"),
        ("fingerprint", {"sha256": 3}),
        ("fingerprint", {"number": {"train": "many"}}),
        ("declared", []),
        ("plugins", [{"path": "a.py"}]),
        ("plugins", [{"path": "a.py", "sha256": None}]),
        ("origin", None),
    ],
)
def test_a_plan_with_a_wrong_value_is_a_value_error(folder: TrialFolder, key: str, value: object) -> None:
    path = folder.path / "config.json"
    path.write_text(json.dumps({**PLAN.to_dict(), key: value}))
    with pytest.raises(ValueError):  # noqa: PT011 (the sentence is the plan's own)
        folder.plan()


@pytest.mark.parametrize("content", ["[" * 100_000, "9" * 5000, '{"a": ' * 100_000])
def test_depth_and_digits_without_end_are_a_value_error(folder: TrialFolder, content: str) -> None:
    (folder.path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json is not readable JSON"):
        folder.plan()
    curves(folder).write_text(content + "\n")
    with pytest.raises(ValueError, match=r"curves\.jsonl, line 1 is not a row"):
        folder.rows()


@pytest.mark.parametrize(
    ("marker", "change"),
    [
        ("DONE", {"state": "happy"}),
        ("DONE", {"state": "failed"}),
        ("DONE", {"state": "diverged"}),
        ("DONE", {"kimg": "abc"}),
        ("DONE", {"kimg": -1.0}),
        ("DONE", {"kimg": math.inf}),
        ("DONE", {"objective": None}),
        ("DONE", {"objective": "0.1"}),
        ("DONE", {"objective": math.nan}),
        ("DONE", {"ended_by": 3}),
        ("DONE", {"error": ["boom"]}),
        ("DONE", {"colour": "red"}),
        ("FAILED", {}),
    ],
)
def test_an_ending_that_makes_no_sense_is_unreadable(
    folder: TrialFolder, marker: str, change: dict[str, Any]
) -> None:
    known = {"state": "completed", "ended_by": "budget", "kimg": 2.0, "objective": 0.125}
    (folder.path / marker).write_text(json.dumps(known | change))
    ending = folder.ending()
    assert ending is not None
    assert (ending.state, ending.ended_by, ending.objective) == ("failed", "unreadable", None)
    assert ending.error is not None
    assert f"{marker} is not a trial's ending: " in ending.error


# Curves


def test_rows_come_back_in_order(folder: TrialFolder) -> None:
    folder.append(rows(0))
    folder.append(rows(1))
    assert folder.rows() == rows(0) + rows(1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_becomes_null(folder: TrialFolder, value: float) -> None:
    (row, _) = rows(0)
    folder.append([{**row, "loss_d": value}])
    assert folder.rows() == [{**row, "loss_d": None}]
    assert "NaN" not in curves(folder).read_text()
    assert "Infinity" not in curves(folder).read_text()


def test_a_line_cut_off_anywhere_is_no_row_yet(folder: TrialFolder) -> None:
    folder.append(rows(0))
    whole = len(curves(folder).read_bytes())
    folder.append(rows(1))
    content = curves(folder).read_bytes()
    first = content.index(b"\n", whole) + 1
    for end in range(whole, len(content)):
        curves(folder).write_bytes(content[:end])
        assert folder.rows() == rows(0) + rows(1)[: int(end >= first)]


@pytest.mark.parametrize("line", ["nonsense", "{}", "[]", "3", '{"seed": 0}', '{"seed": 0, "evalu', ""])
def test_a_mangled_line_is_named_by_its_number(folder: TrialFolder, line: str) -> None:
    folder.append(rows(0))
    with curves(folder).open("a") as file:
        file.write(line + "\n")
    folder.append(rows(1))
    with pytest.raises(ValueError, match=r"curves\.jsonl, line 3 is not a row of a curve"):
        folder.rows()


def test_bytes_that_are_no_text_are_a_value_error(folder: TrialFolder) -> None:
    folder.append(rows(0))
    with curves(folder).open("ab") as file:
        file.write(b"\xff\xfe\n")
    with pytest.raises(ValueError, match="curves"):
        folder.rows()


def test_rows_written_after_the_checkpoint_are_dropped(folder: TrialFolder) -> None:
    for evaluation in range(4):
        folder.append(rows(evaluation))
    assert folder.keep_rows_before(2) == rows(0) + rows(1)
    assert folder.rows() == rows(0) + rows(1)


def test_keeping_all_rows_leaves_the_file_alone(folder: TrialFolder) -> None:
    folder.append(rows(0))
    before = curves(folder).stat()
    assert folder.keep_rows_before(1) == rows(0)
    after = curves(folder).stat()  # reading it may change the time of its last access
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_torn_line_is_cut_off_so_that_the_next_row_stands_alone(folder: TrialFolder) -> None:
    folder.append(rows(0))
    with curves(folder).open("a") as file:
        file.write('{"seed": 0, "evalua')
    assert folder.keep_rows_before(1) == rows(0)
    folder.append(rows(1))
    assert folder.rows() == rows(0) + rows(1)


def test_only_a_torn_line_is_nothing(folder: TrialFolder) -> None:
    curves(folder).write_text('{"seed": 0, "evalua')
    assert folder.keep_rows_before(0) == []
    folder.append(rows(0))
    assert folder.rows() == rows(0)


def test_nothing_is_kept_of_nothing(folder: TrialFolder) -> None:
    assert folder.keep_rows_before(5) == []
    assert not curves(folder).exists()


# The end


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.state)
def test_an_ending_survives(folder: TrialFolder, ending: Ending) -> None:
    assert folder.ending() is None
    folder.finish(ending)
    found = folder.ending()
    assert found == ending
    assert found.ended is not None
    assert (folder.path / MARKERS[ending.state]).is_file()


def test_the_markers_are_those_of_the_design() -> None:
    assert MARKERS == {"completed": "DONE", "pruned": "DONE", "diverged": "DIVERGED", "failed": "FAILED"}


@pytest.mark.parametrize("marker", ["DONE", "DIVERGED", "FAILED"])
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", "{}", '{"state": "completed"}', '{"x": 1}'])
def test_a_damaged_marker_ends_a_trial_as_failed(folder: TrialFolder, marker: str, content: str) -> None:
    (folder.path / marker).write_text(content)
    ending = folder.ending()
    assert ending is not None
    assert (ending.state, ending.ended_by, ending.objective) == ("failed", "unreadable", None)
    assert ending.error is not None
    assert f"{marker} is not a trial's ending" in ending.error


def test_a_second_process_waits_for_the_first(folder: TrialFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.records.trial_folder.LOCK_SECONDS", 0.1)
    with folder.lock(), pytest.raises(Timeout), TrialFolder(folder.path).lock():
        pass
    with TrialFolder(folder.path).lock():  # it is free again
        pass


def test_whoever_claims_a_trial_last_alone_writes(folder: TrialFolder) -> None:
    before, after = folder, TrialFolder(folder.path)
    before.claim()
    before.append(rows(0))
    after.claim()
    with pytest.raises(GivenAwayError, match="given to another process"):
        before.append(rows(1))
    with pytest.raises(GivenAwayError, match="given to another process"):
        before.finish(ENDINGS[0])
    assert after.rows() == rows(0)
    assert after.ending() is None
    after.finish(ENDINGS[1])
    assert before.ending() == ENDINGS[1]


def test_a_plan_is_written_once(folder: TrialFolder) -> None:
    before = (folder.path / "config.json").stat()
    folder.create(replace(PLAN, threads=2, device="cpu", companions=("wgan_gp-00001",)))
    after = (folder.path / "config.json").stat()
    assert folder.plan() == PLAN
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [None, "", "{"])
def test_but_again_where_it_can_not_be_read(folder: TrialFolder, content: str | None) -> None:
    path = folder.path / "config.json"
    path.unlink() if content is None else path.write_text(content)
    folder.create(PLAN)
    assert folder.plan() == PLAN


# What computed it

HERE = {"host": "here", "threads": 1, "companions": ["wgan_gp-00001"]}


def test_what_computed_a_trial_is_noted_where_it_changes(folder: TrialFolder) -> None:
    assert folder.environments() == []
    there = {**HERE, "host": "there"}
    for evaluation, known in enumerate([HERE, HERE, there, there, HERE]):
        folder.add_environment(known, evaluation)
    found = folder.environments()
    assert [(known["host"], known["evaluation"]) for known in found] == [
        ("here", 0),
        ("there", 2),
        ("here", 4),
    ]
    assert all({*HERE, "evaluation", "when"} == known.keys() for known in found)


@pytest.mark.parametrize("content", ["", "{", "{}", "[3]", "[{}]", '[{"companions": 3}]'])
def test_a_damaged_note_of_it_is_a_value_error_and_begins_again(folder: TrialFolder, content: str) -> None:
    (folder.path / "environments.json").write_text(content)
    with pytest.raises(ValueError, match=r"environments\.json"):
        folder.environments()
    folder.add_environment(HERE, 3)
    assert [known["evaluation"] for known in folder.environments()] == [3]


def test_companions_are_those_of_the_plan_and_of_every_pack_it_came_to_later(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / PLAN.trial_id)
    folder.create(replace(PLAN, companions=("a-00001",)))
    assert folder.companions() == {"a-00001"}
    folder.add_environment({"companions": ["a-00001", "a-00004"]}, 0)
    folder.add_environment({"companions": ["a-00005"]}, 2)
    assert folder.companions() == {"a-00001", "a-00004", "a-00005"}
