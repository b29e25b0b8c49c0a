"""Command lines to run next, read back by the shell and by the commands' own parsers."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.commands import Command, again, extend, to_map, train
from analysis.tables import SpaceResults
from study import train as study_train
from study import tune
from study.config import TrialConfig
from tests.analysis.synthetic import made, write

RESULTS = made([[0.9, 0.8], [0.3, 0.4]])


def words(command: str, program: str) -> list[str]:
    """Its options, as a shell hands them on."""
    head, *rest = command.split(f"python -m {program} ")
    assert (head, len(rest)) == ("", 1)
    return shlex.split(rest[0])


def longer(results: SpaceResults, trials: int) -> Command:
    command = extend(results, trials)
    assert command is not None
    return command


def record(*options: str) -> dict[str, Any]:
    return {"command": ["python", "-m", "study.tune", *options]}


def of(*options: str) -> SpaceResults:
    return replace(RESULTS, record=record(*options))


def test_options_are_kept_replaced_dropped_and_quoted() -> None:
    mine = of("--space", "my own/a.yaml", "--seeds=2", "--no-keep-best", "--name", "mine", "--report")
    command = again(mine, {"--seeds": (7,), "--map": ()}).line
    assert command == "python -m study.tune --space 'my own/a.yaml' --no-keep-best --seeds 7 --map"
    assert "--seeds" not in again(mine, {"--seeds": None}).line


def test_of_several_spaces_the_one_is_run_again() -> None:
    assert again(of("--space", "b", "spaces/a.yaml", "c"), {}).line.endswith("--space spaces/a.yaml")


def test_an_option_that_is_repeated_stays_so() -> None:
    line = again(of("--plugin", "a.py", "--plugin", "b.py"), {}).line
    assert line.endswith("--plugin a.py --plugin b.py")


def test_the_command_is_one_that_study_tune_takes() -> None:
    options = tune.parser().parse_args(words(again(RESULTS, {"--seeds": (9,)}).line, "study.tune"))
    assert (options.space, options.seeds, options.name) == (["a"], 9, None)
    options = tune.parser().parse_args(words(longer(RESULTS, 40).line, "study.tune"))
    assert (options.resume, options.trials) == (str(RESULTS.folder), 40)


def test_paths_are_those_of_where_the_study_was_started() -> None:
    mine = replace(
        RESULTS, record={**record("--space", "own/a.yaml", "--plugin", "b.py"), "directory": "/home/me"}
    )
    assert again(mine, {}).line.endswith("--space /home/me/own/a.yaml --plugin /home/me/b.py")


def test_a_map_has_at_least_its_default_number_of_trials() -> None:
    assert "--trials" not in to_map(of("--space", "a", "--trials", "2")).line
    many = replace(RESULTS, plan=replace(RESULTS.plan, trials={"a": 100}))
    line = to_map(replace(many, record=record("--space", "a", "--trials", "80"))).line
    assert "--trials 100" in line  # it was extended


def test_tables_without_their_trials_are_not_to_be_gone_on_with(tmp_path: Path) -> None:
    write(RESULTS, tmp_path / "mine")
    results = replace(RESULTS, folder=tmp_path / "mine")
    assert extend(results, 40) is None
    (tmp_path / "mine" / "trials" / "a-00000").mkdir(parents=True)
    assert extend(results, 40) is not None


def test_a_price_is_that_of_what_the_study_took() -> None:
    """Two trials of two seeds at a time, of which one went to kimg 3 and one to kimg 1: 20 s a kimg."""
    trials = RESULTS.trials.assign(kimg=[3.0, 1.0], train_seconds=[50.0, 20.0], eval_seconds=[6.0, 4.0])
    results = replace(RESULTS, trials=trials, plan=replace(RESULTS.plan, concurrency=2))
    assert again(results, {"--seeds": (4,)}).price == "about 80 s here, 2 at a time"
    assert again(results, {"--kimg": ("9",)}).price.startswith("about 2 minutes here")
    assert again(results, {"--scheduler": ("fifo",)}).price.startswith("about 60 s here")
    assert longer(results, 4).price.startswith("about 40 s here")
    assert to_map(results).price.startswith("about 32 minutes here")  # of 64 trials
    assert again(replace(results, trials=trials.iloc[:0]), {}).price == ""


def test_the_best_is_trained_again_with_every_hyperparameter_in_full() -> None:
    options = study_train.parser().parse_args(words(train(RESULTS, "a-00001"), "study.train"))
    row = RESULTS.trials.iloc[1]
    given = {name: value for name, value in vars(options).items() if name in RESULTS.trials}
    config = TrialConfig.from_dict(
        {name: given[name] for name in TrialConfig(model="wgan_gp", dataset="ring8").to_dict()}
    )
    assert config.lr_g == row["lr_g"]  # to the last digit
    assert {name: row[name] for name in config.to_dict()} == config.to_dict()
    plan = RESULTS.plan
    assert (options.seeds, options.seed, options.kimg) == (plan.seeds, plan.seed, plan.kimg)
    assert (options.eval_kimg, options.metric, options.precision) == (plan.eval_kimg, "w1", "fp32")


def test_what_the_data_and_the_users_code_need_is_given_again() -> None:
    plan = replace(RESULTS.plan, plugins=[{"path": "my own.py", "sha256": "0"}])
    own = replace(RESULTS, plan=plan, record=record("--space", "a", "--side", "32", "--data-dir", "data"))
    assert train(own, "a-00001").endswith("--side 32 --data-dir data --plugin 'my own.py'")
