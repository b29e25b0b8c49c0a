"""What the command lines share: exit statuses, one sentence for what is wrong, and types."""

import argparse
import os
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from study import results, train, tune
from study.command import Parser, not_negative, positive, run_command, whole_at_least
from study.errors import UserError
from study.signals import raise_interrupt

Type = Callable[[str], float]
PARSERS = {"tune": tune.parser, "train": train.parser, "results": results.parser}


def raising(error: BaseException) -> Callable[[], int]:
    def main() -> int:
        raise error

    return main


# Exit statuses


@pytest.mark.parametrize("status", [0, 1, 130])
def test_a_commands_status_is_its_own(status: int) -> None:
    assert run_command(lambda: status) == status


def test_a_user_error_is_one_line_and_status_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(UserError("there is no such thing"))) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: there is no such thing\n")


def test_an_interrupt_is_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()))


def test_sigterm_ends_as_ctrl_c_does() -> None:
    raise_interrupt()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


COMMANDS = [f"study.{name}" for name in PARSERS] + ["analysis.report", "analysis.watch", "analysis.timelapse"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_command_is_imported_ends_it_with_130(command: str, number: signal.Signals) -> None:
    code = (
        "import os, runpy, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'study.plan': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv = ['{command}']\n"
        f"runpy.run_module('{command}', run_name='__main__')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


# Types


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (whole_at_least(1), "1", 1),
        (whole_at_least(0), "0", 0),
        (whole_at_least(1), "128", 128),
        (positive, "0.5", 0.5),
        (positive, "1e-4", 1e-4),
        (positive, "3", 3.0),
        (not_negative, "0", 0.0),
        (not_negative, "0.25", 0.25),
    ],
)
def test_a_number_within_its_range_is_read(kind: Type, text: str, value: float) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (whole_at_least(1), "0", "0 is not a whole number of at least 1"),
        (whole_at_least(1), "-3", "-3 is not a whole number of at least 1"),
        (whole_at_least(1), "2.5", "2.5 is not a whole number of at least 1"),
        (whole_at_least(0), "many", "many is not a whole number of at least 0"),
        (whole_at_least(0), "", " is not a whole number of at least 0"),
        (positive, "0", "0 is not a finite number above 0"),
        (positive, "-1", "-1 is not a finite number above 0"),
        (positive, "nan", "nan is not a finite number above 0"),
        (positive, "inf", "inf is not a finite number above 0"),
        (positive, "ten", "ten is not a number"),
        (not_negative, "-0.1", "-0.1 is not a finite number of at least 0"),
        (not_negative, "nan", "nan is not a finite number of at least 0"),
    ],
)
def test_a_number_outside_its_range_is_refused(kind: Type, text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert str(caught.value) == words


# The parser


@pytest.fixture
def parser() -> Parser:
    p = Parser(prog="program")
    p.add_argument("--trials", type=whole_at_least(1))
    p.add_argument("--mode", choices=["a", "b"], default="a")
    return p


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trials", "0"], "0 is not a whole number of at least 1"),
        (["--trials"], "expected one argument"),
        (["--mode", "c"], "invalid choice: 'c'"),
        (["--nonsense"], "--nonsense"),
        (["--tri", "3"], "--tri"),  # no abbreviations: a later option could change what they mean
        (["stray"], "stray"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_status_two(
    parser: Parser, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("program: ")
    assert err.endswith("; see --help\n")
    assert words in err


@pytest.mark.parametrize("command", PARSERS)
def test_help_names_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    p = PARSERS[command]()
    with pytest.raises(SystemExit) as caught:
        p.parse_args(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for action in p._actions:
        assert action.help
        for option in action.option_strings or [action.dest]:
            assert option in text
    assert "None" not in text
    assert "SUPPRESS" not in text


@pytest.mark.parametrize("command", PARSERS)
def test_help_ends_with_examples_that_are_right(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    p = PARSERS[command]()
    with pytest.raises(SystemExit):
        p.parse_args(["--help"])
    examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert len(examples) >= 2
    for example in examples:
        python, m, name, *arguments = shlex.split(example)
        assert (python, m, name) == ("python", "-m", f"study.{command}")
        p.parse_args(arguments)


def test_the_package_lists_its_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["study"])
    runpy.run_module("study", run_name="__main__")
    text = capsys.readouterr().out
    assert all(f"python -m study.{command}" in text for command in PARSERS)


def test_a_mistyped_flag_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, meant in (("--trails", "--trials"), ("--space_", "--space"), ("--lr-gg", "--lr-g")):
        with pytest.raises(SystemExit):
            PARSERS["train" if "lr" in wrong else "tune"]().parse_args([wrong, "3"])
        err = capsys.readouterr().err
        assert f"unknown option {wrong} 3; did you mean {meant}?" in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("command", PARSERS)
def test_help_does_not_wait_for_torch_or_ray(command: str) -> None:
    # It must answer within a second, and each of these takes longer than that to import.
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('study.{command}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "slow = {'torch', 'ray', 'optuna', 'wandb', 'sklearn'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert f"python -m study.{command}" in ended.stdout
