"""Files that judging needs: each is made once per machine, in the cache folder, and copied into a study's."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from study.data import file_name
from study.machine.cache import cache_folder
from study.machine.files import write_whole


def stem(dataset: str, fingerprint: str) -> str:
    """What the names of a dataset's files begin with."""
    return f"{file_name(dataset)}-{fingerprint[:16]}"


def kept(name: str, make: Callable[[Path], None], read: Callable[[Path], object], own: Path | None) -> Path:
    """The study's `own` file, copied from the machine's where it is not there yet; without it, the machine's.

    `name`: of the machine's, which `make` makes where it is not there yet, or can't be `read`.
    """
    if own is not None and own.exists():
        return own
    made = cache_folder() / name
    with FileLock(made.with_name(f"{name}.lock")):
        if not _is_whole(made, read):
            make(made)
    if own is None:
        return made
    own.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(own.with_name(f".{own.name}.lock")):  # the first of several processes copies it
        if not own.exists():
            write_whole(own, lambda temporary: _copy(made, temporary))
    return own


def _is_whole(made: Path, read: Callable[[Path], object]) -> bool:
    if not made.exists():
        return False
    try:
        read(made)
    except Exception:  # whatever damage looks like to who reads it: it is made again
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
