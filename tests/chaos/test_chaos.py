"""The short form of `python -m tests.chaos`: a kill of every kind in one study."""

from pathlib import Path

import pytest

from tests.chaos.kills import KINDS, Chaos

pytestmark = pytest.mark.study


def test_a_study_whose_processes_are_killed_is_that_of_an_undisturbed_one(tmp_path: Path) -> None:
    said = Chaos(tmp_path, seed=1).study("trial", len(KINDS))
    assert "whole after" in said
    assert ": 0 of" not in said
