"""What GPUs may do to numbers is settled; a process that trains on a CPU is left alone."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from study.machine.arithmetic import settle

FLAGS: tuple[tuple[Any, str, bool], ...] = (
    (torch.backends.cudnn, "deterministic", True),
    (torch.backends.cudnn, "allow_tf32", True),
    (torch.backends.cuda.matmul, "allow_tf32", False),
    (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
)


@pytest.fixture(autouse=True)
def _all_the_other_way() -> Iterator[None]:
    before = [getattr(owner, name) for owner, name, _ in FLAGS]
    for owner, name, value in FLAGS:
        setattr(owner, name, not value)
    yield
    for (owner, name, _), was in zip(FLAGS, before, strict=True):
        setattr(owner, name, was)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_only_a_gpus_arithmetic_is_settled(device: str) -> None:
    settle(torch.device(device))
    for owner, name, value in FLAGS:
        assert getattr(owner, name) is (value if device == "cuda" else not value), name
