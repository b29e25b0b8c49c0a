"""Files are written whole or not at all."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from study.machine.files import is_full, read_json, write_json, write_whole


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é"], "b": {}}, [], 3, None, "text"])
def test_json_survives_a_round_trip(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_without_nan(tmp_path: Path, value: float) -> None:
    path = tmp_path / "file.json"
    path.write_text("before")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": value})
    assert path.read_text() == "before"


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        seen.append(path.read_text())
        temporary.write_text("whole")
        seen.append(path.read_text())

    write_whole(path, write)
    assert seen == ["before", "before"]
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_fault_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_whole(path, write)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Processes in different containers may share a disk and have the same process id."""
    path = tmp_path / "file.txt"

    def write(temporary: Path) -> None:
        temporary.write_text("slow")
        write_json(path, "quick")
        assert read_json(path) == "quick"

    write_whole(path, write)
    assert path.read_text() == "slow"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_who_may_read_a_file_is_the_users_choice(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_json(tmp_path / "file.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == mode


def test_a_file_is_forced_to_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    replace, fsync = Path.replace, os.fsync

    def noting_fsync(descriptor: int) -> None:
        order.append("fsync")
        fsync(descriptor)

    def noting_replace(path: Path, target: Path) -> Path:
        order.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    write_json(tmp_path / "file.json", {})
    assert order[:2] == ["fsync", "rename"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1} more'])
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file\.json is not readable JSON") as caught:
        read_json(path)
    assert not isinstance(caught.value, json.JSONDecodeError | UnicodeDecodeError)


def test_a_full_disk_is_known_behind_other_errors() -> None:
    def write() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"a")

    with pytest.raises(OSError, match="No space left") as full:
        write()
    assert is_full(full.value)
    later = RuntimeError("could not be written")
    later.__context__ = full.value
    assert is_full(later)
    assert not is_full(OSError(5, "Input/output error"))
    assert not is_full(None)
