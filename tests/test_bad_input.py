"""Bad input: one clear sentence on stderr, exit status 2, and nothing created."""

import errno
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pandas as pd
import pytest
import yaml

from study import results, train, tune
from study.command import run_command
from study.errors import MOST_SHOWN
from study.records.schema import VERSION
from study.records.trial_folder import TrialFolder
from study.space import Choice, parse_space
from tests.studies import study_plan, trial_plan

VALID = """
method: random
parameters:
  model: {value: wgan_gp}
  lr_g: {distribution: log_uniform_values, min: 1.0e-5, max: 1.0e-2}
"""
Refuse = Callable[..., str]
RUN = tune._run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to be in; no study starts."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tune, "_run", lambda *_: pytest.fail("the command was not refused"))


def everything() -> dict[str, bytes | None]:
    """Each path below the current folder, with its content."""
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(Path().rglob("*"))}


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Run a command that must be refused; its sentence."""

    def run(*arguments: str, main: Callable[[list[str]], int] = tune.main) -> str:
        before = everything()
        try:
            status: Any = run_command(lambda: main(list(arguments)))
        except SystemExit as end:  # argparse ends so
            status = end.code
        out, err = capsys.readouterr()
        assert status == 2
        assert out == ""
        assert err.endswith("\n")
        assert err.count("\n") == 1
        assert len(err.strip()) > 20
        assert "Traceback" not in err
        assert everything() == before
        return err

    return run


def space(text: str = VALID, name: str = "mine.yaml") -> str:
    Path(name).write_text(text)
    return name


# The list


@pytest.mark.parametrize(
    ("name", "nearest"), [("wgan_pg", "wgan_gp"), ("wgangp", "wgan_gp"), ("dcgn", "dcgan"), ("qqq", "dcgan")]
)
def test_an_unknown_space(name: str, nearest: str, refuse: Refuse) -> None:
    message = refuse("--space", name)
    assert f"unknown search space '{name}'" in message
    assert nearest in message


def test_a_space_file_that_is_not_there(refuse: Refuse) -> None:
    assert "there is no search space file absent.yaml" in refuse("--space", "absent.yaml")


def test_a_space_that_is_a_folder(refuse: Refuse) -> None:
    Path("folder.yaml").mkdir()
    assert "folder.yaml" in refuse("--space", "folder.yaml")


def test_yaml_that_does_not_parse(refuse: Refuse) -> None:
    message = refuse("--space", space("method: random\nparameters: {model: {value: wgan_gp}\nrun_cap: 3\n"))
    assert "mine.yaml, line 3, column 1: this is not YAML" in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("beta1: {min: 0, max: 0.9, step: 0.1}", "unknown key 'step'"),
        ("learning_rate: {value: 0.1}", "unknown hyperparameter 'learning_rate'"),
        ("lr_d: {distribution: log_uniform_values, min: 1e-5, max: 0.1}", "write 1.0e-05"),
        ("beta1: {min: 0.0, max: 1.0}", "beta1 = 1.0 is out of range"),
        ("dataset: {value: minst}", "dataset = 'minst'"),
    ],
)
def test_a_bad_parameter(line: str, words: str, refuse: Refuse) -> None:
    message = refuse("--space", space(f"{VALID}  {line}\n"))
    assert words in message
    assert "mine" in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("metric: {name: loss}", "unknown metric 'loss'"),
        ("metric: {name: modes_covered, goal: minimize}", "modes_covered is to maximize"),
        ("metric: {name: w1, goal: minimize}", "w1"),  # digits are images
    ],
)
def test_a_bad_sweep(line: str, words: str, refuse: Refuse) -> None:
    assert words in refuse("--space", space(f"{VALID}{line}\n"))


def test_one_bad_space_among_good_ones(refuse: Refuse) -> None:
    assert "mine" in refuse("--space", "dcgan", space("method: bayes"), "wgan_gp")


def test_the_same_space_twice(refuse: Refuse) -> None:
    assert "need different names" in refuse("--space", "wgan_gp", "wgan_gp")


def test_spaces_of_different_datasets(refuse: Refuse) -> None:
    other = space(f"{VALID}  dataset: {{value: grid25}}\n")
    message = refuse("--space", other, "--dataset", "ring8")
    assert "different datasets" in message
    assert "grid25" in message
    assert "ring8" in message


def test_spaces_with_different_metrics(refuse: Refuse) -> None:
    other = space(f"{VALID}metric: {{name: mode_kl, goal: minimize}}\n")
    assert "choose --metric" in refuse("--space", "wgan_gp", other)


def test_a_grid_without_end(refuse: Refuse) -> None:
    assert "lr_g: a grid needs a finite list" in refuse("--space", space(), "--sampler", "grid")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "minst"], ["dataset = 'minst'", "mnist"]),
        (["--dataset", "ring"], ["dataset = 'ring'", "ring8"]),
        (["--dataset", "."], ["did you mean folder:.?"]),
        (["--dataset", "folder:absent"], ["there is no folder"]),
        (["--metric", "fid"], ["unknown metric 'fid'", "fd"]),
        (["--metric", "fd", "--dataset", "ring8"], ["'fd' is not for points", "w1"]),
        (["--metric", "w1"], ["'w1' is not for images", "fd"]),
        (["--trials", "0"], ["--trials", "0 is not a whole number of at least 1"]),
        (["--trials", "-4"], ["--trials", "-4"]),
        (["--trials", "1.5"], ["--trials", "1.5"]),
        (["--seeds", "0"], ["--seeds", "0"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--kimg", "-1"], ["--kimg", "-1 is not a finite number above 0"]),
        (["--kimg", "0"], ["--kimg", "0"]),
        (["--kimg", "nan"], ["--kimg", "nan"]),
        (["--eval-kimg", "-1"], ["--eval-kimg", "-1"]),
        (["--kimg", "1", "--eval-kimg", "2"], ["--eval-kimg 2 is above the budget of 1 kimg"]),
        (["--concurrency", "0"], ["--concurrency", "0"]),
        (["--cpus-per-trial", "0"], ["--cpus-per-trial", "0"]),
        (["--gpus-per-trial", "-1"], ["--gpus-per-trial", "-1"]),
        (["--gpus-per-trial", "1000"], ["a trial wants 1000 GPUs", "--gpus-per-trial"]),
        (["--pack", "0"], ["--pack", "0 is not a whole number of at least 1"]),
        (["--pack", "all"], ["--pack", "all"]),
        (["--seeds", "4", "--pack", "3"], ["pack = 3", "trial or auto", "at least the 4 members"]),
        (["--address", "127.0.0.1:1"], ["no Ray cluster to join at '127.0.0.1:1'"]),
        (["--address", "ray://127.0.0.1:1"], ["Ray's client, through which no study can run"]),
        (["--address", "http://localhost:8265"], ["no cluster's address: that is HOST:PORT, or auto"]),
        (["--sampler", "cmaes"], ["--sampler", "tpe"]),
        (["--scheduler", "pbt"], ["--scheduler", "asha"]),
        (["--aggregate", "max"], ["--aggregate", "cvar"]),
        (["--wandb", "on"], ["--wandb", "offline"]),
        (["--trails", "3"], ["--trails"]),
        (["--tri", "3"], ["--tri"]),
    ],
)
def test_a_wrong_option(arguments: list[str], words: list[str], refuse: Refuse) -> None:
    message = refuse("--space", "wgan_gp", *arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize("arguments", [[], ["--space", "wgan_gp", "--resume", "results/x"], ["--space"]])
def test_neither_or_both_of_space_and_resume(arguments: list[str], refuse: Refuse) -> None:
    assert "--space" in refuse(*arguments)


@pytest.mark.parametrize(
    "name", ["../x", "..", ".", "", "a/b", "/tmp/x", "a/../../x", ".hidden", "x/", "a\\b"]
)
def test_a_name_that_is_no_plain_folder_name(name: str, refuse: Refuse) -> None:
    assert "must be a plain folder name" in refuse("--space", "wgan_gp", f"--name={name}")


def test_a_name_too_long_for_the_disk(refuse: Refuse) -> None:
    assert "longer than" in refuse("--space", "wgan_gp", "--name", "x" * 300)


@pytest.mark.parametrize("results", ["file/results", "file"])
def test_a_results_folder_that_cannot_be_written(results: str, refuse: Refuse) -> None:
    Path("file").touch()
    message = refuse("--space", "wgan_gp", "--results", results, "--name", "x")
    assert "can't be written: Not a directory" in message


def test_a_study_that_exists(refuse: Refuse) -> None:
    Path("results/mine").mkdir(parents=True)
    message = refuse("--space", "wgan_gp", "--name", "mine")
    assert "results/mine exists already" in message
    assert "--resume results/mine" in message


@pytest.mark.parametrize("more", [[], ["--name", "mine"]])
def test_a_temporary_folder_too_long_for_sockets(
    more: list[str], refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    message = refuse("--space", "wgan_gp", *more)
    assert "too long for Ray's sockets" in message
    assert "set RAY_TMPDIR to a shorter one" in message


# Where results go, and are copied to


@pytest.mark.parametrize("url", ["s3://bucket/path", "gs://bucket", "file:///results"])
def test_results_are_in_a_folder_of_this_machine(url: str, refuse: Refuse) -> None:
    sentence = f"{url} is not a folder: study.tune --mirror {url} copies a study there"
    assert sentence in refuse("--space", "wgan_gp", "--results", url)
    assert sentence in refuse("--resume", study(PLAN), "--results", url)
    assert sentence in refuse("--model", "wgan_gp", "--results", url, main=train.main)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3:bucket/path", "s3:bucket/path is not a URL, such as s3://bucket/path or file:///path"),
        ("none", "none is not a URL"),
        ("", " is not a URL"),
        ("ftp://host/path", "ftp://host/path can't be used: Unrecognized filesystem type"),
        ("s3://key:secret@bucket/path", "a password would be kept in study.json"),
        ("s3://bucket/path", "s3://bucket/path can't be used: NETWORK_CONNECTION: Could not connect"),
        ("file:///proc/nothing", "file:///proc/nothing can't be used: "),
    ],
)
def test_a_mirror_that_cant_be_used(
    url: str, words: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert words in refuse("--space", "wgan_gp", "--mirror", url)
    if url != "none":
        assert words in refuse("--resume", study(PLAN), "--mirror", url)


def test_a_study_is_not_copied_to_where_its_folder_says(refuse: Refuse, tmp_path: Path) -> None:
    """It may be somebody else's, and say anything: a copy begins where its user says so."""
    victim = tmp_path / "victim"
    (victim / "trials").mkdir(parents=True)
    folder = study({**PLAN, "mirror": f"file://{victim}"})
    message = refuse("--resume", folder)
    assert "has no copy of results/mine: to begin one, name it with --mirror" in message
    assert "(--mirror none: to go on without)" in message
    assert [path.name for path in victim.iterdir()] == ["trials"]


