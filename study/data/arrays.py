"""What a loader returns: real samples to train on, held-out ones to measure against, their modes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from study.data.declaration import Dataset

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

PARTS = ("train", "held_out", "test", "labels", "held_out_labels", "test_labels", "centres", "std")


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Real data, split once and for all.

    Attributes:
        train: what GANs (and the judge) are trained on: (N, D) float32 points, or (N, C, H, W) images, either
            float32 in [-1, 1] or uint8 (see `as_floats`).
        held_out: for selection: what samples are measured against, never trained on, (H, ...) as `train`; in
            such an order that the first n stand for all.
        test: what no search sees, (T, ...) as `train`.
        centres: (modes, D) mode centres of a mixture of points.
        std: standard deviation of every mode of a mixture.
        labels, held_out_labels, test_labels: (N,), (H,), (T,) int64 classes.
    """

    train: "Tensor"
    held_out: "Tensor"
    centres: "Tensor | None" = None
    std: float | None = None
    labels: "Tensor | None" = None
    held_out_labels: "Tensor | None" = None
    test: "Tensor | None" = None
    test_labels: "Tensor | None" = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (D,) or (C, H, W)."""
        return tuple(self.train.shape[1:])

    def check(self, dataset: Dataset) -> None:
        """Raise ValueError where these are not the arrays that `dataset` declares."""
        if self.sample_shape != dataset.sample_shape:
            raise ValueError(f"{dataset.name} declares {dataset.sample_shape} and loads {self.sample_shape}")
        if (self.labels is not None) != dataset.labels:
            raise ValueError(f"{dataset.name} must load labels if, and only if, it declares them")
        centres = None if self.centres is None else len(self.centres)
        if dataset.kind == "points" and (centres != dataset.modes or (centres is None) != (self.std is None)):
            raise ValueError(
                f"{dataset.name} must load centres and std of the {dataset.modes} modes it declares"
            )
        for data, labels in ((self.train, self.labels), (self.held_out, self.held_out_labels)):
            if data.shape[1:] != self.train.shape[1:] or (labels is not None and len(labels) != len(data)):
                raise ValueError(f"{dataset.name}: the parts, or their labels, don't fit each other")

    def to(self, device: "torch.device") -> "Arrays":
        """All but the test part, which nothing trains on or searches with."""
        values = {name: getattr(self, name) for name in PARTS if not name.startswith("test")}
        moved = replace(self, **{k: v.to(device) for k, v in values.items() if hasattr(v, "to")})
        vars(moved)["fingerprint"] = self.fingerprint
        return moved

    @property
    def number(self) -> dict[str, int]:
        """Items by part."""
        return {
            part: len(items)
            for part, items in (("train", self.train), ("held_out", self.held_out), ("test", self.test))
            if items is not None
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the contents, labels included."""
        tensors = {name: getattr(self, name) for name in PARTS}
        return sha256({k: v.cpu().numpy() for k, v in tensors.items() if hasattr(v, "cpu")})


def as_floats(items: "Tensor") -> "Tensor":
    """Data as networks see them: uint8 pixels (n, ...) become floats in [-1, 1], of torch's default type."""
    import torch

    return items if items.is_floating_point() else items.to(torch.get_default_dtype()).div_(127.5).sub_(1)


def sha256(arrays: "Mapping[str, np.ndarray]") -> str:
    """Of the contents of all parts, their types and shapes."""
    import numpy as np

    digest = hashlib.sha256()
    for part in PARTS:
        if part in arrays:
            array = np.ascontiguousarray(arrays[part])
            digest.update(json.dumps([part, array.dtype.str, array.shape]).encode())
            digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()
