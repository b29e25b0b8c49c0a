"""What is measured before a study begins, with a clock that tests turn."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from study.metrics.judge.evaluator import Evaluator
from study.records.trial_folder import TrialFolder
from study.trial import preparation
from tests.packs import CPU
from tests.studies import Clock, trial_plan


def test_the_price_of_a_trial_is_of_all_its_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = trial_plan(seeds=(0, 1, 2))
    # 24 iterations of a member a second: 8 of the trial's three, each with n_critic batches.
    monkeypatch.setattr(preparation, "iterations_per_second", lambda *_: 24.0)
    clock = Clock()
    monkeypatch.setattr(preparation, "time", SimpleNamespace(perf_counter=clock))
    clock.slow(monkeypatch, Evaluator, "__call__", 2.5)
    facts = preparation.prepare({"space": plan}, TrialFolder(tmp_path / "trials" / "space-00000"), CPU)
    kimg_a_second = 8 * plan.config.n_critic * plan.config.batch_size / 1000
    assert facts["measured_seconds"] == {
        "space": {"per_kimg": pytest.approx(1 / kimg_a_second), "per_evaluation": 7.5}
    }
    assert facts["floor"]["w1"]["mean"] > 0


def test_it_makes_the_studys_judge(tmp_path: Path, classifier: object) -> None:
    del classifier  # in the cache by now
    plan = trial_plan(dataset="digits", model="dcgan", metric="fd", width=2, batch_size=8, latent_dim=4)
    facts = preparation.prepare({"space": plan}, TrialFolder(tmp_path / "trials" / "space-00000"), CPU)
    assert [path.suffix for path in sorted((tmp_path / "judge").glob("[!.]*"))] == [".json", ".pt"]
    assert len(facts["judge_sha256"]) == 64
    assert min(facts["measured_seconds"]["space"].values()) > 0