@pytest.mark.parametrize("value", [3, ["s3://bucket"], {"url": "s3://bucket"}])
def test_a_mirror_in_a_plan_is_a_url(value: object, refuse: Refuse) -> None:
    assert "mirror = " in refuse("--resume", study({**PLAN, "mirror": value}))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/path", "can't be used: NETWORK_CONNECTION"),
        ("file:///nowhere/at/all", "is not a study's copy: it has no study.json"),
        ("nonsense://x", "can't be used: Unrecognized"),
    ],
)
def test_resuming_a_url_that_is_no_study(
    url: str, words: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert words in refuse("--resume", url)


def test_a_copy_is_refused_before_it_is_fetched(refuse: Refuse, tmp_path: Path) -> None:
    Path(study(PLAN)).rename(tmp_path / "copy")
    url = f"file://{tmp_path}/copy"
    Path("results").rmdir()
    assert "--kimg can't be changed by --resume" in refuse("--resume", url, "--kimg", "5")
    assert "--trials 2 is below" in refuse("--resume", url, "--trials", "2")
    Path("results/mine").mkdir(parents=True)
    message = refuse("--resume", url)
    assert "results/mine exists already: continue it with --resume results/mine" in message


def test_a_cache_that_can_not_be_made(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("GAN_STUDY_CACHE", str(Path("file/cache").absolute()))
    for dataset in ("ring8", "digits"):
        message = refuse("--space", "wgan_gp", "--dataset", dataset, "--name", "mine")
        assert "file/cache can't be written (Not a directory): set GAN_STUDY_CACHE" in message
        message = refuse("--dataset", dataset, "--name", "mine", main=train.main)
        assert "file/cache can't be written (Not a directory): set GAN_STUDY_CACHE" in message


def test_a_home_that_can_not_be_written(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("HOME", str(Path("file").absolute()))
    message = refuse("--space", "wgan_gp", "--dataset", "ring8")
    assert "the home folder can't be written, where Ray keeps its token (Not a directory)" in message
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)  # then it is not asked for
    monkeypatch.setattr(tune, "_run", lambda *_: 0)
    assert tune.main(["--space", "wgan_gp", "--dataset", "ring8", "--name", "mine"]) == 0


def test_a_temporary_folder_on_a_full_disk(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    message = refuse("--space", "wgan_gp", "--dataset", "ring8")
    assert "can't be written (No space left on device): set RAY_TMPDIR to another" in message


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--seeds", "1e20", "1e20 is not a whole number of at least 1"),
        ("--cpus-per-trial", "1e308", "cpus_per_trial = 1e+308 must be a number from 0.0001 to 1,000,000"),
        ("--kimg", "1e308", "eval_kimg = 1e-300 makes more than 1,000,000 evaluations"),
        ("--trials", "9" * 5000, "is not a whole number of at least 1"),
    ],
)
def test_a_number_that_nobody_means(option: str, value: str, words: str, refuse: Refuse) -> None:
    more = ["--eval-kimg", "1e-300"] if option == "--kimg" else []
    message = refuse("--space", "wgan_gp", "--dataset", "ring8", option, value, *more)
    assert words in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["--space", "x" * 5000], "wgan_gp"),
        (["--space", "wgan_gp", "--metric", "x " * 5000], "mode_kl"),
        (["--space", "wgan_gp", "--dataset", "x" * 5000], "<path>"),
        (["--space", "wgan_gp", "--name", "x" * 5000], "bytes of a file name"),
        (["--space", "wgan_gp", "--sampler", "x " * 5000], "see --help"),
        (["--space", "wgan_gp", "--trials", "x " * 5000], "is not a whole number of at least 1; see --help"),
        (["--space", "wgan_gp", "--trials", "x" * 5000], "is not a whole number of at least 1; see --help"),
        (["--space", "wgan_gp", f"--{'x' * 5000}"], "see --help"),
        (["--resume", "x" * 5000], "File name too long"),
    ],
)
def test_a_message_repeats_no_pages(arguments: list[str], end: str, refuse: Refuse) -> None:
    message = refuse(*arguments)
    assert message.count("x") < MOST_SHOWN + 20
    assert end in message[-300:]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"lr_d: {{min: 0.1, max: {'x' * 5000}}}", "is not a number"),
        (f"{'x' * 900}: {{value: 1}}", "unknown hyperparameter 'xxx"),
        (f"init: {{values: [[{', '.join(['xxx'] * 2000)}]]}}", "is not a single value"),
        (
            f"lr_d: {{min: 0.1, max: 0x{'f' * 5000}}}",
            "a number of thousands of digits is not a finite number",
        ),
    ],
)
def test_a_message_on_a_space_repeats_no_pages(line: str, words: str, refuse: Refuse) -> None:
    message = refuse("--space", space(f"{VALID}  {line}\n"))
    assert message.startswith("error: mine: ")
    assert words in message
    assert message.count("x") < MOST_SHOWN + 20


