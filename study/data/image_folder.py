"""A folder of one's own images, PNG, JPEG or WebP: decoded once, in parallel, to one size."""

import os
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.data.declaration import Dataset, DatasetFamily
from study.data.store import LEAST, SMALLEST_SIDE, Stored, absolute, in_parts, stored
from study.errors import UserError, some_of

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
LARGEST_SIDE = 64  # of those that are chosen where the user does not say
CORRUPT_SHARE = 0.01
RECIPE = 1  # counts changes of what is kept
FEW = 20  # images of a class, of which three at most are for selection
TRANSPARENT = {"RGBA", "LA", "PA", "La", "RGBa"}


@dataclass(frozen=True)
class _Header:
    """What a file says of its image; `error` where it is none."""

    width: int = 0
    height: int = 0
    grey: bool = True
    alpha: bool = False
    error: str = ""


def of(path: str, side: int | None = None) -> Dataset:
    """The dataset of a folder, its images decoded into the cache.

    Raises UserError: the folder is empty, holds fewer than 100 images or more than 1% that can't be read, or
    `side` is not 8, 16, 32, ...
    """
    folder = absolute(path)
    if side is not None and (side < SMALLEST_SIDE or side & (side - 1)):
        raise UserError(f"--side {side} must be a power of two: 8, 16, 32, 64, ...")
    data = _stored(folder, side)
    facts = data.facts
    return Dataset(
        name=f"folder:{folder}",
        meaning=f"images of the folder {folder.name}",
        kind="images",
        sample_shape=tuple(facts["sample_shape"]),
        modes=facts["modes"],
        labels=facts["modes"] is not None,
        options={} if side is None else {"side": side},
        prepare=lambda: data,
    )


def _stored(folder: Path, side: int | None) -> Stored:
    try:
        files = sorted(_images(folder))
        listing = [(str(f.relative_to(folder)), *_stamp(f)) for f in files]
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}") from error
    if not files:
        raise UserError(f"the folder {folder} holds no images (PNG, JPEG or WebP)")
    if len(files) < LEAST:
        raise UserError(f"the folder {folder} holds {len(files)} images: a study needs at least {LEAST}")
    return stored("folder", [RECIPE, str(folder), side, listing], partial(_decode_all, folder, files, side))


def _images(folder: Path) -> Iterator[Path]:
    """Image files at any depth; hidden files and folders, and what archives leave behind, are passed over."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith((".", "__"))]
        for file in files:
            if Path(file).suffix.lower() in SUFFIXES and not file.startswith("."):
                yield Path(parent, file)


def _stamp(file: Path) -> tuple[int, int]:
    """What changes with a file's contents; of a link to nothing, which counts as corrupt, zeros."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _decode_all(
    folder: Path, files: list[Path], side: int | None
) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(_header, files))
        readable = [(f, h) for f, h in zip(files, headers, strict=True) if not h.error]
        corrupt = {f: h.error for f, h in zip(files, headers, strict=True) if h.error}
        if not readable:
            _check_corrupt(folder, corrupt, len(files))
        shortest = statistics.median(min(h.width, h.height) for _, h in readable)
        chosen = side or min(LARGEST_SIDE, max(SMALLEST_SIDE, 1 << (int(shortest).bit_length() - 1)))
        grey = all(h.grey for _, h in readable)
        decode = partial(_decode, side=chosen, grey=grey)
        decoded = pool.map(decode, [f for f, _ in readable])
        images = np.empty((len(readable), 1 if grey else 3, chosen, chosen), dtype=np.uint8)
        kept: list[Path] = []
        console = Console(stderr=True)
        hidden = not console.is_terminal
        bar = track(decoded, "decoding images", len(readable), console=console, disable=hidden)
        for (file, _), pixels in zip(readable, bar, strict=True):
            if isinstance(pixels, str):
                corrupt[file] = pixels
            else:
                images[len(kept)] = pixels
                kept.append(file)
    _check_corrupt(folder, corrupt, len(files))
    if len(kept) < LEAST:
        raise UserError(f"the folder {folder} holds {len(kept)} readable images: a study needs {LEAST}")
    names, labels = _classes(folder, kept)
    facts = {
        "sample_shape": [1 if grey else 3, chosen, chosen],
        "modes": len(names) or None,
        "classes": names,
        "notes": [
            *_notes(folder, [h for _, h in readable], corrupt, chosen, grey, names),
            *_notes_on_classes(folder, kept, labels, names),
        ],
    }
    return in_parts(images[: len(kept)], labels), facts


