"""MNIST, Fashion-MNIST and CIFAR-10, as torchvision reads them, from a folder of the user's.

They are looked for in GAN_STUDY_DATA (`--data-dir`), and downloaded there on first use.
"""

import os
import shutil
import struct
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path

from study.data.declaration import Dataset
from study.data.store import LARGEST_PART, Stored, stored
from study.errors import UserError

if TYPE_CHECKING:
    import numpy as np

PADDED = 2  # pixels around MNIST's 28x28
RECIPE = 1  # counts changes of what is kept


def data_folder() -> Path:
    return Path(os.environ.get("GAN_STUDY_DATA") or user_data_path("gan-study"))


def prepare(title: str, subfolder: str) -> Stored:
    """The set as it is kept. Raises UserError: it is not there and can't be downloaded."""
    identity = [RECIPE, str(data_folder().resolve())]
    return stored(title.lower(), identity, partial(_make, title, subfolder))


def _make(title: str, subfolder: str) -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    import numpy as np

    (images, labels), (test, test_labels) = (_read(title, subfolder, train=train) for train in (True, False))
    order = np.random.default_rng(0).permutation(len(images))
    held_out = min(LARGEST_PART, len(images) // 6)  # as many as the sets have test images
    chosen = {"held_out": np.sort(order[:held_out]), "train": np.sort(order[held_out:])}
    arrays = {part: images[rows] for part, rows in chosen.items()} | {"test": test}
    arrays |= {"labels": labels[chosen["train"]], "held_out_labels": labels[chosen["held_out"]]}
    return arrays | {"test_labels": test_labels}, {"notes": [f"read from {data_folder() / subfolder}"]}


def _read(title: str, subfolder: str, *, train: bool) -> "tuple[np.ndarray, np.ndarray]":
    """Images uint8 (N, C, 32, 32) and classes (N,)."""
    import numpy as np
    from torchvision import datasets

    reader: Callable[..., Any] = getattr(datasets, title)
    root = data_folder()
    try:
        try:
            found = reader(root, train=train, download=False)
        except RuntimeError:  # not there
            print(f"downloading {title} into {root} ...", file=sys.stderr)
            with TemporaryDirectory() as fetched:  # a download that fails leaves nothing behind
                reader(fetched, train=True, download=True)
                shutil.copytree(fetched, root, dirs_exist_ok=True)
            found = reader(root, train=train, download=False)
    except (AssertionError, KeyError, ValueError, EOFError, struct.error) as error:
        raise UserError(f"the files of {title} in {root / subfolder} are damaged: {error!r}") from error
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{root / subfolder} does not hold {title}, and the download failed: put the set's files there, "
            "or give the right folder with --data-dir"
        ) from error
    images = np.asarray(found.data)
    if images.ndim == 3:  # grey, 28x28
        images = np.pad(images, ((0, 0), (PADDED, PADDED), (PADDED, PADDED)))[:, None]
    else:
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images), np.asarray(found.targets, dtype=np.int64)


def _dataset(name: str, title: str, subfolder: str, channels: int, meaning: str) -> Dataset:
    return Dataset(
        name=name,
        meaning=meaning,
        kind="images",
        sample_shape=(channels, 32, 32),
        modes=10,
        labels=True,
        prepare=partial(prepare, title, subfolder),
    )


MNIST = _dataset(
    "mnist", "MNIST", "MNIST/raw", 1, "70,000 handwritten digits, padded to 32x32 pixels (LeCun 1998)"
)
FASHION_MNIST = _dataset(
    "fashion_mnist",
    "FashionMNIST",
    "FashionMNIST/raw",
    1,
    "70,000 pictures of clothes, padded to 32x32 pixels (Xiao 2017)",
)
CIFAR10 = _dataset(
    "cifar10",
    "CIFAR10",
    "cifar-10-batches-py",
    3,
    "60,000 colour photographs of ten classes (Krizhevsky 2009)",
)
