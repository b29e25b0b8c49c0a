"""A pack's members as plain state: taken out, put back, joined, parted.

A state holds tensors (M, ...) and lists of M in nested dicts: the member dimension comes first.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from study.config import TrialConfig
from study.networks import MEMBER_DIM
from study.training.pack import Pack

ALL = slice(None)


def networks_of(pack: Pack, rows: slice = ALL) -> dict[str, Any]:
    """The networks of the members in `rows`: parameters, and what they hold beside them."""
    return {
        "generator": pack.generator.values[rows],
        "critic": pack.critic.values[rows],
        "generator_buffers": _rows(pack.generator.buffers(), rows),
        "critic_buffers": _rows(pack.critic.buffers(), rows),
    }


def state_of(pack: Pack, rows: slice = ALL) -> dict[str, Any]:
    """What training from here depends on, of the members in `rows`; not the pack's counters."""
    return {
        **networks_of(pack, rows),
        "generator_optimiser": _rows(pack.generator_optimiser.state_dict(), rows),
        "critic_optimiser": _rows(pack.critic_optimiser.state_dict(), rows),
        "streams": pack.streams.state_dict(rows),
        "watch": _rows(pack.watch.state_dict(), rows),
        "meters": {name: _rows(meter.state_dict(), rows) for name, meter in pack.meters.items()},
    }


@torch.no_grad()
def load(pack: Pack, state: dict[str, Any]) -> None:
    """Put all members of `pack` into `state`.

    Raises ValueError, before anything is changed, when `state` is of a pack of another shape.
    """
    players = ((pack.generator, "generator"), (pack.critic, "critic"))
    for player, key in players:
        if player.values.shape != state[key].shape:
            raise ValueError(f"the {key} has another shape")
    for player, key in players:
        player.values.copy_(state[key])
        player.load_buffers(state.get(f"{key}_buffers", {}))  # checkpoints of early versions have none
    pack.generator_optimiser.load_state_dict(state["generator_optimiser"])
    pack.critic_optimiser.load_state_dict(state["critic_optimiser"])
    pack.streams.load_state_dict(state["streams"])
    pack.watch.load_state_dict(state["watch"])
    for name, meter in pack.meters.items():
        meter.load_state_dict(state["meters"][name])


def joined(states: Sequence[Any]) -> Any:
    """The state of all members, from those of some."""
    if isinstance(states[0], dict):
        return {key: joined([state[key] for state in states]) for key in states[0]}
    if isinstance(states[0], Tensor):
        return torch.cat(list(states), MEMBER_DIM)
    return [entry for state in states for entry in state]


def room_for(packs: Sequence[Pack]) -> Pack:
    """A pack with room for the members of all, in their order, its weights undefined.

    Raises ValueError when they differ in shape key, study seed or precision.
    """
    first = packs[0]
    if any(p.study_seed != first.study_seed or p.precision != first.precision for p in packs):
        raise ValueError("packs that train together need the same study seed and precision")
    configs = [config for pack in packs for config in pack.configs]
    return _room(first, configs, [seed for pack in packs for seed in pack.seeds])


def member(pack: Pack, k: int) -> Pack:
    """Member k as a pack of its own, as it now is."""
    rows = slice(k, k + 1)
    alone = _room(pack, pack.configs[rows], pack.seeds[rows])
    load(alone, state_of(pack, rows))
    alone.generator.refresh()
    alone.critic.refresh()
    return alone


def _room(like: Pack, configs: Sequence[TrialConfig], seeds: Sequence[int]) -> Pack:
    """A pack for other members, all else as in `like`, its weights undefined."""
    study_seed, shape = like.study_seed, like.sample_shape
    return Pack(configs, seeds, study_seed, shape, like.device, like.precision, drawn=False)


def _rows(state: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {key: values[rows] for key, values in state.items()}
