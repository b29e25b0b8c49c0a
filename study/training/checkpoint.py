"""A pack on disk: one file, written whole or not at all, read without unpickling code."""

from pathlib import Path
from typing import Any

import torch

from study.machine.files import write_whole
from study.training import members
from study.training.pack import Pack

COUNTERS = ("critic_updates", "generator_updates", "next_evaluation", "train_seconds")


MEMORY = (MemoryError, torch.OutOfMemoryError)  # of the machine, and no fault of a file


def state_of(pack: Pack) -> dict[str, Any]:
    """Everything that training from here depends on; loads with torch.load(weights_only=True)."""
    return {**members.state_of(pack), **{name: getattr(pack, name) for name in COUNTERS}}


class DamagedError(RuntimeError):
    """A checkpoint that can't be read."""


def restore(pack: Pack, state: dict[str, Any]) -> None:
    """Raises ValueError, before anything is changed, when `state` is of a pack of another shape."""
    counters = {name: state[name] for name in COUNTERS}
    members.load(pack, state)
    for name, value in counters.items():
        setattr(pack, name, value)


def save(pack: Pack, path: Path) -> None:
    _write(path, state_of(pack))


def save_networks(pack: Pack, evaluation: int, path: Path) -> None:
    """What is kept of a pack's best evaluation: its members' networks, without what training needs beside."""
    _write(path, {**members.networks_of(pack), "evaluation": evaluation})


def _write(path: Path, state: dict[str, Any]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # torch's own writer would not say that a disk is full
            torch.save(state, file)

    write_whole(path, write)


def load(pack: Pack, path: Path) -> None:
    """Put `pack` back to where it was saved.

    Raises:
        DamagedError: the file can't be read.
        RuntimeError: it belongs to a pack of another shape.
    """
    try:
        state = torch.load(path, map_location=pack.device, weights_only=True)
    except MEMORY:
        raise
    except Exception as error:  # of pickle's, of zipfile's, of torch's: whatever damage looks like to them
        raise DamagedError(f"{path}: the checkpoint can't be read: {error}") from error
    try:
        restore(pack, state)
    except MEMORY:
        raise
    except Exception as error:
        raise RuntimeError(f"{path} is no checkpoint of this trial: {error}") from error