def test_a_space_whose_name_is_too_long_for_folders(refuse: Refuse) -> None:
    message = refuse("--space", space(name=f"{'x' * 245}.yaml"), "--dataset", "ring8")
    assert "has a name of more than 200 bytes, too long for the folders that are called by it" in message


def test_a_study_of_spaces_with_long_names_is_called_by_their_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tune, "_run", lambda *_: 0)
    spaces = [space(name=f"{'a' * 99}é{letter}.yaml") for letter in "abc"]
    assert tune.main(["--space", *spaces, "--dataset", "ring8"]) == 0
    (folder,) = Path("results").iterdir()
    assert folder.name.startswith(f"{'a' * 99}-ring8-20")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"- a\n", b"3\n", b"\x00\xff\xfe", b"\xff\xfe\xfd", b"a: " * 99]
)
def test_a_space_that_is_no_mapping(content: bytes, refuse: Refuse) -> None:
    Path("mine.yaml").write_bytes(content)
    assert "mine" in refuse("--space", "mine.yaml")


def test_a_space_that_is_huge(refuse: Refuse) -> None:
    Path("mine.yaml").write_text("a: [" + "[1],\n" * 1_000_000)
    began = time.monotonic()
    assert "mine.yaml: it is larger than 1,000,000 bytes" in refuse("--space", "mine.yaml")
    assert time.monotonic() - began < 2


