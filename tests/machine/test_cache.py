"""The cache folder: where it is, and one clear sentence when it can't be made."""

from pathlib import Path

import pytest

from study.errors import UserError
from study.machine.cache import cache_folder


def test_it_is_where_the_environment_says_and_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


def test_one_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set GAN_STUDY_CACHE"):
        cache_folder()
