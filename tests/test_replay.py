"""study.train --replay: a trial repeats itself bit for bit; what differs is found, and nothing is written."""

import asyncio
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from study import train
from study.command import run_command
from study.errors import UserError
from study.metrics.judge.classifier import Classifier
from study.plan import TrialPlan
from study.records.schema import Row
from study.records.trial_folder import Ending, TrialFolder
from study.training.trainer import Trainer
from study.trial.group import TrialGroup
from study.trial.run import run
from tests.packs import CPU
from tests.studies import trial_plan

pytestmark = pytest.mark.usefixtures("cheap_transport")

# Of evaluation 1 20 updates, of evaluation 2 40.
TINY = ["--dataset", "ring8", "--width", "8", "--batch-size", "32", "--n-critic", "1"]
BUDGET = ["--kimg", "0.64", "--eval-kimg", "0.32", "--precision", "fp32"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and one for temporary files, which is empty in the end."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    assert list((tmp_path / "temporary").iterdir()) == []


def trained(*arguments: str) -> TrialFolder:
    """A trial that study.train has trained."""
    run_command(lambda: train.main([*TINY, *BUDGET, *arguments]))
    (path,) = Path("results/train/trials").iterdir()
    return TrialFolder(path)


def until(plan: TrialPlan, evaluations: int) -> TrialFolder:
    """A trial of a study that was stopped after so many evaluations."""
    folder = TrialFolder(Path("results/mine/trials") / plan.trial_id)
    running = run(plan, folder, CPU)
    for _ in range(evaluations):
        next(running)
    running.close()
    return folder


def replayed(folder: TrialFolder, capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of a replay, which left everything as it was."""
    capsys.readouterr()
    before = files(folder)
    status = run_command(lambda: train.main(["--replay", str(folder.path), *arguments]))
    assert files(folder) == before
    return status, *capsys.readouterr()


def files(folder: TrialFolder) -> dict[Path, tuple[bytes, int]]:
    """Everything in the study's folder, and when it was written."""
    paths = [path for path in folder.path.parents[1].rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def lines_of(out: str) -> list[str]:
    """Of the evaluations."""
    return [line for line in out.splitlines() if line.startswith("kimg")]


def change(folder: TrialFolder, evaluation: int, seed: int, **values: Callable[[Any], Any]) -> None:
    """Rewrite values of a recorded row."""

    def changed(row: Row) -> Row:
        if (row["evaluation"], row["seed"]) != (evaluation, seed):
            return row
        return row | {name: make(row[name]) for name, make in values.items()}

    rows = [json.dumps(changed(row)) + "\n" for row in folder.rows()]
    (folder.path / "curves.jsonl").write_text("".join(rows))


def configure(folder: TrialFolder, **values: object) -> None:
    path = folder.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# The same again


@pytest.mark.parametrize("model", ["dcgan", "wgan_cp", "wgan_gp"])
def test_a_trial_repeats_itself_bit_for_bit(model: str, capsys: Capture) -> None:
    folder = trained("--model", model, "--seeds", "3", "--seed", "5")
    status, out, err = replayed(folder, capsys)
    assert (status, err) == (0, "")
    assert "3 seeds of " + model + " on ring8, cpu, fp32, again until kimg 0.64 (completed)" in out
    assert [line.split()[1:] for line in lines_of(out)] == [
        [kimg, "identical", "to", "the", "bit"] for kimg in ("0.00", "0.32", "0.64")
    ]
    columns = len(folder.rows()[0]) - 4  # that tell of time and place
    assert columns > 15
    assert out.splitlines()[-1] == f"identical to the bit: 3 evaluations of 3 seeds, {columns} columns"


def test_images_are_judged_by_the_studys_own_judge(
    classifier: Classifier, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    del classifier  # asked for so that it is trained once for all test files
    folder = trained("--dataset", "digits", "--width", "2", "--batch-size", "16")

    def unwanted() -> Path:
        raise AssertionError("the machine's judge was asked for")

    monkeypatch.setattr("study.metrics.judge.kept.cache_folder", unwanted)
    status, out, err = replayed(folder, capsys)
    assert (status, err) == (0, "")
    assert "identical to the bit: 3 evaluations" in out


def test_a_pruned_trial_is_repeated_until_it_was_stopped(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = until(trial_plan(), 3)
    folder.finish(Ending(state="pruned", ended_by="asha", kimg=0.256, objective=1.0))
    intervals: list[None] = []
    monkeypatch.setattr(Trainer, "train", counting(intervals, Trainer.train))
    status, out, _ = replayed(folder, capsys)
    assert status == 0
    assert "again until kimg 0.256 (pruned)" in out
    assert len(lines_of(out)) == 3
    assert len(intervals) == 2


def counting(calls: list[None], function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*given: Any) -> Any:
        calls.append(None)
        return function(*given)

    return counted


def test_a_trial_that_was_interrupted_and_resumed_is_as_one_that_was_not(capsys: Capture) -> None:
    plan = trial_plan()
    folder = until(plan, 2)
    status, out, _ = replayed(folder, capsys)
    assert (status, len(lines_of(out))) == (0, 2)
    assert "(not ended)" in out
    list(run(plan, folder, CPU))
    status, out, _ = replayed(folder, capsys)
    assert (status, len(lines_of(out))) == (0, 5)
    assert "identical to the bit: 5 evaluations" in out


def test_an_evaluation_that_a_kill_cut_off_is_not_compared(capsys: Capture) -> None:
    folder = until(trial_plan(), 2)
    text = (folder.path / "curves.jsonl").read_text()
    (folder.path / "curves.jsonl").write_text("".join(text.splitlines(keepends=True)[:3]))
    status, out, _ = replayed(folder, capsys)
    assert (status, len(lines_of(out))) == (0, 1)


def test_a_trial_that_failed_is_repeated_until_its_last_row(capsys: Capture) -> None:
    folder = until(trial_plan(), 2)
    folder.record_fault("Traceback\nboom")
    status, out, _ = replayed(folder, capsys)
    assert (status, len(lines_of(out))) == (0, 2)
    assert "(failed)" in out


def test_a_trial_that_diverged_diverges_again(capsys: Capture) -> None:
    folder = until(trial_plan(lr_g=1e4, lr_d=1e4, kimg=1000, eval_kimg=100), 2)
    assert folder.ending() is not None
    status, out, _ = replayed(folder, capsys)
    assert status == 0
    assert "(diverged)" in out


# What differs


def test_a_changed_value_is_found(capsys: Capture) -> None:
    folder = trained()
    (value,) = (row["w1"] for row in folder.rows() if (row["evaluation"], row["seed"]) == (1, 1))
    change(folder, 1, 1, w1=lambda value: math.nextafter(value, 2), hq=lambda _: None)
    status, out, err = replayed(folder, capsys)
    assert (status, err) == (1, "")
    assert len(lines_of(out)) == 2  # it stops there
    *_, first, recorded, again, there, here = out.splitlines()
    assert first == (
        "it differs, first at evaluation 1 (kimg 0.32), seed 1, w1; of this evaluation 2 of 38 values differ"
    )
    assert recorded == f"  recorded: {math.nextafter(value, 2)!r}"
    assert again == f"  again:    {value!r}"
    assert there.startswith("recorded from evaluation 0 on: ")
    assert here.startswith("again: ")
    assert there.endswith(f"torch {torch.__version__}, 1 thread")
    assert here.endswith(f"torch {torch.__version__}, 1 thread")


def test_an_evaluation_that_is_not_there_again_is_found(capsys: Capture) -> None:
    folder = until(trial_plan(), 3)
    rows = [row | {"evaluation": 7} if row["evaluation"] == 2 else row for row in folder.rows()]
    (folder.path / "curves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, out, _ = replayed(folder, capsys)
    assert status == 1
    assert "it differs, first at evaluation 7 (kimg 0.256), seed 0, evaluation" in out


def test_another_machine_is_told_though_nothing_differs(capsys: Capture) -> None:
    folder = trained()
    path = folder.path / "environments.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps([known[0] | {"host": "elsewhere", "cpu_capability": "AVX9"}]))
    status, out, _ = replayed(folder, capsys)
    assert status == 0
    *_, outcome, there, here = out.splitlines()
    assert outcome.startswith("identical to the bit")
    assert there.startswith("recorded from evaluation 0 on: elsewhere, ")
    assert "(AVX9)" in there
    assert here.startswith("again: ")


def test_a_folder_of_an_earlier_version_is_repeated(capsys: Capture) -> None:
    folder = trained()
    (folder.path / "environments.json").unlink()
    path = folder.path / "config.json"
    values = json.loads(path.read_text())
    for name in ("threads", "device", "companions"):
        del values[name]
    path.write_text(json.dumps(values))
    status, out, _ = replayed(folder, capsys)
    assert status == 0
    assert "recorded by an earlier version" in out


@pytest.mark.parametrize(("arguments", "threads"), [([], 3), (["--threads", "2"], 2)])
def test_it_has_the_threads_of_the_trial_or_those_asked_for(
    arguments: list[str], threads: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained()
    configure(folder, threads=3)
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    replayed(folder, capsys, *arguments)
    assert asked == [threads]


# Shared packs


def shared(*plans: TrialPlan) -> list[TrialFolder]:
    """Trials that one process trained side by side."""
    folders = [TrialFolder(Path("results/mine/trials") / plan.trial_id) for plan in plans]

    async def train_all() -> None:
        group = TrialGroup(CPU)

        async def to_its_end(plan: TrialPlan, folder: TrialFolder) -> None:
            await group.begin(plan, folder)
            while (await group.next(plan.trial_id))[0].state == "running":
                await asyncio.sleep(0.01)

        await asyncio.gather(*map(to_its_end, plans, folders))

    asyncio.run(train_all())
    return folders


@pytest.mark.parametrize("dataset", ["ring8", "digits"])
def test_trials_that_shared_a_pack_agree_to_a_tolerance(
    dataset: str, classifier: Classifier, capsys: Capture
) -> None:
    del classifier
    own = {"dataset": dataset, "metric": {"ring8": "w1", "digits": "fd"}[dataset], "n_critic": 1}
    first = trial_plan(0, lr_g=1e-3, **own)
    second = trial_plan(1, lr_g=1e-4, companions=(first.trial_id,), **own)
    for folder, other in zip(shared(first, second), (second, first), strict=True):
        status, out, err = replayed(folder, capsys)
        assert (status, err) == (0, "")
        assert f"it shared its pack with {other.trial_id}; alone, sums are rounded otherwise" in out
        assert "to 2% of their largest value" in out
        assert all(len(line) <= 140 for line in out.splitlines())


def test_a_trial_that_came_to_another_pack_later_shared_both(capsys: Capture) -> None:
    folder = until(trial_plan(companions=("space-00007",)), 1)
    folder.add_environment({"companions": ["space-00009"]}, 1)
    _, out, _ = replayed(folder, capsys)
    assert "it shared its pack with space-00007, space-00009;" in out


def by(share: float) -> Callable[[float], float]:
    return lambda value: value * (1 + share)


@pytest.mark.parametrize(
    ("evaluation", "values", "differs"),
    [
        (0, {"w1": by(1e-9)}, "w1"),  # nothing of the pack is in it
        (1, {"loss_d": by(1e-6), "grad_norm_g": by(-1e-6)}, None),
        (1, {"w1": by(0.5), "modes_covered": lambda _: 7}, None),  # one sample may decide it
        (1, {"grad_norm_g": by(0.5)}, "grad_norm_g"),
        (1, {"loss_d": lambda _: None}, "loss_d"),
        (2, {"grad_norm_g": by(0.5)}, None),
        (2, {"critic_updates": lambda value: value + 1}, "critic_updates"),
        (2, {"kimg": by(1e-6)}, "kimg"),
    ],
)
def test_in_a_shared_pack_what_rounding_can_do_is_no_difference(
    evaluation: int, values: dict[str, Callable[[Any], Any]], differs: str | None, capsys: Capture
) -> None:
    folder = trained()
    change(folder, evaluation, 0, **values)
    alone, out, _ = replayed(folder, capsys)
    assert (alone, f"first at evaluation {evaluation} " in out) == (1, True)
    configure(folder, companions=["train-00007"])
    status, out, _ = replayed(folder, capsys)
    if differs:
        assert status == 1
        assert re.search(rf"first at evaluation {evaluation} \(kimg [\d.]+\), seed 0, {differs}[;\n]", out)
    else:
        assert status == 0
        assert "it agrees, as a trial of a shared pack: kimg and updates of 3 evaluations of 2 seeds" in out
        assert "had to be, 1 of them" in out
    grown = "they differ by more first at evaluation 2, 40 updates on" in out
    assert grown == ((evaluation, differs) == (2, None))


def test_a_folder_that_lies_about_its_name_makes_nothing_outside(tmp_path: Path) -> None:
    folder = trained()
    configure(folder, trial_id="../../../../evil")
    with pytest.raises(UserError, match=r"evil' must be a plain folder name"):
        train.main(["--replay", str(folder.path)])
    assert not list(tmp_path.parent.rglob("evil"))


# What can't be repeated


def damage(name: str, text: str) -> Callable[[TrialFolder], object]:
    return lambda folder: (folder.path / name).write_text(text)


def double_a_row(folder: TrialFolder) -> None:
    path = folder.path / "curves.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines(keepends=True)[-1])


WRONG: dict[str, tuple[Callable[[TrialFolder], object], str]] = {
    "no config": (lambda f: (f.path / "config.json").unlink(), "is not a trial's folder: .* is missing"),
    "damaged config": (damage("config.json", "{"), "is not a trial's folder: .* is not readable JSON"),
    "damaged rows": (damage("curves.jsonl", "?\n"), "line 1 is not a row of a curve"),
    "no rows": (lambda f: (f.path / "curves.jsonl").unlink(), "it has no evaluation yet"),
    "doubled row": (double_a_row, "of seed 1 at evaluation 2, does not follow"),
    "environments": (damage("environments.json", "[3]"), "environments.json is not a list of environments"),
    "a place": (lambda f: configure(f, device="cuda"), "was trained on a GPU, and there is none here"),
    "threads": (lambda f: configure(f, threads=0), "threads = 0 must be a whole number from 1"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cant_be_repeated_is_one_sentence(
    what: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = trained()
    spoil, message = WRONG[what]
    spoil(folder)
    status, _, err = replayed(folder, capsys)
    assert status == 2
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_no_folder_is_one_sentence(capsys: Capture) -> None:
    assert run_command(lambda: train.main(["--replay", "results/none"])) == 2
    assert capsys.readouterr().err.startswith("error: results/none is not a trial's folder: ")
    assert not Path("results").exists()


@pytest.mark.parametrize(
    "more", [["--lr-g", "0.1"], ["--kimg", "5"], ["--wandb", "offline"], ["--resume", "results/x"]]
)
def test_other_options_are_refused(more: list[str], capsys: Capture) -> None:
    assert run_command(lambda: train.main(["--replay", "results/none", *more])) == 2
    assert f"{more[0]} can't be changed by --replay" in capsys.readouterr().err


def test_ctrl_c_is_130(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train", interrupt)
    status, out, err = replayed(folder, capsys)
    assert (status, err) == (130, "interrupted\n")
    assert len(lines_of(out)) == 1


def test_a_temporary_folder_that_cant_be_made_is_one_sentence(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", "/nowhere")
        status, _, err = replayed(folder, capsys)
    assert status == 2
    assert "a temporary folder for the replay can't be made" in err
