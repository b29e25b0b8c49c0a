"""Rows on disk by trial: typed, in order of id, and as many as were put."""

import gc
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from study.records import spool
from study.records.spool import Spool

SCHEMAS = {
    "runs": pa.schema({"name": pa.large_string(), "value": pa.float64(), "good": pa.bool_()}),
    "notes": pa.schema({"note": pa.large_string()}),
}


def put(into: Spool, trial_id: str, *values: float | None) -> None:
    rows = [{"name": trial_id, "value": value, "good": True} for value in values]
    into.put(trial_id, {"runs": rows, "notes": [{"note": trial_id}]})


def test_a_trials_rows_come_back_with_their_types() -> None:
    kept = Spool(SCHEMAS)
    put(kept, "a", 1.5, None)
    put(kept, "b", 2.0)
    batch = kept.get("a", "runs")
    assert batch.schema == SCHEMAS["runs"]
    assert batch.to_pylist() == [
        {"name": "a", "value": 1.5, "good": True},
        {"name": "a", "value": None, "good": True},
    ]
    assert kept.get("b", "notes").to_pylist() == [{"note": "b"}]


def test_reading_moves_no_other_threads_place() -> None:
    """When Ray is lost, a thread writes the tables that another may be writing."""
    kept = Spool(SCHEMAS)
    put(kept, "a", 1.5)
    put(kept, "b", 2.0)
    before = kept._file.tell()
    assert kept.get("a", "runs")["value"].to_pylist() == [1.5]
    assert kept._file.tell() == before


def test_nan_is_a_missing_value() -> None:
    kept = Spool(SCHEMAS)
    put(kept, "a", float("nan"))
    assert kept.get("a", "runs")["value"].null_count == 1


def test_columns_that_a_row_lacks_are_null() -> None:
    kept = Spool(SCHEMAS)
    kept.put("a", {"runs": [{"name": "a"}], "notes": []})
    assert kept.get("a", "runs").to_pylist() == [{"name": "a", "value": None, "good": None}]
    assert kept.get("a", "notes").num_rows == 0


@pytest.mark.parametrize("at_a_time", [1, 2, 500])
def test_tables_are_in_order_of_id_however_they_came(at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "TRIALS_AT_A_TIME", at_a_time)
    kept = Spool(SCHEMAS)
    for trial_id in ("c", "a", "b"):
        put(kept, trial_id, 1.0, 2.0)
    parts = list(kept.tables("runs"))
    assert len(parts) == -(-3 // at_a_time)
    assert pa.concat_tables(parts)["name"].to_pylist() == ["a", "a", "b", "b", "c", "c"]


def test_rows_put_again_take_the_place_of_the_old_ones() -> None:
    kept = Spool(SCHEMAS)
    put(kept, "a", 1.0, 2.0)
    put(kept, "a", 3.0)
    (part,) = kept.tables("runs")
    assert part["value"].to_pylist() == [3.0]


def test_of_rows_that_do_not_fit_nothing_is_kept() -> None:
    kept = Spool(SCHEMAS)
    with pytest.raises(ValueError, match="good"):
        kept.put("a", {"runs": [{"name": "a", "value": "good"}], "notes": []})
    assert "a" not in kept


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at Linux's open files")
def test_its_file_goes_with_it() -> None:
    def open_files() -> list[str]:
        return [path.name for path in Path("/proc/self/fd").iterdir()]

    gc.collect()
    before = len(open_files())
    kept = Spool(SCHEMAS)
    put(kept, "a", 1.0)
    assert len(open_files()) == before + 1
    del kept
    assert len(open_files()) == before


def test_a_full_disk_is_not_the_trials_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: bytes) -> int:
        raise OSError(28, "No space left on device")

    kept = Spool(SCHEMAS)
    monkeypatch.setattr(kept, "_file", SimpleNamespace(seek=lambda *_: 0, write=full))
    with pytest.raises(RuntimeError, match="can't be written: No space left on device"):
        put(kept, "a", 1.0)
    assert "a" not in kept
