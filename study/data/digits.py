"""Handwritten digits: 1,797 real 8x8 images (UCI Optical Recognition of Handwritten Digits, 1998).

scikit-learn ships them, so a first study on real images needs no download.
"""

import numpy as np
import torch
from torch.nn.functional import interpolate

from study.data.dataset import Dataset

SIDE = 16
HELD_OUT = 450


def load_digits() -> Dataset:
    """Upsampled bilinearly to 16x16, grey values in [-1, 1]; 450 held out, stratified by digit."""
    from sklearn.datasets import load_digits as read
    from sklearn.model_selection import train_test_split

    pixels, labels = read(return_X_y=True)
    small = torch.from_numpy(pixels.astype(np.float32).reshape(-1, 1, 8, 8)) / 8 - 1
    images = interpolate(small, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    train, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=0
    )
    classes = torch.from_numpy(labels.astype(np.int64))
    return Dataset(
        name="digits",
        kind="images",
        train=images[train],
        held_out=images[held_out],
        n_modes=10,
        labels=classes[train],
        held_out_labels=classes[held_out],
    )
