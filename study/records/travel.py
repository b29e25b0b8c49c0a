"""Which files of a study are copied to other places, and in which order.

They come in an order in which every moment is one that a kill could have left.
"""

import os
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from study.records.trial_folder import MARKERS

CONFIG, ROWS, SAMPLES = "config.json", "curves.jsonl", "samples/"
BEST, CHECKPOINT = "checkpoint/best.pt", "checkpoint/pack.pt"


class Stamp(NamedTuple):
    """What tells whether a file has changed."""

    size: int
    modified: int  # nanoseconds


def stamps(folder: Path, but: Container[str] = ()) -> dict[str, Stamp]:
    """Files below a folder by their paths there, but links, and what is hidden: locks, or half written."""
    found: dict[str, Stamp] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if is_hidden(entry.name) or entry.name in but:
                continue
            if entry.is_dir(follow_symlinks=False):
                below = stamps(Path(entry.path))
                found |= {f"{entry.name}/{name}": stamp for name, stamp in below.items()}
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    found[entry.name] = stamp_of(entry.stat(follow_symlinks=False))
    return found


def stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns)


def is_hidden(name: str) -> bool:
    """Whether it, or a folder that it is in, begins with a dot; '..' does, too."""
    return any(part.startswith(".") or not part for part in name.split("/"))


def in_order(names: Iterable[str], *, began_again: bool = False) -> list[str]:
    """As a trial writes them: its plan, samples, curve, networks, checkpoint, and its marker last of all.

    The curve of one that began again comes after its checkpoint: it is shorter.
    """
    late = [BEST, CHECKPOINT, ROWS] if began_again else [ROWS, BEST, CHECKPOINT]
    late += [*MARKERS.values()]
    return sorted(names, key=lambda name: (late.index(name) if name in late else -1, name != CONFIG, name))
