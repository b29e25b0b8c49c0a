"""For tests of records: an empty study, and a way to write its trials."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.records.schema import Row
from study.records.study_folder import StudyFolder
from study.records.trial_folder import Ending, TrialFolder
from tests.records.written import Add, write_floor
from tests.studies import study_plan, trial_plan


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "results" / "mine")
    folder.create(study_plan(spaces={}, kimg=2.0, eval_kimg=1.0), [], {})
    write_floor(folder)
    return folder


@pytest.fixture
def add(study: StudyFolder) -> Add:
    """Write a trial's folder; without an ending it is unfinished."""

    def write(trial_id: str, history: list[Row], ending: Ending | None = None, **changes: Any) -> TrialFolder:
        folder = study.trial(trial_id)
        known = {"space": trial_id.rpartition("-")[0], "trial_id": trial_id, "lr_g": 3e-4, "kimg": 2.0}
        folder.create(trial_plan(**{**known, "eval_kimg": 1.0, **changes}))
        folder.append(history)
        if ending:
            folder.finish(replace(ending, kimg=history[-1]["kimg"]) if history else ending)
        return folder

    return write
