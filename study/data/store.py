"""Real data in the cache folder: a file for each part, which the processes of a machine share.

What takes long to decode or draw is made once, under a lock, and mapped into memory where it is used.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from filelock import FileLock

from study.data.arrays import PARTS, Arrays, sha256
from study.errors import UserError
from study.machine.cache import cache_folder
from study.machine.files import read_json, write_json
from study.machine.typed import misfit

if TYPE_CHECKING:
    import numpy as np

FACTS = "facts.json"
LEAST = 100  # items of one's own that are worth a study
SMALLEST_SIDE = 8  # of images, in pixels
SHARE = 0.15  # of selection, and of test
LARGEST_PART = 10_000


class Facts(TypedDict):
    """Of each part the number of items and the file's bytes, and the contents' SHA-256; makers tell more."""

    number: dict[str, int]
    sha256: str
    bytes: dict[str, int]


@dataclass(frozen=True)
class Stored:
    """Data in a folder of the cache, which goes by its `key`."""

    key: str

    @property
    def path(self) -> Path:
        return cache_folder() / "data" / self.key

    @cached_property
    def facts(self) -> dict[str, Any]:
        """See `Facts`."""
        facts: dict[str, Any] = read_json(self.path / FACTS)
        return facts

    def load(self) -> Arrays:
        """The arrays, mapped: memory is taken for what is read, once for all processes."""
        import numpy as np
        import torch

        tensors: dict[str, Any] = {}
        for part in PARTS:
            path = self.path / f"{part}.npy"
            if path.exists():  # mode c: never written back
                tensors[part] = torch.from_numpy(np.load(path, mmap_mode="c"))
        if "std" in tensors:
            tensors["std"] = float(tensors["std"])
        arrays = Arrays(**tensors)
        vars(arrays)["fingerprint"] = self.facts["sha256"]  # the cached property: known already
        return arrays

    def is_whole(self) -> bool:
        """Whether it was made, and every file has its size and tells what it holds."""
        import numpy as np

        found = {file.stem: file.stat().st_size for file in self.path.glob("*.npy")}
        try:
            facts = read_json(self.path / FACTS)
            for part in found:
                np.load(self.path / f"{part}.npy", mmap_mode="r")
        except Exception:  # there is none, or whatever damage looks like
            return False
        return not misfit("facts", facts, Facts) and facts["bytes"] == found


def stored(
    name: str, identity: Sequence[Any], make: "Callable[[], tuple[dict[str, np.ndarray], dict[str, Any]]]"
) -> Stored:
    """Data from the cache or made now: arrays by part, and what is to be told of them.

    `identity`: JSON values that change whenever what is kept would.

    Raises UserError where the cache can't be written, and what `make` raises; then nothing is kept.
    """
    found = Stored(f"{name}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]}")
    with _writing(found.path.parent):
        found.path.parent.mkdir(exist_ok=True)
        lock = FileLock(found.path.with_name(found.key + ".lock"))
        lock.acquire()
    try:
        if not found.is_whole():
            _keep(found, *make())
    finally:
        lock.release()
    return found


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"the cache folder {folder} can't be written: {error.strerror}") from error


def _keep(data: Stored, arrays: "Mapping[str, np.ndarray]", told: Mapping[str, Any]) -> None:
    """Write the files into a folder beside, then rename it."""
    for left in data.path.parent.glob(f".{data.key}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    number = {part: len(arrays[part]) for part in ("train", "held_out", "test") if part in arrays}
    temporary = data.path.with_name(f".{data.key}.{uuid.uuid4().hex}.tmp")
    try:
        with _writing(temporary.parent):
            _write(temporary, arrays)
            sizes = {file.stem: file.stat().st_size for file in temporary.glob("*.npy")}
            facts = {"number": number, "sha256": sha256(arrays), "bytes": sizes, **told}
            write_json(temporary / FACTS, facts)
            shutil.rmtree(data.path, ignore_errors=True)
            temporary.rename(data.path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    import numpy as np

    folder.mkdir()
    for part, array in arrays.items():
        with (folder / f"{part}.npy").open("wb") as file:
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())


def split(labels: "np.ndarray | None", n: int) -> "dict[str, np.ndarray]":
    """Indices of `n` items for training, selection (`held_out`) and `test`, shuffled, the same each time.

    15% each are for selection and test, at most 10,000; each class gives them its share, to within one.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    order = rng.permutation(n)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]  # class by class
    size = round(min(SHARE, LARGEST_PART / n) * n)
    evenly = np.arange(size) * n / size
    chosen = {"held_out": order[(evenly + 0.25 * n / size).astype(int)]}
    chosen["test"] = order[(evenly + 0.75 * n / size).astype(int)]
    chosen["train"] = np.setdiff1d(order, np.concatenate(list(chosen.values())))
    return {part: rng.permutation(indices) for part, indices in chosen.items()}


def in_parts(items: "np.ndarray", labels: "np.ndarray | None") -> "dict[str, np.ndarray]":
    """Items (N, ...) and classes (N,) -> arrays by part."""
    found = {}
    for part, indices in split(labels, len(items)).items():
        found[part] = items[indices]
        if labels is not None:
            found["labels" if part == "train" else f"{part}_labels"] = labels[indices]
    return found


def absolute(path: str) -> Path:
    """A user's path, which may begin with ~. Raises UserError where there is no such user."""
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise UserError(f"{path} can't be found: {error}") from error
