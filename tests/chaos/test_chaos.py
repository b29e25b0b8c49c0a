"""The short form of `python -m tests.chaos`: three kills in one study."""

from pathlib import Path

import pytest

from tests.chaos.kills import Chaos

pytestmark = [pytest.mark.study, pytest.mark.timeout(600)]


def test_a_study_whose_processes_are_killed_is_that_of_an_undisturbed_one(tmp_path: Path) -> None:
    killed, said = Chaos(tmp_path, seed=2).study("trial", kills=3)
    assert killed > 0, said
