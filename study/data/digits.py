"""Handwritten digits: 1,797 real 8x8 images (UCI Optical Recognition of Handwritten Digits, 1998).

scikit-learn ships them, so a first study on real images needs no download. What it takes two seconds
to import is kept in the cache folder as it is used here.
"""

import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import interpolate

from study.data.dataset import Dataset
from study.machine.cache import cache_folder
from study.machine.files import write_whole

SIDE = 16
HELD_OUT = 450
RECIPE = 1  # counts changes of what is kept


def load_digits() -> Dataset:
    """Upsampled bilinearly to 16x16, grey values in [-1, 1]; 450 held out, stratified by digit."""
    kept = cache_folder() / f"digits-data-{RECIPE}.npz"
    try:
        with kept.open("rb") as file:
            arrays = dict(np.load(file))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # there is none, or a damaged one
        arrays = _from_scikit_learn()
        write_whole(kept, partial(_save, arrays))
    return Dataset(
        name="digits",
        kind="images",
        train=torch.from_numpy(arrays["train"]),
        held_out=torch.from_numpy(arrays["held_out"]),
        n_modes=10,
        labels=torch.from_numpy(arrays["labels"]),
        held_out_labels=torch.from_numpy(arrays["held_out_labels"]),
    )


def _from_scikit_learn() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits as read
    from sklearn.model_selection import train_test_split

    pixels, labels = read(return_X_y=True)
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


def _save(arrays: dict[str, np.ndarray], path: Path) -> None:
    with path.open("wb") as file:  # given a name, numpy would add a suffix
        np.savez(file, **arrays)  # type: ignore[arg-type]
