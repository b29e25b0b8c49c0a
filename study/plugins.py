"""A user's own code: `--plugin FILE.py`, which declares models, datasets or metrics as the package does.

Its source travels with each trial to the process that trains it. What a study's folder says of it is its
path and hash: a folder alone never runs code.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from study.data import DATASETS
from study.errors import UserError, last_line
from study.metrics import METRICS
from study.models import MODELS, hyperparameters
from study.plan import RecordedPlugin
from study.records.schema import columns
from study.registry import Registry

REGISTRIES: tuple[Registry[Any], ...] = (MODELS, DATASETS, METRICS)
HASH_SHOWN = 12  # digits


@dataclass(frozen=True)
class Plugin:
    """One file: where it was, and what it says."""

    path: str
    source: str

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def shown(self) -> str:
        return f"{self.path} (sha256 {self.sha256[:HASH_SHOWN]})"

    def recorded(self) -> RecordedPlugin:
        """For a study's files."""
        return {"path": self.path, "sha256": self.sha256}


_IN_USE: dict[str, Plugin] = {}  # in this process, by hash


def read(path: Path) -> Plugin:
    """Raises UserError where there is no Python file."""
    if path.suffix != ".py":
        raise UserError(f"--plugin {path}: a plugin is a Python file, called something.py")
    try:
        return Plugin(str(path.resolve()), path.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise UserError(f"--plugin {path} is not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"--plugin {path} can't be read: {error.strerror}") from error


def use(plugin: Plugin) -> None:
    """Run a plugin's source, once per process, and take in what it declares.

    Raises:
        UserError: it raises an exception, declares nothing, or declares what there is already.
    """
    if plugin.sha256 in _IN_USE:
        return
    before = [registry.snapshot() for registry in REGISTRIES]
    module = ModuleType(f"study_plugin_{plugin.sha256[:HASH_SHOWN]}")
    module.__file__ = plugin.path
    sys.modules[module.__name__] = module  # where pickle, dataclasses and the like look for it
    try:
        _take_in(plugin, module)
    except UserError:
        del sys.modules[module.__name__]
        for registry, snapshot in zip(REGISTRIES, before, strict=True):
            registry.restore(snapshot)
        raise
    _IN_USE[plugin.sha256] = plugin


def _take_in(plugin: Plugin, module: ModuleType) -> None:
    known = [dict(registry) for registry in REGISTRIES]
    imported = set(sys.modules)
    try:
        exec(compile(plugin.source, plugin.path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise UserError(f"--plugin {plugin.path} can't be imported: {last_line(error)}") from error
    for name in sorted(set(sys.modules) - imported):
        beside = getattr(sys.modules[name], "__file__", None)
        if beside is not None and Path(beside).parent == Path(plugin.path).parent:
            raise UserError(
                f"--plugin {plugin.path} imports {Path(beside).name}, which lies beside it: a plugin is one "
                "file, so that its hash covers all of its code"
            )
    try:
        for registry in REGISTRIES:
            registry.collect(module)
        hyperparameters()
        for table in ("trials", "runs", "curves"):
            columns(table, METRICS)
    except ValueError as error:
        said = str(error).replace(module.__name__, "it")
        used = [p.shown for p in _IN_USE.values() if Path(p.path).name == Path(plugin.path).name]
        other = f"; {used[0]} is in use: start a new Python" if used else ""
        raise UserError(f"--plugin {plugin.path}: {said}{other}") from error
    if known == [dict(registry) for registry in REGISTRIES]:
        raise UserError(f"--plugin {plugin.path} declares no model, dataset or metric")


def to_send(recorded: Iterable[RecordedPlugin]) -> list[dict[str, str]]:
    """A study's plugins, which this process uses, for another: path and source of each."""
    return [asdict(_IN_USE[values["sha256"]]) for values in recorded]


def use_sent(plugins: Iterable[Mapping[str, str]]) -> None:
    """Use what another process made with `to_send`."""
    for values in plugins:
        use(Plugin(**values))


def check_same(given: Sequence[Plugin], recorded: Sequence[RecordedPlugin], what: str) -> None:
    """Raise UserError where `given` are not the plugins that `what` was made with."""
    known = {values["sha256"] for values in recorded}
    others = [plugin for plugin in given if plugin.sha256 not in known]
    for values in recorded:
        if values["sha256"] in {plugin.sha256 for plugin in given}:
            continue
        made = f"{what} was made with --plugin {values['path']} (sha256 {values['sha256'][:HASH_SHOWN]})"
        if others:
            raise UserError(f"{made}, from which {others[0].shown} differs: give the file as it was")
        raise UserError(f"{made}: give it again")
    for plugin in others:
        raise UserError(f"{what} was made without --plugin {plugin.shown}: it can't go on with other code")
