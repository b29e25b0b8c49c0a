"""What a GPU may do to numbers: the settings of torch that a result depends on, in one place."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def settle(device: torch.device) -> None:
    """Choose kernels that give the same bits each time, and the arithmetic of 'fp32' and 'bf16' on a GPU.

    In fp32, convolutions take TF32 (10 bits of mantissa) and matrix products true float32: torch's own
    defaults, with which published GANs are trained. In bf16, products add up in float32.
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


@contextmanager
def true_float32() -> Iterator[None]:
    """A GPU's convolutions in true float32, too: for what is judged, and not trained."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
