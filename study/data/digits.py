"""Handwritten digits: 1,797 real 8x8 images (UCI Optical Recognition of Handwritten Digits, 1998).

scikit-learn ships them, so a first study on real images needs no download. What it takes two seconds
to import is kept in the cache folder as it is used here.
"""

import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.data.declaration import Dataset
from study.machine.cache import cache_folder
from study.machine.files import write_whole

if TYPE_CHECKING:
    import numpy as np

    from study.data.arrays import Arrays

SIDE = 16
HELD_OUT = 450
RECIPE = 1  # counts changes of what is kept


def load() -> "Arrays":
    """Upsampled bilinearly to 16x16, grey values in [-1, 1]; 450 held out, stratified by digit."""
    import numpy as np
    import torch

    from study.data.arrays import Arrays

    kept = cache_folder() / f"digits-data-{RECIPE}.npz"
    try:
        with kept.open("rb") as file:
            arrays = dict(np.load(file))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # there is none, or a damaged one
        arrays = _from_scikit_learn()
        write_whole(kept, partial(_save, arrays))
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Arrays(**tensors)


def _from_scikit_learn() -> "dict[str, np.ndarray]":
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch.nn.functional import interpolate

    pixels, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(pixels.astype(np.float32).reshape(-1, 1, 8, 8)) / 8 - 1
    images = interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False).numpy()
    train, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0
    )
    classes = labels.astype(np.int64)
    return {
        "train": images[train],
        "held_out": images[held_out],
        "labels": classes[train],
        "held_out_labels": classes[held_out],
    }


def _save(arrays: "dict[str, np.ndarray]", path: Path) -> None:
    import numpy as np

    with path.open("wb") as file:  # given a name, numpy would add a suffix
        np.savez(file, **arrays)  # type: ignore[arg-type]


DIGITS = Dataset(
    name="digits",
    meaning="1,797 handwritten digits of 16x16 pixels (UCI; scikit-learn ships them)",
    kind="images",
    sample_shape=(1, SIDE, SIDE),
    load=load,
    modes=10,
    labels=True,
    is_default=True,
)
