"""One trial without Ray: complete rows, a marker last, and any interruption leaves no trace."""

import math
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.data import load
from study.data.arrays import Arrays
from study.metrics import METRICS, metrics_for
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.floor import floors
from study.metrics.stability import aggregate
from study.models import MODELS
from study.plan import TrialPlan
from study.records.sample_arrays import load_arrays
from study.records.trial_folder import Ending, TrialFolder
from study.training.pack import Pack
from study.training.schedule import Progress, schedule
from study.training.trainer import Due
from study.trial.evaluation import Evaluation
from study.trial.run import run
from tests.packs import CPU, everything
from tests.studies import trial_plan, untimed

pytestmark = pytest.mark.usefixtures("cheap_transport")

KEYS = (
    *("seed", "evaluation", "evaluated", "host", "kimg", "score", "diverged", "diverged_at_kimg", "reason"),
    "mode_counts",
)
CLOCKS = ("critic_updates", "generator_updates", "train_seconds", "eval_seconds")
MEANS = ("loss_d", "loss_g", "grad_norm_d", "grad_norm_g")

Planting = Callable[[dict[int, int]], None]


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return TrialFolder(tmp_path / "trials" / "space-00000")


def whole(trial: TrialPlan, tmp_path: Path) -> list[dict[str, Any]]:
    """The rows of an uninterrupted run, without its clocks."""
    folder = TrialFolder(tmp_path / "whole")
    list(run(trial, folder, CPU))
    return untimed(folder.rows())


def pictures(folder: TrialFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.samples.iterdir()}


def ending_of(last: Evaluation) -> Ending:
    return Ending(state=last.state, ended_by=last.ended_by, kimg=last.kimg, objective=last.objective)


def cut(trial: TrialPlan, folder: TrialFolder, heard: int) -> None:
    """Run a trial until so many of its evaluations were heard."""
    evaluations = run(trial, folder, CPU)
    for _ in range(heard):
        next(evaluations)
    evaluations.close()


# An uninterrupted run


@pytest.mark.parametrize("model", MODELS)
def test_a_trial_leaves_complete_rows_and_a_marker(model: str, folder: TrialFolder) -> None:
    trial = trial_plan(model=model)
    evaluations = list(run(trial, folder, CPU))
    assert [e.evaluation for e in evaluations] == [0, 1, 2, 3, 4]
    assert [e.kimg for e in evaluations] == pytest.approx([0, 0.128, 0.256, 0.384, 0.512])
    assert [e.state for e in evaluations] == ["running"] * 4 + ["completed"]
    assert evaluations[-1].ended_by == "budget"
    rows = folder.rows()
    assert rows == [row for e in evaluations for row in e.rows]
    assert [(row["evaluation"], row["seed"]) for row in rows] == [(e, s) for e in range(5) for s in (0, 1)]
    names = metrics_for("ring8")
    for row in rows:
        assert set(row) == {*KEYS, *CLOCKS, *MEANS, *names}
        assert (row["diverged"], row["diverged_at_kimg"], row["reason"]) == (False, None, None)
        assert all(math.isfinite(row[name]) for name in (*names, "score", *CLOCKS))
        assert all((row[name] is None) == (row["evaluation"] == 0) for name in MEANS)
        assert sum(row["mode_counts"]) == round(2500 * row["hq"])
        assert sum(count > 0 for count in row["mode_counts"]) == row["modes_covered"]
        assert row["critic_updates"] * 32 / 1000 == row["kimg"]
        assert row["critic_updates"] == row["generator_updates"] * trial.config.n_critic
    assert folder.ending() == ending_of(evaluations[-1])
    drawn = [f"{evaluation:04d}.{kind}" for evaluation in range(5) for kind in ("npz", "png")]
    assert [path.name for path in sorted(folder.samples.iterdir())] == drawn
    assert [e.image for e in evaluations] == sorted(folder.samples.glob("*.png"))


def test_no_member_scores_worse_than_before_training(folder: TrialFolder) -> None:
    list(run(trial_plan(), folder, CPU))
    rows = folder.rows()
    first = {row["seed"]: row["w1"] for row in rows if row["evaluation"] == 0}
    assert first[0] != first[1]
    assert all(row["score"] == min(row["w1"], first[row["seed"]]) for row in rows)


def test_a_bounded_metric_is_no_worse_than_its_worst_value(folder: TrialFolder) -> None:
    """Untrained generators have their points on the middle mode of grid25: a high share of good ones."""
    *_, last = run(trial_plan(dataset="grid25", metric="hq", width=128, lr_g=0.05, lr_d=0.05), folder, CPU)
    assert all(row["hq"] > 0.5 for row in folder.rows() if row["evaluation"] == 0)
    assert [row["score"] for row in last.rows] == [row["hq"] for row in last.rows]
    assert last.objective < 0.5