def test_a_null_among_values_stands_for_what_the_data_give() -> None:
    document = yaml.safe_load(f"{VALID}  width: {{values: [null, 64]}}\n")
    read = parse_space("mine", document)
    assert read.searched["width"] == Choice((None, 64))
    assert read.largest()["width"] == 64


# Resuming what is no study


@pytest.mark.parametrize(
    ("name", "words"),
    [("results/absent", ": there is no such folder"), ("folder", ": it has no study.json"), ("file", "")],
)
def test_resuming_what_is_no_study(name: str, words: str, refuse: Refuse) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    assert f"{name} is not a study folder{words}" in refuse("--resume", name)


PLAN = study_plan(kimg=3.0, eval_kimg=1.0, concurrency=2).to_dict()


def study(plan: object) -> str:
    Path("results/mine").mkdir(parents=True)
    Path("results/mine/study.json").write_text(json.dumps({"tables": VERSION, "plan": plan}))
    return "results/mine"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"plan": {}}', '{"plan": [1]}', "\x00"])
def test_resuming_a_damaged_study(content: str, refuse: Refuse) -> None:
    folder = study({})
    Path(folder, "study.json").write_text(content)
    assert "results/mine" in refuse("--resume", folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spaces", 3),
        ("spaces", {"a": {"method": "random"}}),
        ("samplers", {"a": "cmaes"}),
        ("schedulers", {"a": "pbt"}),
        ("metric", "loss"),
        ("dataset", "minst"),
        ("trials", 3),
        ("kimg", None),
        ("pack", 1),
        ("pack", "all"),
        ("colour", "red"),
    ],
)
def test_resuming_a_study_whose_plan_makes_no_sense(field: str, value: object, refuse: Refuse) -> None:
    refuse("--resume", study({**PLAN, field: value}))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--kimg", "5"],
        ["--seeds", "3"],
        ["--dataset", "grid25"],
        ["--metric", "hq"],
        ["--sampler", "tpe"],
        ["--scheduler", "asha"],
        ["--seed", "1"],
        ["--aggregate", "cvar"],
        ["--eval-kimg", "0.5"],
        ["--no-keep-best"],
        ["--name", "other"],
        ["--wandb-project", "other"],
    ],
)
def test_changing_what_a_study_began_with(arguments: list[str], refuse: Refuse) -> None:
    message = refuse("--resume", study(PLAN), *arguments)
    assert f"{arguments[0].replace('--no-', '--')} can't be changed by --resume" in message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("concurrency", 0, "concurrency = 0 must be a whole number from 1"),
        ("cpus_per_trial", 1e308, "cpus_per_trial = 1e+308 must be a number from"),
        ("cpus_per_trial", 0.0, "cpus_per_trial = 0.0 must be a number from"),
        ("gpus_per_trial", -1.0, "gpus_per_trial = -1.0 must be a number from"),
        ("seeds", 10**20, "seeds = 100000000000000000000 is not a whole number of 64 bits"),
        ("retries", -1, "retries = -1 must be a whole number from 0"),
        ("name", "../evil", "study name '../evil' must be a plain folder name"),
    ],
)
def test_a_plan_that_makes_no_sense(field: str, value: Any, words: str, refuse: Refuse) -> None:
    assert words in refuse("--resume", study({**PLAN, field: value}))


