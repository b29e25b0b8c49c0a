"""Handwritten digits: 1,797 real 8x8 images (UCI Optical Recognition of Handwritten Digits, 1998).

scikit-learn ships them, so a first study on real images needs no download.
"""

from typing import TYPE_CHECKING, Any

from study.data.declaration import Dataset
from study.data.store import stored

if TYPE_CHECKING:
    import numpy as np

SIDE = 16
HELD_OUT = 450
RECIPE = 1  # counts changes of what is kept


def _digits() -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """Upsampled bilinearly to 16x16, grey values in [-1, 1]; 450 held out, stratified by digit."""
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
    }, {}


DIGITS = Dataset(
    name="digits",
    meaning="1,797 handwritten digits of 16x16 pixels (UCI; scikit-learn ships them)",
    kind="images",
    sample_shape=(1, SIDE, SIDE),
    prepare=lambda: stored("digits", [RECIPE], _digits),
    modes=10,
    labels=True,
    kimg=40.0,
    is_default=True,
)
