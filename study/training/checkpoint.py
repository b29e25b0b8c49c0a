"""A pack on disk: one file, written whole or not at all, read without unpickling code."""

import os
from pathlib import Path
from typing import Any

import torch

from study.training.pack import Pack


def save(pack: Pack, path: Path) -> None:
    """Write everything that training from here depends on."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(pack.state_dict(), file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