def test_a_space_whose_name_leads_out_of_the_folder(refuse: Refuse) -> None:
    out = "../../../evil"
    by_space = {
        name: {out: next(iter(PLAN[name].values()))}
        for name in ("spaces", "samplers", "schedulers", "trials")
    }
    assert f"study name '{out}' must be a plain folder name" in refuse(
        "--resume", study({**PLAN, **by_space})
    )
    assert not list(Path().glob("**/evil*"))


@pytest.mark.parametrize("option", ["--seeds", "--trials", "--concurrency"])
def test_a_number_beyond_measure(option: str, refuse: Refuse) -> None:
    message = refuse("--space", "wgan_gp", "--dataset", "ring8", option, str(10**20))
    assert "100000000000000000000 is above 1,000,000" in message


def test_a_temporary_folder_that_can_not_be_written(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/nothing")
    message = refuse("--space", "wgan_gp", "--dataset", "ring8")
    assert "the temporary folder /proc/nothing can't be written" in message
    assert "set RAY_TMPDIR to another" in message


@pytest.mark.parametrize(
    "name", ["optuna.journal", "trials.parquet", "trials/a-00000", "trials/a-00000/curves.jsonl"]
)
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_of_a_studys_own_is_not_written_to(name: str, kind: str, refuse: Refuse) -> None:
    folder = Path(study(PLAN))
    Path("elsewhere").write_text("somebody's")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        (folder / name).symlink_to(Path("elsewhere").resolve())
    else:
        os.mkfifo(folder / name)
    message = refuse("--resume", str(folder))
    assert f"{folder / name} is neither a file nor a folder of its own: nothing was changed" in message
    assert Path("elsewhere").read_text() == "somebody's"


@pytest.mark.parametrize(
    "name",
    [
        "optuna.journal",
        "trials.parquet",
        "ray.log",
        ".here",
        "trials/a-00000/config.json",
        "trials/a-00000/environments.json",
        "trials/a-00000/.claim",
        "trials/a-00000/DONE",
    ],
)
def test_a_folder_in_the_place_of_a_studys_file(name: str, refuse: Refuse) -> None:
    folder = Path(study(PLAN))
    (folder / name).mkdir(parents=True)
    message = refuse("--resume", str(folder))
    assert f"{folder / name} is neither a file nor a folder of its own: nothing was changed" in message


@pytest.mark.parametrize("name", ["judge", "trials", "trials/a-00000", "trials/a-00000/checkpoint"])
def test_a_file_in_the_place_of_a_studys_folder(name: str, refuse: Refuse) -> None:
    folder = Path(study(PLAN))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    message = refuse("--resume", str(folder))
    assert f"{folder / name} is neither a file nor a folder of its own: nothing was changed" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trial_id": "a-00001"}, "trial_id differs"),
        ({"study": "other"}, "study differs"),
        ({"seeds": (0, 1, 2)}, "seeds differs"),
        ({"study_seed": 4}, "study_seed differs"),
        ({"eval_kimg": 0.5}, "eval_kimg differs"),
        ({"aggregate": "median"}, "aggregate differs"),
        ({"n_critic": 2}, "config differs"),
        ({"lr_g": 0.5}, "its lr_g is none of its space"),
    ],
)
def test_a_trial_that_the_study_did_not_ask_for(changes: dict[str, Any], words: str, refuse: Refuse) -> None:
    folder = Path(study(PLAN))
    same = {"space": "a", "trial_id": "a-00000", "study_seed": 0, "kimg": 3.0, "eval_kimg": 1.0}
    config = {"n_critic": 1, "lr_g": 1e-3, "lr_d": 1e-3}
    TrialFolder(folder / "trials" / "a-00000").create(trial_plan(**{**same, **config, **changes}))
    message = refuse("--resume", str(folder))
    assert words in message
    assert message.endswith(": nothing was changed\n")