def test_the_arrays_beside_a_picture_are_the_samples_that_were_judged(folder: TrialFolder) -> None:
    """Untrained generators have their points on the middle mode of grid25."""
    next(run(trial_plan(dataset="grid25", width=128), folder, CPU))
    kept = load_arrays(folder.samples / "0000.npz")
    assert kept is not None
    distances = np.linalg.norm(kept["samples"][:, :, None] - kept["centres"], axis=-1)
    counts = (distances <= 3 * kept["std"]).sum(axis=1)
    assert counts.tolist() == [row["mode_counts"] for row in folder.rows()]
    assert counts.sum() > 0


def test_a_trial_leaves_the_floor_beside_its_study(folder: TrialFolder) -> None:
    next(run(trial_plan(), folder, CPU))
    floor = floors(folder.judges, "ring8")
    assert list(floor) == metrics_for("ring8")
    assert floor == floors(folder.judges, "ring8", load("ring8", CPU).fingerprint)


def test_the_plan_is_written_first_and_the_marker_before_the_last_evaluation(folder: TrialFolder) -> None:
    for evaluation in run(trial_plan(), folder, CPU):
        assert folder.plan() == trial_plan()
        assert (folder.ending() is not None) == (evaluation.state != "running")


def test_a_summary_has_means_over_all_seeds_or_none(folder: TrialFolder) -> None:
    *_, last = run(trial_plan(), folder, CPU)
    summary = last.summary()
    for name in (*metrics_for("ring8"), *MEANS):
        assert summary[name] == pytest.approx(sum(row[name] for row in last.rows) / 2, rel=1e-12)
    assert summary["objective"] == last.objective
    assert (summary["kimg"], summary["diverged_seeds"]) == (last.kimg, 0)
    one_left = replace(last, rows=[{**last.rows[0], "diverged": True, "w1": None}, last.rows[1]])
    assert "w1" not in one_left.summary()
    assert "w1/seed_0" not in one_left.summary()
    assert one_left.summary()["w1/seed_1"] == last.rows[1]["w1"]
    assert one_left.summary()["hq"] == summary["hq"]
    assert (one_left.summary()["diverged_seeds"], one_left.summary()["objective"]) == (1, last.objective)


def test_digits_are_judged_by_their_classifier(
    folder: TrialFolder, digits: Arrays, classifier: Classifier
) -> None:
    del digits, classifier  # asked for so that it is trained once for all test files
    trial = trial_plan(model="dcgan", dataset="digits", width=2, metric="fd", kimg=0.256)
    *_, last = run(trial, folder, CPU)
    assert last.state == "completed"
    assert set(metrics_for("digits")) <= set(last.rows[0])
    assert "w1" not in last.rows[0]
    assert floors(folder.judges, "digits")["fd"]["mean"] < 0.1 * folder.rows()[0]["fd"]


# What computed it


