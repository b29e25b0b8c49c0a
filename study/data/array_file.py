"""An array of one's own, in numpy's file: points (N, D) or images (N, C, H, W), with labels or without."""

import re
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.data.declaration import Dataset, DatasetFamily
from study.data.store import LEAST, SMALLEST_SIDE, absolute, in_parts, stored
from study.errors import UserError, some_of

if TYPE_CHECKING:
    import numpy as np

FAR = 100.0  # from zero, for points
CHANNELS = (1, 3, 4)  # of images, where they stand last
RECIPE = 1  # counts changes of what is kept
LABELS = "labels"


def of(path: str) -> Dataset:
    """The dataset of a .npy or .npz file.

    Raises UserError: it can't be read, is neither points nor square images, is too small, or has values that
    are not finite or out of range.
    """
    file = absolute(path)
    try:
        state = file.stat()
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from error
    data = stored("array", [RECIPE, str(file), state.st_size, state.st_mtime_ns], partial(_make, file))
    facts = data.facts
    return Dataset(
        name=f"array:{file}",
        meaning=f"{facts['kind']} of the file {file.name}",
        kind=facts["kind"],
        sample_shape=tuple(facts["sample_shape"]),
        modes=facts["modes"],
        labels=facts["labels"],
        prepare=lambda: data,
    )


def _make(file: Path) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    import numpy as np

    items, labels = _read(file)
    if items.dtype != np.uint8 and items.dtype.kind != "f":
        raise UserError(f"{file} holds {items.dtype}: it must be uint8, or floats")
    if items.ndim not in (2, 3, 4) or 0 in items.shape[1:]:
        raise UserError(
            f"{file} has the shape {items.shape}: points are (N, D), images (N, H, W) or (N, C, H, W)"
        )
    if len(items) < LEAST:
        raise UserError(f"{file} holds {len(items)} items: a study needs at least {LEAST}")
    if items.dtype != np.uint8 or items.ndim == 2:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            items = items.astype(np.float32, copy=False)
        finite = np.isfinite(items).reshape(len(items), -1).all(axis=1)
        if not finite.all():
            where = some_of(str(i) for i in np.flatnonzero(~finite))
            raise UserError(f"{file} has values that are not finite in {(~finite).sum()} items: {where}")
    if all((item == items[0]).all() for item in items):  # item by item: it ends at the first that differs
        raise UserError(f"{file} holds the same item {len(items)} times: there is nothing to learn")
    notes: list[str] = []
    kind = "points" if items.ndim == 2 else "images"
    if kind == "images":
        items = items[:, None] if items.ndim == 3 else items
        items = _square(file, items, notes)
    if kind == "points" and abs(items).max() > FAR:
        notes.append(f"points reach {abs(items).max():.3g}: networks learn best from coordinates around 1")
    modes = None
    if labels is not None:
        labels, modes = _classes(file, labels, len(items))
    notes += [f"{modes} classes"] if modes else []
    facts = {
        "kind": kind,
        "sample_shape": list(items.shape[1:]),
        "modes": modes if kind == "images" else None,  # of points it would need the modes' centres
        "labels": labels is not None,
        "notes": notes,
    }
    return in_parts(items, labels), facts


def _read(file: Path) -> "tuple[np.ndarray, np.ndarray | None]":
    """The array, and the labels beside it."""
    import numpy as np

    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found, None
        arrays = dict(found)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if re.search("Object arrays|Python objects", str(error)):
            raise UserError(f"{file} holds objects, not numbers: it can't be read safely") from error
        raise UserError(f"{file} is not a readable NumPy file (.npy or .npz)") from error
    labels = arrays.pop(LABELS, None)
    if len(arrays) != 1:
        raise UserError(
            f"{file} must hold one array, and {LABELS} if there are any; it has {', '.join(arrays) or 'none'}"
        )
    return arrays.popitem()[1], labels


def _square(file: Path, images: "np.ndarray", notes: list[str]) -> "np.ndarray":
    """Images (N, C, H, W) in range, padded to the next power of two by repeating their borders."""
    import numpy as np

    _, channels, height, width = images.shape
    if channels not in CHANNELS and width in CHANNELS and height == channels:
        raise UserError(
            f"{file} has its channels last, {images.shape}: images are (N, C, H, W); transpose(0, 3, 1, 2) "
            "brings them there"
        )
    if height != width:
        raise UserError(f"{file} has images of {height}x{width} pixels: they must be square")
    if images.dtype != np.uint8 and (images.min() < -1 or images.max() > 1):
        raise UserError(
            f"{file} has pixels from {images.min():g} to {images.max():g}: floats must lie in [-1, 1]; "
            "0 to 255 can be uint8"
        )
    side = max(SMALLEST_SIDE, 1 << (height - 1).bit_length())
    if side == height:
        return images
    before = (side - height) // 2
    margins = (before, side - height - before)
    notes.append(f"padded from {height}x{height} to {side}x{side} pixels, by repeating the border")
    return np.pad(images, ((0, 0), (0, 0), margins, margins), mode="edge")


def _classes(file: Path, labels: "np.ndarray", n: int) -> "tuple[np.ndarray, int]":
    """Labels of any values (N,) -> classes 0, 1, ... (N,), and how many there are."""
    import numpy as np

    if labels.shape != (n,) or labels.dtype.kind not in "uibUS":
        raise UserError(
            f"{file}: labels must be {n} whole numbers or words, not {labels.dtype} of shape {labels.shape}"
        )
    values, classes = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        raise UserError(f"{file}: all labels are {values[0]!r}; leave them out, or give two classes or more")
    return classes.astype(np.int64), len(values)


ARRAY = DatasetFamily(
    name="array",
    meaning="your own points (N, D) or images (N, C, H, W): .npy, or .npz with `labels`",
    argument="file",
    of=of,
)
