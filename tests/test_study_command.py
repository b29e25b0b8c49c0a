"""Whole studies through the command line, with Ray: they end, and tell the truth."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from optuna.trial import TrialState

from study.data import facts, prepare
from study.machine.files import read_json
from study.metrics.judge.evaluator import evaluator_for
from study.metrics.judge.floor import floors
from study.records.schema import TIMED
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES
from study.records.trial_folder import TrialFolder
from study.reporting.timing import WORKER_PARTS
from study.trial.run import run
from tests.commands import Command, Start, descendants, end_all, starter, wait_until_held
from tests.recomputed import check_tables
from tests.studies import TINY, check_books, journal, small, states, table

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def three_arms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, Start]]:
    """One study of the project's own spaces, ended."""
    starts = starter(tmp_path_factory.mktemp("arms"))
    start = next(starts)
    arguments = ["--space", "dcgan", "wgan_cp", "wgan_gp", *TINY]
    command = start(*arguments, "--kimg", "3", "--eval-kimg", "1", "--trials", "2", "--name", "arms")
    command.wait()
    yield command, start
    next(starts, None)


ARMS = ["dcgan", "wgan_cp", "wgan_gp"]


def test_three_spaces_are_three_arms_of_one_table(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    assert (command.process.returncode, command.err) == (0, "")
    study = StudyFolder(command.folder / "results" / "arms")
    check_books(study, dict.fromkeys(ARMS, 2), evaluations=4)
    trials = table(study, "trials")
    assert (trials["space"] == trials["model"]).all()
    assert (trials["state"] == "completed").any()
    assert len(table(study, "runs")) == 12
    for _, folder in study.trials():
        assert (folder.path / "DONE").is_file() or (folder.path / "DIVERGED").is_file()
        assert folder.checkpoint.is_file()
        assert len(list(folder.samples.glob("*.png"))) == len(folder.rows()) / 2


def test_every_figure_of_its_tables_is_that_of_a_second_implementation(
    three_arms: tuple[Command, Start],
) -> None:
    command, _ = three_arms
    check_tables(command.folder / "results" / "arms")


def test_the_parts_of_its_cost_sum_to_the_wall_time(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    cost = read_json(command.folder / "results" / "arms" / "study.json")["cost"]
    wall = command.seconds
    # Of the command's time, its interpreter's start and end and the last table shown are not in it.
    assert 0.85 * wall < cost["wall_seconds"] < wall
    assert sum(cost["driver_seconds"].values()) == pytest.approx(cost["wall_seconds"], rel=1e-9)
    assert sum(cost["slot_seconds"].values()) == pytest.approx(cost["slots"] * cost["wall_seconds"], rel=1e-9)
    assert all(cost["slot_seconds"][part] > 0 for part in WORKER_PARTS if part != "wait")
    assert cost["slot_seconds"]["idle"] > -0.01 * wall


def test_study_json_tells_of_the_data_their_floor_and_the_price(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    record = read_json(command.folder / "results" / "arms" / "study.json")
    floor = evaluator_for("ring8", torch.device("cpu")).floor
    assert record["floor"] == floor == floors(command.folder / "results" / "arms" / "judge", "ring8")
    assert not {"classifier_accuracy", "judge_sha256"} & record.keys()
    assert record["measured_seconds"].keys() == {*ARMS}
    assert record["plan"]["fingerprint"] == facts(prepare("ring8"))[0]


def test_what_a_study_prints(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    for words in ("3 kimg", "2 seeds", "trials at a time", "cost: about", "best trials"):
        assert words in command.out
    for arm in ARMS:
        assert f"{arm}: 2 trials by tpe, stopped early by asha" in command.out
        assert f"{arm}: made to find its best" in command.out
    assert "results: results/arms" in command.out
    assert "report: python -m analysis.report results/arms" in command.out
    assert command.out.count("keeping the best evaluation's networks beside the last checkpoint: about") == 1
    assert "Traceback" not in command.out
    assert max(map(len, command.out.splitlines())) <= 140


def test_a_study_leaves_only_its_results(three_arms: tuple[Command, Start]) -> None:
    command, _ = three_arms
    study = command.folder / "results" / "arms"
    tables = {f"{name}.parquet" for name in TABLES}
    assert {path.name for path in study.iterdir() if not path.name.startswith(".")} == (
        {"study.json", "optuna.journal", "ray.log", "trials", "judge"} | tables
    )
    assert (study / "ray.log").read_text() == ""
    assert not (study / ".ray").exists()
    assert list(study.rglob("*.tmp")) == []


def test_a_finished_study_is_extended_from_the_command_line(three_arms: tuple[Command, Start]) -> None:
    first, start = three_arms
    study = StudyFolder(first.folder / "results" / "arms")
    before = {name: (f.path / "curves.jsonl").read_bytes() for name, f in study.trials()}
    command = start("--resume", "results/arms", "--trials", "3")
    assert (command.wait(), command.err) == (0, "")
    check_books(study, dict.fromkeys(ARMS, 3), evaluations=4)
    assert read_json(study.path / "study.json")["plan"]["trials"] == dict.fromkeys(ARMS, 3)
    for name, content in before.items():
        assert (study.trial(name).path / "curves.jsonl").read_bytes() == content
    for arm in ARMS:
        assert len({trial.params["lr_g"] for trial in journal(study, arm)}) == 3


def test_a_finished_study_has_nothing_to_resume(three_arms: tuple[Command, Start]) -> None:
    first, start = three_arms
    study = first.folder / "results" / "arms"
    tables = {name: (study / f"{name}.parquet").read_bytes() for name in TABLES}
    command = start("--resume", "results/arms")
    assert (command.wait(), command.err) == (0, "")
    assert "best trials" in command.out
    assert {name: (study / f"{name}.parquet").read_bytes() for name in TABLES} == tables


def test_a_space_that_diverges_ends_early_and_is_status_one(start: Start, tmp_path: Path) -> None:
    (tmp_path / "wild.yaml").write_text(yaml.safe_dump(small(1e3, 1e4)))
    budget = ["--kimg", "100", "--trials", "3"]
    command = start("--space", "wild.yaml", *TINY, *budget, "--name", "wild", "--map", "--report")
    assert command.wait() == 1
    study = StudyFolder(tmp_path / "results" / "wild")
    assert study.plan().maps("wild")
    assert "report: results/wild/report/report.html" in command.out
    assert (study.path / "report" / "report.html").is_file()
    check_books(study, {"wild": 3})
    trials, runs = table(study, "trials"), table(study, "runs")
    assert set(trials["state"]) == {"diverged"}
    assert (trials["kimg"] < 50).all()
    first = table(study, "curves").query("evaluation == 0")
    assert trials["objective"].tolist() == first.groupby("trial_id")["w1"].mean().tolist()
    assert (trials["failure_rate"] == 1).all()
    assert runs["diverged"].all()
    assert (runs["diverged_at_kimg"] > 0).all()
    assert all(runs["reason"])
    assert {trial.state for trial in journal(study, "wild")} == {TrialState.COMPLETE}
    assert command.err.count("\n") == 1
    assert command.err.startswith("error: no trial completed")
    assert "Traceback" not in command.out


@pytest.mark.parametrize("pack", ["trial", "4"])
def test_hyperband_ends_all_trials(pack: str, start: Start, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small()))
    budget = ["--kimg", "3", "--eval-kimg", "1", "--trials", "4"]
    how = ["--scheduler", "hyperband", "--pack", pack, "--cpus-per-trial", "0.5", "--concurrency", "1"]
    command = start("--space", "small.yaml", *TINY, *budget, *how, "--name", "bands")
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "bands")
    check_books(study, {"small": 4}, evaluations=4)
    assert set(table(study, "trials")["ended_by"]) <= {"budget", "hyperband"}
    assert read_json(study.path / "study.json")["cost"]["slot_seconds"]["idle"] > -0.1


@pytest.mark.parametrize("pack", ["4", "auto"])
def test_trials_that_share_packs_end_as_alone(pack: str, start: Start, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small()))
    budget = ["--kimg", "0.6", "--eval-kimg", "0.2", "--trials", "8", "--concurrency", "1"]
    command = start("--space", "small.yaml", *TINY, *budget, "--pack", pack, "--name", "shared")
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "shared")
    check_books(study, {"small": 8}, evaluations=4)
    for name, folder in study.trials():
        alone = TrialFolder(tmp_path / name)
        list(run(folder.plan(), alone, torch.device("cpu")))
        for row, other in zip(folder.rows(), alone.rows(), strict=True):
            assert row["w1"] == pytest.approx(other["w1"], rel=0.02)  # bf16, twenty updates
    if pack == "4":
        replay = [sys.executable, "-m", "study.train", "--replay", str(study.trial("small-00000").path)]
        replayed = subprocess.run(replay, capture_output=True, text=True)
        assert (replayed.returncode, replayed.stderr) == (0, "")
        assert "it shared its pack with small-00001" in replayed.stdout
    record = read_json(study.path / "study.json")
    members = int(re.search(r"a pack has up to (\d+) members", command.out)[1])  # type: ignore[index]
    cost = record["cost"]
    assert cost["slots"] == members // 2
    assert sum(cost["slot_seconds"].values()) == pytest.approx(cost["slots"] * cost["wall_seconds"], rel=1e-9)
    assert cost["slot_seconds"]["train"] > 0
    if pack == "auto":
        sizes = record["pack_sizes"]["small"]
        assert [size["members"] for size in sizes] == [2, 4]  # two trials at a time are a quarter of eight
        assert members in [size["members"] for size in sizes]
        assert all(size["rate"] > 0 and size["mib"] >= 0 for size in sizes)
    else:
        assert members == 4


