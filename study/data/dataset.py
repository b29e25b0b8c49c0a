"""What a dataset is: real samples to train on, held-out ones to measure against, and its modes."""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dataset:
    """Real data, split once and for all.

    Attributes:
        kind: 'points' or 'images'.
        train: what GANs (and the classifier) are trained on, float32, (N, 2) points or
            (N, C, H, W) images in [-1, 1].
        held_out: what samples are measured against, never trained on, (H, ...) as `train`.
        n_modes: number of mixture components (points) or classes (images).
        centres: (n_modes, 2) mode centres of a mixture.
        std: standard deviation of every mode of a mixture.
        labels, held_out_labels: (N,), (H,) int64 classes of labelled images.
    """

    name: str
    kind: str
    train: Tensor
    held_out: Tensor
    n_modes: int
    centres: Tensor | None = None
    std: float | None = None
    labels: Tensor | None = None
    held_out_labels: Tensor | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (2,) or (C, H, W)."""
        return tuple(self.train.shape[1:])

    def to(self, device: torch.device) -> "Dataset":
        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return replace(
            self,
            train=self.train.to(device),
            held_out=self.held_out.to(device),
            centres=move(self.centres),
            labels=move(self.labels),
            held_out_labels=move(self.held_out_labels),
        )

    def fingerprint(self) -> str:
        """A hash of the real data, labels included: the same bytes give the same 16 hex digits."""
        digest = hashlib.sha256()
        for tensor in (self.train, self.held_out, self.labels, self.held_out_labels):
            if tensor is not None:
                digest.update(str(tuple(tensor.shape)).encode())
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