def _check_corrupt(folder: Path, corrupt: dict[Path, str], n: int) -> None:
    if len(corrupt) > CORRUPT_SHARE * n:
        names = some_of(str(file.relative_to(folder)) for file in corrupt)
        raise UserError(
            f"{len(corrupt)} of the {n} images in {folder} can't be read, which is more than 1%: {names}"
        )


def _classes(folder: Path, files: list[Path]) -> "tuple[list[str], np.ndarray | None]":
    """The sub-folders' names, and each file's number among them; of fewer than two, no classes."""
    import numpy as np

    tops = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in files]
    names = sorted({top for top in tops if top is not None})
    if len(names) < 2:
        return [], None
    loose = [file.name for file, top in zip(files, tops, strict=True) if top is None]
    if loose:
        raise UserError(
            f"{folder} holds classes as sub-folders and, beside them, {len(loose)} images: {some_of(loose)}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[top] for top in tops if top is not None], dtype=np.int64)


def _notes(
    folder: Path, headers: list[_Header], corrupt: dict[Path, str], side: int, grey: bool, names: list[str]
) -> list[str]:
    notes = [
        f"{len(headers)} images, {'grey' if grey else 'RGB'}" + (f", {len(names)} classes" if names else "")
    ]
    if any((h.width, h.height) != (side, side) for h in headers):
        width, height = ([getattr(h, d) for h in headers] for d in ("width", "height"))
        span = " to ".join(dict.fromkeys(f"{f(width)}x{f(height)}" for f in (min, max)))
        notes.append(f"their centres are cropped to squares and resized from {span} to {side}x{side}")
    transparent = sum(h.alpha for h in headers)
    if transparent:
        notes.append(f"{transparent} have transparent pixels, which are blended with white")
    if corrupt:
        files = some_of(str(file.relative_to(folder)) for file in corrupt)
        notes.append(f"{len(corrupt)} can't be read and are left out: {files}")
    return notes


def _notes_on_classes(
    folder: Path, files: list[Path], labels: "np.ndarray | None", names: list[str]
) -> list[str]:
    import numpy as np

    if labels is None:
        lonely = any(file.parent != folder for file in files)
        return ["one sub-folder makes no classes: they are taken as without labels"] if lonely else []
    counts = np.bincount(labels, minlength=len(names))
    few = int(counts.argmin())
    return [f"the class {names[few]} has only {counts[few]} images"] if counts[few] < FEW else []


def _header(path: Path) -> _Header:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            palette = image.palette.colors if image.mode == "P" and image.palette else {}
            grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
            if palette:
                grey = all(len(set(colour[:3])) == 1 for colour in palette)
            alpha = image.mode in TRANSPARENT or "transparency" in image.info
            width, height = image.size
            return _Header(width, height, grey, alpha)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        return _Header(error=str(error) or repr(error))


def _decode(path: Path, side: int, grey: bool) -> "np.ndarray | str":
    """An image as uint8 (C, side, side): its central square, resized. Of a corrupt one, what is wrong."""
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.load()
            upright = _opaque(ImageOps.exif_transpose(image)).convert("L" if grey else "RGB")
        square = ImageOps.fit(upright, (side, side), method=Image.Resampling.LANCZOS)
        pixels = np.asarray(square)
        return pixels[None] if grey else pixels.transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        return str(error) or repr(error)


def _opaque(image: "Image") -> "Image":
    """In 8 bits a channel, transparent pixels blended with white."""
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode == "I":
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


FOLDER = DatasetFamily(
    name="folder",
    meaning="your own images: PNG, JPEG or WebP; sub-folders are classes",
    argument="path",
    of=of,
    options=("side",),
)