README = (Path(__file__).parents[1] / "README.md").read_text()


def hinge(folder: Path) -> list[str]:
    """Two trials, of three seeds, of the networks that the README declares: the command's arguments."""
    (folder / "mine.py").write_text(README.partition("```python\n")[2].partition("```")[0])
    (folder / "hinge.yaml").write_text(yaml.safe_dump(small(model="hinge")))
    budget = ["--kimg", "2", "--eval-kimg", "0.5", "--trials", "2", "--concurrency", "1"]
    return ["--space", "hinge.yaml", "--plugin", "mine.py", *TINY, "--seeds", "3", *budget]


def test_a_study_of_a_plugin_is_killed_and_resumed_to_the_same_tables(start: Start, tmp_path: Path) -> None:
    what = hinge(tmp_path)
    whole = start(*what, "--name", "whole")
    assert (whole.wait(), whole.err) == (0, "")
    assert "the critic of hinge: members are computed one after another" in whole.out

    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "hinge-00000").touch()
    command = start(*what, "--name", "cut", gate=tmp_path / "gate")
    wait_until_held(command, 1)
    below = descendants(command.process.pid)
    command.process.kill()
    command.wait()
    try:
        resumed = start("--resume", "results/cut", "--plugin", "mine.py")
        assert (resumed.wait(), resumed.err) == (0, "")
    finally:
        end_all(below)
    studies = [StudyFolder(tmp_path / "results" / name) for name in ("whole", "cut")]
    for name in TABLES:
        tables = [table(study, name) for study in studies]
        same = [c for c in tables[0].columns if c not in TIMED and c != "study"]
        pd.testing.assert_frame_equal(tables[0][same], tables[1][same])
    assert table(studies[0], "runs")["seed"].tolist() == [0, 1, 2] * 2
    assert set(states(studies[0]).values()) == {"completed"}


