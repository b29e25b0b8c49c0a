"""Which files of a study are copied to other places, and in which order.

Every moment on the way is one that a kill could have left: a trial's curve comes before its checkpoint, and
its marker last of all.
"""

import os
from collections.abc import Container, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from study.records.trial_folder import MARKERS

CONFIG, ROWS, CHECKPOINT, SAMPLES = "config.json", "curves.jsonl", "checkpoint/pack.pt", "samples/"


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
    """As a trial writes them. The curve of one that began again comes after its checkpoint: it is shorter."""
    markers = set(MARKERS.values())
    late = ROWS if began_again else CHECKPOINT
    return sorted(names, key=lambda name: (name in markers, name == late, name != CONFIG, name))
