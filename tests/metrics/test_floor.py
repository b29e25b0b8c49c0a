"""The floor: twenty draws, judged once, kept where a study and the tables find it."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from study.errors import UserError
from study.metrics import METRICS
from study.metrics.judge.floor import DRAWS, Spread, check_floors, floors, load_floor

W1, HQ = METRICS["w1"], METRICS["hq"]
VALUES = [float(number**2) for number in range(DRAWS)]
W1_FLOOR = {"mean": statistics.fmean(VALUES), "std": statistics.stdev(VALUES)}
HALF = {"mean": 0.5, "std": 0.0}
WRONG = '{"dataset": "ring8", "sha256": "abc", "floor": {"w1": 3}}'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "cache"))


def judged(number: int) -> dict[str, float | None]:
    return {"w1": VALUES[number], "hq": 0.5, "unknown": None}


def again(_: int) -> dict[str, float | None]:
    pytest.fail("it was judged again")


def loaded(
    folder: Path | None, *metrics: object, of: Callable[..., object] = judged, judge: str = ""
) -> dict[str, Spread]:
    return load_floor("ring8", "abc", judge, metrics, of, folder)  # type: ignore[arg-type]


def test_it_is_the_mean_and_the_standard_deviation_of_twenty_draws() -> None:
    assert DRAWS == 20
    assert loaded(None, W1, HQ) == {"w1": pytest.approx(W1_FLOOR), "hq": HALF}


def test_a_metric_without_a_value_has_none() -> None:
    unknown = replace(HQ, name="unknown")
    assert [*loaded(None, W1, unknown)] == ["w1"]


def test_the_draws_are_judged_once_on_a_machine(tmp_path: Path) -> None:
    first = loaded(None, W1)
    assert loaded(None, W1, of=again) == loaded(tmp_path / "judge", W1, of=again) == first


@pytest.mark.parametrize(
    "changed",
    [
        lambda: loaded(None, W1, of=again, judge="another"),
        lambda: loaded(None, replace(W1, samples={"points": 10}), of=again),
        lambda: loaded(None, replace(W1, compute=lambda samples: samples), of=again),
    ],
)
def test_they_are_judged_anew_by_another_judge_or_metric(changed: Callable[[], object]) -> None:
    loaded(None, W1)
    with pytest.raises(pytest.fail.Exception, match="judged again"):
        changed()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"dataset": "ring8", "sha256": "abc", "floor": {"w1": 3}}']
)
def test_a_damaged_file_of_the_machines_is_made_again(content: str, tmp_path: Path) -> None:
    first = loaded(None, W1)
    (file,) = (tmp_path / "cache").glob("*.json")
    file.write_text(content)
    assert loaded(None, W1) == loaded(None, W1, of=again) == first


def test_a_study_keeps_its_floor_whatever_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "judge"
    first = loaded(folder, W1)
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "other"))
    assert loaded(folder, W1, of=again) == first == floors(folder, "ring8")


def test_a_metric_that_comes_later_is_added(tmp_path: Path) -> None:
    loaded(tmp_path, W1)
    other = loaded(tmp_path, W1, HQ, of=lambda _: {"w1": 7.0, "hq": 0.5})
    assert other == floors(tmp_path, "ring8") == {"w1": pytest.approx(W1_FLOOR), "hq": HALF}


def test_a_folder_without_a_floor_has_none(tmp_path: Path) -> None:
    assert floors(tmp_path / "judge", "ring8") == {}
    loaded(tmp_path, W1)
    assert floors(tmp_path, "ring") == floors(tmp_path, "ring8", "abd") == {}


def test_of_two_data_of_a_name_the_fingerprint_tells(tmp_path: Path) -> None:
    loaded(tmp_path, HQ)
    load_floor("ring8", "xyz", "", [HQ], lambda _: {"hq": 0.75}, tmp_path)
    assert floors(tmp_path, "ring8", "abc") == {"hq": HALF}
    assert floors(tmp_path, "ring8", "xyz") == {"hq": {"mean": 0.75, "std": 0.0}}
    assert floors(tmp_path, "ring8") == {}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "ring8-abc.json").write_text("{")
    with pytest.raises(ValueError, match=r"ring8-abc\.json is not readable JSON"):
        floors(tmp_path, "ring8")
    with pytest.raises(
        UserError, match=r"ring8-abc\.json is not readable JSON.*; delete it, and it is made again"
    ):
        check_floors(tmp_path)
    (tmp_path / "ring8-abc.json").write_text(
        '{"dataset": "ring8", "sha256": "abc", "floor": {"w1": {"mean": "a"}}}'
    )
    with pytest.raises(UserError, match=r"is not a floor: its content: floor: 'w1' has no std"):
        check_floors(tmp_path)
