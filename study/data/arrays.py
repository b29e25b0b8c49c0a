"""What a loader returns: real samples to train on, held-out ones to measure against, their modes."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from study.data.declaration import Dataset

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Real data, split once and for all.

    Attributes:
        train: what GANs (and the classifier) are trained on, float32, (N, D) points or
            (N, C, H, W) images in [-1, 1].
        held_out: what samples are measured against, never trained on, (H, ...) as `train`.
        centres: (modes, D) mode centres of a mixture of points.
        std: standard deviation of every mode of a mixture.
        labels, held_out_labels: (N,), (H,) int64 classes.
    """

    train: "Tensor"
    held_out: "Tensor"
    centres: "Tensor | None" = None
    std: float | None = None
    labels: "Tensor | None" = None
    held_out_labels: "Tensor | None" = None

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
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in values.items() if hasattr(v, "to")})

    def fingerprint(self) -> str:
        """A hash of the real data, labels included: the same bytes give the same 16 hex digits."""
        digest = hashlib.sha256()
        for tensor in (self.train, self.held_out, self.labels, self.held_out_labels):
            if tensor is not None:
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
