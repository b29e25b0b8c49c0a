"""A pack on disk: one file, written whole or not at all, read without unpickling code."""

from pathlib import Path
from typing import Any

import torch

from study.machine.files import write_whole
from study.training.pack import Pack


def save(pack: Pack, path: Path) -> None:
    """Write everything that training from here depends on."""
    write_whole(path, lambda temporary: torch.save(pack.state_dict(), temporary))


def load(pack: Pack, path: Path) -> None:
    """Put `pack` back to where it was saved.

    Raises:
        RuntimeError: the file is damaged or belongs to a pack of another shape.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=pack.device, weights_only=True)
        pack.load_state_dict(state)
    except Exception as error:
        raise RuntimeError(f"{path}: the checkpoint can't be read: {error}") from error