DIES = """
import os, signal, sys
from pathlib import Path
import ray

def hook(event, _):
    if event == "os.chdir" and not (died := Path({died!r})).exists():  # into the next trial's folder
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)

if ray.is_initialized():  # not in the driver
    sys.addaudithook(hook)
"""


def test_a_process_that_dies_as_it_is_given_its_next_trial_has_lost_it_once(
    start: Start, tmp_path: Path
) -> None:
    what = hinge(tmp_path)
    with (tmp_path / "mine.py").open("a") as plugin:
        plugin.write(DIES.format(died=str(tmp_path / "died")))
    command = start(*what, "--name", "mine")
    assert (command.wait(), command.err) == (0, "")
    assert (tmp_path / "died").exists()
    assert command.out.count("hinge-00001: its process died") == 1
    study = StudyFolder(tmp_path / "results" / "mine")
    assert states(study) == {"hinge-00000": "completed", "hinge-00001": "completed"}


def test_trials_of_a_plugin_share_packs(start: Start, tmp_path: Path) -> None:
    command = start(*hinge(tmp_path), "--pack", "6", "--name", "shared")
    assert (command.wait(), command.err) == (0, "")
    study = StudyFolder(tmp_path / "results" / "shared")
    assert set(states(study).values()) == {"completed"}
    (recorded,) = read_json(study.path / "study.json")["plan"]["plugins"]
    assert Path(recorded["path"]) == (tmp_path / "mine.py").resolve()