def test_a_study_that_can_not_be_written(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    folder = Path(study(PLAN))
    TrialFolder(folder / "trials" / "a-00000").create(trial_plan(space="a", trial_id="a-00000"))
    monkeypatch.setattr("study.records.tables.write_whole", read_only)
    message = refuse(str(folder), main=results.main)
    assert message == "error: results/mine can't be written: Read-only file system\n"


@pytest.mark.parametrize("what", ["FileLock", "write_json"])
def test_a_study_that_can_not_be_written_does_not_go_on(
    what: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    folder = Path(study(PLAN))
    (folder / ".lock").touch()
    monkeypatch.setattr(tune, "_run", RUN)
    fake = read_only if what == "write_json" else lambda *_, **__: SimpleNamespace(acquire=read_only)
    monkeypatch.setattr(f"study.records.study_folder.{what}", fake)
    monkeypatch.setattr("study.reporting.console.Console.begin", lambda *_: None)
    message = refuse("--resume", str(folder))
    assert message == "error: results/mine can't be written: Read-only file system\n"


@pytest.mark.parametrize("moment", ["study.reporting.console.Console.begin", "study.tune._tuned"])
def test_an_interrupt_says_how_a_resumed_study_goes_on(
    moment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(tune, "_run", RUN)
    monkeypatch.setattr("study.runner.run.run_study", lambda *_: (None, True))
    monkeypatch.setattr(moment, interrupt)
    assert run_command(lambda: tune.main(["--resume", study(PLAN)])) == 130
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "not finished; continue with: python -m study.tune --resume results/mine"


def test_tables_without_a_temporary_folder(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    folder = Path(study(PLAN))
    TrialFolder(folder / "trials" / "a-00000").create(trial_plan(space="a", trial_id="a-00000"))
    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    message = refuse(str(folder), main=results.main)
    assert message == "error: there is no temporary folder to write to: No usable temporary directory found\n"


def test_tables_without_their_trials_are_left_as_they_are(refuse: Refuse) -> None:
    folder = study(PLAN)
    pd.DataFrame({"trial_id": ["a-00000"]}).to_parquet(Path(folder, "trials.parquet"))
    before = Path(folder, "trials.parquet").read_bytes()
    assert "has tables and no trial folders: it can't go on" in refuse("--resume", folder)
    assert Path(folder, "trials.parquet").read_bytes() == before


def test_going_on_without_the_gpus_it_began_with(refuse: Refuse) -> None:
    folder = study({**PLAN, "gpus_per_trial": 1.0})
    assert "mine started on GPUs; random numbers differ on a CPU, so it cannot switch" in refuse(
        "--resume", folder, "--gpus-per-trial", "0"
    )


def test_asking_for_fewer_trials_than_there_are(refuse: Refuse) -> None:
    assert "--trials 2 is below the 3 per space" in refuse("--resume", study(PLAN), "--trials", "2")


def test_resuming_with_a_temporary_folder_too_long(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 60)
    assert "too long for Ray's sockets" in refuse("--resume", study(PLAN))


# study.train


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr-g", "-1"], ["lr_g = -1.0 is out of range"]),
        (["--lr-g", "nan"], ["lr_g = nan is out of range"]),
        (["--lr_g=fast"], ["--lr-g", "fast"]),
        (["--beta1", "1"], ["beta1 = 1.0 is out of range", "below 1"]),
        (["--model", "wgan"], ["model = 'wgan'", "dcgan"]),
        (["--model", "wgan_gp", "--clip-value", "0.1"], ["wgan_gp has no use for clip_value"]),
        (["--dataset", "minst"], ["dataset = 'minst'", "digits"]),
        (["--metric", "fid"], ["unknown metric 'fid'", "fd"]),
        (["--metric", "fd", "--dataset", "ring8"], ["'fd' is not for points"]),
        (["--batch-size", "1.5"], ["--batch-size"]),
        (["--batch-size", "1"], ["batch_size = 1", "at least 2"]),
        (["--kimg", "0"], ["--kimg", "0"]),
        (["--seeds", "0"], ["--seeds", "0"]),
        (["--threads", "0"], ["--threads", "0"]),
        (["--learning-rate", "1"], ["--learning-rate"]),
        (["--name", "../x"], ["must be a plain folder name"]),
        (["--results", "file"], ["can't be written"]),
        (["--resume", "absent"], ["absent is not a trial's folder"]),
        (["--resume", "file"], ["file is not a trial's folder"]),
    ],
)
def test_a_wrong_option_of_train(arguments: list[str], words: list[str], refuse: Refuse) -> None:
    Path("file").touch()
    message = refuse(*arguments, main=train.main)
    for word in words:
        assert word in message
