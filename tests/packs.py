"""For tests of packs: some tiny enough to train in milliseconds, and a look at all that they hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from study.config import TrialConfig
from study.data import load
from study.training import checkpoint
from study.training.capture import EagerIterations
from study.training.members import state_of
from study.training.pack import Pack
from study.training.schedule import Progress

CPU = torch.device("cpu")
STUDY_SEED = 7
TINY: dict[str, dict[str, Any]] = {
    "images": {"dataset": "digits", "width": 2, "latent_dim": 8, "batch_size": 8},
    "points": {"dataset": "ring8", "width": 16, "latent_dim": 2, "batch_size": 16},
}
Case = tuple[str, str]  # a model and a kind of data


def training_data(kind: str) -> Tensor:
    """The training samples of the tiny dataset of a kind, in the default floating type."""
    return load(TINY[kind]["dataset"], CPU).train.to(torch.get_default_dtype())


def make_pack(
    model: str,
    kind: str,
    seeds: Sequence[int] = (0, 1, 2, 3),
    per_member: Sequence[Mapping[str, float]] = (),
    precision: str = "fp32",
    device: torch.device = CPU,
    **overrides: Any,
) -> Pack:
    """A tiny pack; `per_member` holds each member's own hyperparameters."""
    configs = [
        TrialConfig.from_dict({"model": model, **TINY[kind], **overrides, **own})
        for own in (per_member or [{}] * len(seeds))
    ]
    return Pack(configs, seeds, STUDY_SEED, tuple(training_data(kind).shape[1:]), device, precision)


def train(pack: Pack, data: Tensor, iterations: int = 4) -> Pack:
    iterate = EagerIterations(pack, data)
    for _ in range(iterations):
        iterate()
    return pack


def everything(pack: Pack | Mapping[str, Any]) -> dict[str, object]:
    """All of a pack but its clock as {path: bytes or number}, so that NaN equals NaN and -0 is not 0."""
    state = checkpoint.state_of(pack) if isinstance(pack, Pack) else pack
    return _flat({k: v for k, v in state.items() if k != "train_seconds"}, "")


def without_statistics(pack: Pack) -> dict[str, object]:
    """Everything but the batch-norm statistics, which evaluations leave and training has no use for."""
    return {name: value for name, value in everything(pack).items() if "_buffers/" not in name}


def member_state(pack: Pack, member: int) -> dict[str, object]:
    """The bits of one member's parameters, optimiser state and meters, by name."""
    state = state_of(pack, slice(member, member + 1))
    return _flat({k: v for k, v in state.items() if k not in ("streams", "watch")}, "")


def reasons(pack: Pack) -> list[str]:
    """Why each member diverged; an empty one while it lives."""
    return [divergence.reason if divergence else "" for divergence in pack.watch.divergences(1)]


def without_clock(progress: Progress) -> dict[str, object]:
    return {**vars(progress), "train_seconds": None, "means": repr(progress.means)}


def _flat(value: Any, name: str) -> dict[str, object]:
    if isinstance(value, Tensor):
        return {name: (tuple(value.shape), value.contiguous().cpu().numpy().tobytes())}
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, part in items for k, v in _flat(part, f"{name}/{key}").items()}
    return {name: value}
