"""study.train: one configuration without Ray, Optuna or W&B; a line per evaluation; a trial folder."""

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from study import results, train
from study.command import run_command
from study.models import MODELS, hyperparameters
from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder
from study.space import find_space, read_space
from study.training import checkpoint
from study.trial.run import default_device
from tests.studies import untimed, wandb_history, wandb_records, wandb_run

pytestmark = pytest.mark.usefixtures("cheap_transport")

TINY = ["--dataset", "ring8", "--width", "8", "--batch-size", "32", "--kimg", "0.64", "--eval-kimg", "0.32"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    return run_command(lambda: train.main([*TINY, *arguments]))


def only_trial(study: str = "train") -> TrialFolder:
    (path,) = Path("results", study, "trials").iterdir()
    return TrialFolder(path)


def interrupt_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a trial's folder before its first evaluation."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("study.trial.run.run", interrupt)
        assert run() == 130


def options(*arguments: str) -> dict[str, Any]:
    """The configuration that a command line stands for."""
    return train.plan_from(train.parser().parse_args(arguments)).config.to_dict()


# The command line


@pytest.mark.parametrize("name", ["lr_g", "lr_d", "beta1", "beta2", "n_critic", "batch_size", "lambda_gp"])
def test_a_hyperparameter_is_taken_in_every_spelling(name: str) -> None:
    """A W&B agent writes --lr_g=0.001, a person --lr-g 0.001."""
    value = "3" if name in ("n_critic", "batch_size") else "0.25"
    dashed = name.replace("_", "-")
    spellings = [[f"--{name}={value}"], [f"--{dashed}={value}"], [f"--{name}", value], [f"--{dashed}", value]]
    assert {options(*spelling)[name] for spelling in spellings} == {float(value)}


def test_an_exponent_is_a_number() -> None:
    assert options("--lr_g=1e-4")["lr_g"] == options("--lr-g", "0.0001")["lr_g"] == 1e-4


def test_every_hyperparameter_is_an_option() -> None:
    offered = {option for action in train.parser()._actions for option in action.option_strings}
    for name in ("model", "dataset", *hyperparameters()):
        assert {f"--{name}", f"--{name.replace('_', '-')}"} <= offered


@pytest.mark.parametrize("name", MODELS)
def test_a_space_can_be_handed_over_by_an_agent(name: str) -> None:
    """What `wandb agent` makes of the corners of search_spaces/*.yaml."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    space = read_space(find_space(name))
    for end in (0, -1):
        given = space.constants | {key: searched.ends[end] for key, searched in space.searched.items()}
        command = create_sweep_command_args({"args": {key: {"value": given[key]} for key in given}})
        assert options(*command["args"]).items() >= given.items()


@pytest.mark.parametrize(("sweep", "mode"), [(None, "disabled"), ("abc", "auto")])
def test_tracking_is_on_under_a_sweeps_agent_only(
    sweep: str | None, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    if sweep:
        monkeypatch.setenv("WANDB_SWEEP_ID", sweep)
    assert train.parser().parse_args([]).wandb == mode


@pytest.mark.parametrize(("dataset", "metric"), [("digits", "fd"), ("ring8", "w1"), ("grid25", "w1")])
def test_defaults_follow_the_data(dataset: str, metric: str) -> None:
    plan = train.plan_from(train.parser().parse_args(["--dataset", dataset]))
    assert plan.metric == metric
    assert plan.eval_kimg == plan.kimg / 9
    assert (plan.seeds, plan.space) == ((0, 1), "train")


# A run


def test_a_run_prints_a_line_per_evaluation(capsys: Capture) -> None:
    assert run("--n-critic", "1") == 0
    out, err = capsys.readouterr()
    assert err == ""
    folder = only_trial()
    lines = out.splitlines()
    assert str(folder.path) in lines[0]
    assert str(folder.path) in lines[-1]
    assert lines[-1].startswith("completed")
    evaluations = [line for line in lines if line.startswith("kimg")]
    assert [float(line.split()[1]) for line in evaluations] == [0, 0.32, 0.64]
    assert all("w1" in line and "modes_covered" in line and "diverged 0/2" in line for line in evaluations)


def test_a_run_leaves_the_folder_of_a_trial() -> None:
    assert run("--lr_g=3e-4", "--seeds", "3", "--seed", "5", "--name", "mine") == 0
    folder = only_trial("mine")
    plan, ending = folder.plan(), folder.ending()
    assert (plan.study, plan.seeds, plan.study_seed) == ("mine", (0, 1, 2), 5)
    assert (plan.config.lr_g, plan.config.width) == (3e-4, 8)
    assert plan.trial_id == folder.path.name
    assert ending is not None
    assert (ending.state, ending.ended_by) == ("completed", "budget")
    assert len(folder.rows()) == 9
    assert len(list(folder.samples.glob("*.png"))) == 3


def test_a_run_says_what_trains_it_and_keeps_that_when_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    monkeypatch.setattr("torch.get_num_threads", lambda: 5)
    assert run() == 0
    plan = only_trial().plan()
    assert (plan.threads, plan.device, plan.companions) == (5, default_device().type, ())
    (only_trial().path / "DONE").unlink()
    assert run_command(lambda: train.main(["--resume", str(only_trial().path)])) == 0
    (only_trial().path / "DONE").unlink()
    assert run_command(lambda: train.main(["--resume", str(only_trial().path), "--threads", "2"])) == 0
    assert asked == [5, 5, 2]


def test_what_keeping_the_best_networks_costs_is_said_once(capsys: Capture) -> None:
    assert run() == 0
    out, size = capsys.readouterr().out, only_trial().best.stat().st_size
    (found,) = re.findall(
        r"the best evaluation's networks .*: about ([\d.]+) MB a trial \(--no-keep-best", out
    )
    assert float(found) == pytest.approx(size / 1e6, rel=0.01)


def test_without_them_there_is_neither_file_nor_word(capsys: Capture) -> None:
    assert run("--no-keep-best") == 0
    assert "keeping" not in capsys.readouterr().out
    assert not only_trial().best.exists()


def test_runs_of_one_name_are_trials_of_one_study() -> None:
    assert run() == run("--model", "dcgan") == 0
    assert results.main(["results/train"]) == 0
    trials = pd.read_parquet("results/train/trials.parquet")
    assert sorted(trials["model"]) == ["dcgan", "wgan_gp"]
    assert set(trials["state"]) == {"completed"}


def test_a_run_that_diverges_is_status_one(capsys: Capture) -> None:
    assert run("--lr-g", "1e6", "--lr-d", "1e6", "--kimg", "100", "--eval-kimg", "50") == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("diverged")
    ending = only_trial().ending()
    assert ending is not None
    assert ending.state == "diverged"


def test_an_interrupted_run_goes_on(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--name", "whole") == 0

    def interrupting(text: str, *_: object, **__: object) -> None:
        if text.startswith("kimg      0.32"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("builtins.print", interrupting)
        assert train.main([*TINY, "--name", "cut"]) == 130
    folder = only_trial("cut")
    assert folder.ending() is None
    capsys.readouterr()
    assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 0
    assert "kimg      0.00" not in capsys.readouterr().out
    assert untimed(folder.rows()) == untimed(only_trial("whole").rows())


def test_an_interrupt_prints_how_to_go_on(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("study.trial.run.run", interrupt)
    assert run() == 130
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(f"python -m study.train --resume {only_trial().path}")


@pytest.mark.parametrize("marker", [None, "{"])
def test_an_ended_run_is_not_resumed(marker: str | None, capsys: Capture) -> None:
    assert run() == 0
    folder = only_trial()
    if marker:
        (folder.path / "DONE").write_text(marker)
    before = (folder.path / "curves.jsonl").read_bytes()
    assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 2
    assert "has ended" in capsys.readouterr().err
    assert (folder.path / "curves.jsonl").read_bytes() == before


@pytest.mark.parametrize("whose", ["trial", "study"])
def test_a_run_that_another_process_has_is_left_to_it(
    whose: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_a_run(monkeypatch)
    folder = only_trial()
    claim = folder.claim()
    study = StudyFolder(folder.study)
    with folder.lock() if whose == "trial" else study.lock():
        assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 2
    assert "by another process" in capsys.readouterr().err
    folder.check_claim(claim)
    assert folder.ending() is None


def test_what_a_run_began_with_is_kept(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_a_run(monkeypatch)
    capsys.readouterr()
    resume = ["--resume", str(only_trial().path)]
    assert run_command(lambda: train.main([*resume, "--lr-g", "0.1", "--kimg", "5"])) == 2
    assert "--kimg, --lr-g can't be changed by --resume" in capsys.readouterr().err
    assert run_command(lambda: train.main([*resume, "--threads", "1"])) == 0


def test_a_full_disk_ends_a_run_that_can_go_on(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        assert run() == 1
    folder = only_trial()
    said = capsys.readouterr()
    assert said.err.startswith("error: there is no space left on the disk of ")
    assert said.err.count("\n") == 1
    assert said.out.splitlines()[-1].endswith(f"python -m study.train --resume {folder.path}")
    assert folder.ending() is None
    assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 0


def test_a_run_that_would_write_elsewhere_is_refused(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupt_a_run(monkeypatch)
    folder, other = only_trial(), tmp_path / "of another"
    other.write_text("")
    (folder.path / "curves.jsonl").symlink_to(other)
    assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 2
    assert "curves.jsonl is neither a file nor a folder of its own" in capsys.readouterr().err
    assert other.read_text() == ""


@pytest.mark.parametrize("there", [True, False])
def test_a_judge_that_is_a_link_is_refused(
    there: bool, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupt_a_run(monkeypatch)
    folder, other = only_trial(), tmp_path / "of another"
    if there:
        other.mkdir()
    shutil.rmtree(folder.judges, ignore_errors=True)
    folder.judges.symlink_to(other)
    assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 2
    assert "judge is neither a file nor a folder of its own" in capsys.readouterr().err
    assert not there or list(other.iterdir()) == []


def test_a_run_that_fails_keeps_its_traceback(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("study.trial.run.run", fail)
    assert run() == 1
    folder = only_trial()
    assert capsys.readouterr().err == (
        f"error: the trial failed: no such luck; the traceback is in {folder.path}\n"
    )
    ending = folder.ending()
    assert ending is not None
    assert (ending.state, ending.ended_by) == ("failed", "fault")
    assert ending.error is not None
    assert ending.error.startswith("Traceback (most recent call last)")
    assert "ZeroDivisionError: no such luck" in ending.error


# W&B


class Tracked:
    """Stands for study.reporting.tracking.Tracker."""

    def __init__(self, *given: object) -> None:
        self.given = given
        self.steps: list[int] = []
        self.ended: list[tuple[str, dict[str, Any]]] = []

    def start(self, run: str, config: dict[str, Any]) -> None:
        del run
        self.config = config

    def log(self, run: str, values: dict[str, float], step: int, image: Path | None) -> None:
        del run, values, image
        self.steps.append(step)

    def finish(self, run: str, state: str, summary: dict[str, Any]) -> None:
        del run
        self.ended.append((state, summary))

    def close(self, timeout_seconds: float) -> None:
        del timeout_seconds


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> list[Tracked]:
    """The tracker of every run that begins."""
    found: list[Tracked] = []

    def make(*given: object) -> Tracked:
        found.append(Tracked(*given))
        return found[-1]

    monkeypatch.setattr("study.train.Tracker", make)
    return found


def test_wandb_gets_a_run_but_not_its_untrained_generator(trackers: list[Tracked]) -> None:
    """W&B's Hyperband counts rows: one more, and it would stop each a row early."""
    assert run("--wandb", "offline", "--wandb-project", "mine", "--name", "x") == 0
    (tracked,) = trackers
    assert tracked.given == ("offline", Path("results/x"), "mine", "x")
    assert tracked.steps == [1, 2]
    assert (tracked.config["width"], "config" in tracked.config) == (8, False)
    ((state, summary),) = tracked.ended
    assert (state, summary["n_diverged"], summary["n_censored"]) == ("completed", 0, 0)
    assert summary["objective_low"] <= summary["objective"] <= summary["objective_high"]
    assert "mode_coverage" in summary


@pytest.mark.parametrize("when", ["kimg      0.00", "kimg      0.32"])
def test_an_interrupted_run_is_told_as_interrupted(
    when: str, trackers: list[Tracked], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupting(text: str, *_: object, **__: object) -> None:
        if text.startswith(when):
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupting)
    assert train.main([*TINY, "--wandb", "offline"]) == 130
    (tracked,) = trackers
    ((state, summary),) = tracked.ended
    assert (state, summary["n_censored"]) == ("interrupted", 2)


# As a process


def test_sigterm_keeps_what_was_done_and_nothing_unneeded_was_imported() -> None:
    """A machine with a GPU may hold no ray or optuna; its scheduler, and W&B's agent, end a run so."""
    code = (
        "import sys\n"
        "from dataclasses import replace\n"
        "from study.metrics import METRICS\n"
        "from study.train import main\n"
        "METRICS['w1'] = replace(METRICS['w1'], samples={'points': 50})\n"
        f"status = main({[*TINY, '--kimg', '1000', '--eval-kimg', '0.32']})\n"
        "print('IMPORTED', {'ray', 'optuna', 'wandb'} & set(sys.modules))\n"
        "sys.exit(status)\n"
    )
    pipe = subprocess.PIPE
    agents = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "agents-id", "WANDB_MODE": "offline"}
    environment = {**os.environ, **agents}
    started = [sys.executable, "-c", code]
    with subprocess.Popen(started, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            tracked = Path("results/train/wandb")
            for line in process.stdout:
                if re.match(r"kimg +(?!0\.00)\d", line) and list(tracked.glob("offline-run-*/*.wandb")):
                    break
            began = time.monotonic()
            process.terminate()
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert time.monotonic() - began < 15
    assert (process.returncode, err) == (130, "")
    folder = only_trial()
    *_, command, imported = out.splitlines()
    assert command.endswith(f"python -m study.train --resume {folder.path}")
    assert imported == "IMPORTED set()"
    assert folder.ending() is None
    assert folder.checkpoint.is_file()
    assert len(folder.rows()) >= 4
    (path,) = tracked.glob("offline-run-*/run-agents-id.wandb")
    lines = wandb_records(path)
    assert [line["exit"]["exit_code"] for line in lines if "exit" in line] == [255]
    assert wandb_run(lines)["tags"] == ["train", "ring8", "interrupted"]
    assert wandb_history(lines)[0]["kimg"] == 0.32