def test_what_computes_a_trial_is_noted_from_where_it_begins(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(trial_plan(), folder, heard=2)
    cut(trial_plan(), folder, heard=1)  # another process, no other environment
    (known,) = folder.environments()
    assert (known["evaluation"], known["threads"], known["companions"]) == (0, 1, [])
    assert (known["host"], known["torch"], known["gpu"]) == (socket.gethostname(), torch.__version__, None)
    assert known["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    list(run(trial_plan(companions=("space-00007",)), folder, CPU))
    first, second = folder.environments()
    assert first == known
    assert (second["evaluation"], second["threads"], second["companions"]) == (3, 2, ["space-00007"])


# The best evaluation's networks

NETWORKS = ("generator", "critic", "generator_buffers", "critic_buffers")


def networks_in(path: Path) -> dict[str, object]:
    state = torch.load(path, weights_only=True)
    return everything({name: state[name] for name in NETWORKS})


def test_the_best_evaluations_networks_are_kept(folder: TrialFolder) -> None:
    trial = trial_plan(lr_g=0.05, lr_d=0.05, kimg=1.28, init="torch")
    seen = [(e.objective, networks_in(folder.checkpoint)) for e in run(trial, folder, CPU)]
    best = min(range(len(seen)), key=lambda number: seen[number][0])
    assert 0 < best < len(seen) - 1
    kept = torch.load(folder.best, weights_only=True)
    assert kept.keys() == {*NETWORKS, "evaluation"}
    assert kept["evaluation"] == best
    assert networks_in(folder.best) == seen[best][1]


def test_they_are_not_where_nobody_wants_them(folder: TrialFolder) -> None:
    list(run(trial_plan(keep_best=False), folder, CPU))
    assert [path.name for path in folder.checkpoint.parent.iterdir()] == ["pack.pt"]


# Interruptions


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("heard", [1, 3])
def test_a_trial_closed_midway_goes_on_as_if_nothing_had_happened(
    model: str, heard: int, folder: TrialFolder, tmp_path: Path
) -> None:
    trial = trial_plan(model=model)
    cut(trial, folder, heard)
    assert folder.ending() is None
    rest = list(run(trial, folder, CPU))
    assert [e.evaluation for e in rest] == list(range(heard, 5))
    assert untimed(folder.rows()) == whole(trial, tmp_path)
    assert pictures(folder) == pictures(TrialFolder(tmp_path / "whole"))
    assert rest[-1].state == "completed"


def test_train_seconds_add_up_over_interruptions(folder: TrialFolder) -> None:
    cut(trial_plan(), folder, heard=3)
    list(run(trial_plan(), folder, CPU))
    seconds = [row["train_seconds"] for row in folder.rows() if row["seed"] == 0]
    assert seconds[2] > 0
    assert all(later > earlier for earlier, later in pairwise(seconds))


class Killed(BaseException):
    """Stands for a SIGKILL: nothing catches it."""


BEFORE_PICTURE, BEFORE_ROWS, BEFORE_BEST, BEFORE_CHECKPOINT, BEFORE_MARKER = (
    "study.trial.run.save_samples",
    "study.records.trial_folder.TrialFolder.append",
    "study.trial.run.checkpoint.save_networks",
    "study.trial.run.checkpoint.save",
    "study.records.trial_folder.TrialFolder.finish",
)


@pytest.mark.parametrize(
    ("moment", "at"),
    [
        *product([BEFORE_PICTURE, BEFORE_ROWS, BEFORE_BEST, BEFORE_CHECKPOINT], [0, 2, 4]),
        (BEFORE_MARKER, 4),
    ],
)
def test_a_kill_between_two_writes_doubles_nothing(
    moment: str, at: int, folder: TrialFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    trial = trial_plan(init="torch")  # each evaluation is the best yet
    first = run(trial, folder, CPU)
    for _ in range(at):
        next(first)
    with monkeypatch.context() as patch:
        patch.setattr(moment, kill)
        with pytest.raises(Killed):
            next(first)
    assert folder.ending() is None
    *_, last = run(trial, folder, CPU)
    assert (last.state, last.ended_by) == ("completed", "budget")
    assert untimed(folder.rows()) == whole(trial, tmp_path)
    assert networks_in(folder.best) == networks_in(TrialFolder(tmp_path / "whole").best)
    assert folder.ending() == ending_of(last)


def test_a_marker_lost_in_a_kill_is_written_without_training(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, last = run(trial_plan(), folder, CPU)
    expected = folder.ending()
    rows = (folder.path / "curves.jsonl").read_bytes()
    (folder.path / "DONE").unlink()
    monkeypatch.setattr("study.trial.run.schedule", lambda *_: pytest.fail("it trained"))
    (again,) = run(trial_plan(), folder, CPU)
    assert again == replace(last, image=None)
    assert folder.ending() == expected
    assert (folder.path / "curves.jsonl").read_bytes() == rows


def test_a_trial_whose_checkpoint_is_gone_says_that_it_begins_again(folder: TrialFolder) -> None:
    evaluations = run(trial_plan(), folder, CPU)
    next(evaluations), next(evaluations)
    evaluations.close()
    before = untimed(folder.rows())
    folder.checkpoint.unlink()
    again = list(run(trial_plan(), folder, CPU))
    assert again[0].note.endswith("pack.pt is not there any more; it begins again")
    assert untimed(folder.rows())[: len(before)] == before


@pytest.mark.parametrize("damage", [lambda _: b"nothing", lambda content: content[:-100]])
def test_a_trial_whose_checkpoint_is_damaged_begins_again_and_says_so(
    damage: Callable[[bytes], bytes], folder: TrialFolder, tmp_path: Path
) -> None:
    evaluations = run(trial_plan(), folder, CPU)
    next(evaluations), next(evaluations)
    evaluations.close()
    folder.checkpoint.write_bytes(damage(folder.checkpoint.read_bytes()))
    again = list(run(trial_plan(), folder, CPU))
    assert "pack.pt: the checkpoint can't be read" in again[0].note
    assert again[0].note.endswith("; it begins again")
    assert {evaluation.note for evaluation in again[1:]} == {""}
    list(run(trial_plan(), TrialFolder(tmp_path / "undisturbed"), CPU))
    assert untimed(folder.rows()) == untimed(TrialFolder(tmp_path / "undisturbed").rows())


def test_a_checkpoint_of_another_trial_is_a_fault(folder: TrialFolder) -> None:
    next(run(trial_plan(), folder, CPU))
    torch.save({"of": "another program"}, folder.checkpoint)
    with pytest.raises(RuntimeError, match=r"pack\.pt is no checkpoint of this trial"):
        next(run(trial_plan(), folder, CPU))


def test_a_second_process_does_not_train_the_same_trial(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.records.trial_folder.LOCK_SECONDS", 0.1)
    first = run(trial_plan(), folder, CPU)
    next(first)
    with pytest.raises(TimeoutError):
        next(run(trial_plan(), folder, CPU))
    next(first)


# Divergence


@pytest.mark.parametrize("model", MODELS)
def test_a_huge_learning_rate_ends_at_the_untrained_value(model: str, folder: TrialFolder) -> None:
    trial = trial_plan(model=model, lr_g=1e4, lr_d=1e4, kimg=1000, eval_kimg=100)
    *_, last = run(trial, folder, CPU)
    assert (last.state, last.ended_by) == ("diverged", "divergence")
    assert last.kimg < 20
    untrained = [row["w1"] for row in folder.rows() if row["evaluation"] == 0]
    assert [row["score"] for row in last.rows] == untrained
    assert last.objective == sum(untrained) / 2
    assert folder.ending() == ending_of(last)


def test_a_diverged_seed_scores_the_worst_value_of_a_bounded_metric(folder: TrialFolder) -> None:
    """Its untrained value is among the best: a narrow blob on the middle mode of grid25."""
    plan = trial_plan(dataset="grid25", metric="hq", width=128, lr_g=1e4, lr_d=1e4, kimg=1000, eval_kimg=100)
    *_, last = run(plan, folder, CPU)
    assert all(row["hq"] > 0.5 for row in folder.rows() if row["evaluation"] == 0)
    assert last.state == "diverged"
    assert [row["score"] for row in last.rows] == [0.0, 0.0]
    assert last.objective == 0.0


@pytest.fixture
def planting(monkeypatch: pytest.MonkeyPatch) -> Planting:
    """Plant a NaN in members {seed: evaluation} right before the training towards that evaluation."""

    def choose(when: dict[int, int]) -> None:
        def planted(pack: Pack, data: torch.Tensor, *budget: float) -> Iterator[Due | Progress]:
            for event in schedule(pack, data, *budget):
                yield event
                for seed, evaluation in when.items():
                    if isinstance(event, Progress) and event.evaluation == evaluation - 1:
                        pack.generator.parameters[0][pack.seeds.index(seed)] = math.nan

        monkeypatch.setattr("study.trial.run.schedule", planted)

    return choose


@pytest.mark.parametrize(("metric", "how"), [("w1", "mean"), ("w1", "cvar"), ("hq", "mean")])
def test_a_diverged_seed_scores_its_price_and_the_others_go_on(
    metric: str, how: str, planting: Planting, folder: TrialFolder, tmp_path: Path
) -> None:
    trial = trial_plan(seeds=(0, 1, 2), metric=metric, aggregate=how)
    expected = whole(trial, tmp_path)
    planting({1: 3})
    *_, last = run(trial, folder, CPU)
    assert (last.state, last.ended_by) == ("completed", "budget")
    rows = untimed(folder.rows())
    assert [row for row in rows if row["seed"] != 1] == [row for row in expected if row["seed"] != 1]
    mine = [row for row in rows if row["seed"] == 1]
    assert [row["diverged"] for row in mine] == [False, False, False, True, True]
    for row in mine[3:]:
        assert all(row[name] is None for name in (*metrics_for("ring8"), "mode_counts"))
        assert row["score"] == (0.0 if metric == "hq" else mine[0][metric])
        assert 0.256 < row["diverged_at_kimg"] <= 0.384
        assert row["reason"].startswith("non-finite")
    scores = [row["score"] for row in last.rows]
    assert last.objective == aggregate(scores, how, METRICS[metric].higher_is_better)
    assert "NaN" not in (folder.path / "curves.jsonl").read_text()


def test_a_diverged_trial_killed_before_its_marker_is_diverged(
    planting: Planting, folder: TrialFolder
) -> None:
    planting({0: 1, 1: 1})
    *_, last = run(trial_plan(), folder, CPU)
    (folder.path / "DIVERGED").unlink()
    (again,) = run(trial_plan(), folder, CPU)
    assert again == replace(last, image=None)


def test_a_seed_that_diverged_stays_so_over_an_interruption(
    planting: Planting, folder: TrialFolder, tmp_path: Path
) -> None:
    planting({1: 2})
    expected = whole(trial_plan(), tmp_path)
    cut(trial_plan(), folder, heard=3)
    planting({})
    list(run(trial_plan(), folder, CPU))
    assert untimed(folder.rows()) == expected
