"""What the command lines share: one sentence for a wrong command, and the exit statuses.

0 the job was done; 1 no trial completed, or it could not go on; 2 the command or a file it names is wrong;
130 interrupted.
"""

import argparse
import errno
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from study import plugins
from study.config import TrialConfig
from study.data import DATASETS, KINDS, dataset_named, dataset_names
from study.data.store import absolute
from study.errors import UserError, cut, sentence
from study.machine.cache import cache_folder
from study.machine.precision import PRECISIONS
from study.models import MODELS
from study.plan import AGGREGATES, MOST_COUNT, RecordedPlugin
from study.plugins import Plugin
from study.reporting.tracking import PROJECT
from study.signals import INTERRUPTED, raise_interrupt

OK, NOTHING_COMPLETED, STOPPED, WRONG_COMMAND = 0, 1, 1, 2


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but not None: those are told in the option's own words."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Examples stay one a line."""
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, True, []):
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one sentence, with the flag that may have been meant."""

    def __init__(self, *, examples: Sequence[str] = (), **options: object) -> None:
        """`examples`: command lines that the help ends with."""
        super().__init__(
            formatter_class=_Help,
            allow_abbrev=False,
            epilog="\n  ".join(["examples:", *examples]) if examples else None,
            **options,  # type: ignore[arg-type]
        )

    def error(self, message: str) -> NoReturn:
        head, unknown, flags = message.partition("unrecognized arguments: ")
        if unknown and not head:
            near = get_close_matches(flags.split()[0].partition("=")[0], self._option_string_actions, n=1)
            message = f"unknown option {flags}" + (f"; did you mean {near[0]}?" if near else "")
        print(f"{self.prog}: {sentence(message)}; see --help", file=sys.stderr)
        sys.exit(WRONG_COMMAND)


def run_command(main: Callable[[], int]) -> int:
    """Run a command; a UserError becomes one line on stderr and status 2."""
    try:
        return main()
    except UserError as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return WRONG_COMMAND
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # else it is no path at all
            raise
        print(f"error: {sentence(error.filename)}: {error.strerror}", file=sys.stderr)
        return WRONG_COMMAND
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def add_shared(group: "argparse._ActionsContainer", *flags: str) -> None:
    """Add options that several commands have."""
    apart = [f"{m.name} on {kind}" for m in MODELS.values() for kind in KINDS if kind not in m.bf16_kinds]
    known: dict[str, dict[str, Any]] = {
        "--dataset": {
            "help": f"training data: {', '.join(dataset_names())} (default: {DATASETS.default.name})"
        },
        "--side": {
            "type": whole_at_least(1),
            "help": "side in pixels to which a folder's images are brought: 8, 16, 32, ... "
            "(default: by their size)",
        },
        "--data-dir": {
            "type": Path,
            "metavar": "FOLDER",
            "help": "folder of mnist, fashion_mnist, cifar10 "
            "(default: GAN_STUDY_DATA, or the user's data folder)",
        },
        "--plugin": {
            "type": Path,
            "action": "append",
            "default": [],
            "metavar": "FILE.py",
            "help": "a file that declares models, datasets or metrics of your own (may be repeated)",
        },
        "--seed": {"type": whole_at_least(0, 2**63 - 1), "default": 0, "help": "master random seed"},
        "--eval-kimg": {
            "type": positive,
            "help": "kimg between evaluations (default: a ninth of --kimg)",
        },
        "--aggregate": {
            "choices": AGGREGATES,
            "default": "mean",
            "help": "how seeds are combined into the objective",
        },
        "--precision": {
            "choices": PRECISIONS,
            "default": "auto",
            "help": "number format of the networks; auto: bf16 where it is fast and no difference was found, "
            f"fp32 elsewhere and always for {', '.join(apart)}",
        },
        "--wandb-project": {"default": PROJECT, "help": "W&B project; under a sweep's agent, the sweep's"},
        "--keep-best": {
            "action": argparse.BooleanOptionalAction,
            "default": True,
            "help": "keep the networks of a trial's best evaluation beside its last checkpoint "
            "(default: keep them)",
        },
    }
    for flag in flags:
        group.add_argument(flag, **known[flag])


def use_plugins(arguments: Sequence[str] | None, prog: str) -> list[Plugin]:
    """Take in the plugins of a command line, before its parser lists what there is. Raises UserError."""
    first = Parser(prog=prog, add_help=False)
    add_shared(first, "--plugin")
    given = [plugins.read(path) for path in first.parse_known_args(arguments)[0].plugin]
    for plugin in given:
        plugins.use(plugin)
    return given


def check_model_of(config: TrialConfig) -> list[str]:
    """Lines on the networks that a user's model brings. Raises UserError for wrong ones, and wrong losses."""
    model = MODELS[config.model]
    if model.name in MODELS.built_in:
        return []
    from study.networks.check import check_losses, check_networks  # which needs torch

    check_losses(model, config)
    return check_networks(model, config.latent_dim, dataset_named(config.dataset).sample_shape)


def with_plugins(command: str, recorded: Iterable[RecordedPlugin]) -> str:
    """A command that continues something, with the plugins that it was made with."""
    return command + "".join(f" --plugin {shlex.quote(values['path'])}" for values in recorded)


def begin(module: str) -> None:
    """From now on a command creates things: it has a cache, and an interrupt is an exception.

    `module`: what does its work. In all that this imports an interrupt could become anything.

    Raises UserError: the cache can't be written.
    """
    cache_folder()
    import_module(module)
    raise_interrupt()


def use_data_folder(path: Path | None) -> None:
    """Where downloaded datasets are, for this process and those it starts."""
    if path is not None:
        os.environ["GAN_STUDY_DATA"] = str(absolute(str(path)))


def whole_at_least(least: int, most: int = MOST_COUNT) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{cut(text)} is not a whole number of at least {least}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{cut(text)} is above {most:,}")
        return value

    return parse


def folder_here(text: str) -> Path:
    """An argparse type: a folder of this machine's, and no URL."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is not a folder: study.tune --mirror {text} copies a study there"
        )
    return Path(text)


def number(text: str, above: float = -math.inf, at_least: float = -math.inf) -> float:
    """A finite number above a bound."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{cut(text)} is not a number") from None
    if not math.isfinite(value) or value <= above or value < at_least:
        bound = f" above {above:g}" if above > -math.inf else f" of at least {at_least:g}"
        raise argparse.ArgumentTypeError(f"{cut(text)} is not a finite number{bound}")
    return value


def positive(text: str) -> float:
    """An argparse type: a finite number above 0."""
    return number(text, above=0)


def not_negative(text: str) -> float:
    """An argparse type: a finite number of at least 0."""
    return number(text, at_least=0)
