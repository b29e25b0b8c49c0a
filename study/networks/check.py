"""A look at the losses and networks that a user's model brings, before anything is created."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from study.config import TrialConfig
from study.errors import UserError, last_line
from study.models import CRITIC, GENERATOR, Model
from study.networks.ordinary import Blueprint, blueprint, stacks

BATCH = MEMBERS = 2


def check_losses(model: Model, config: TrialConfig) -> None:
    """Try the losses of `model` on scores of two members. Raises UserError: wrong shapes, mixed members."""
    own = {name: torch.full((MEMBERS,), float(getattr(config, name))) for name in config.per_member}
    values = SimpleNamespace(**{**config.to_dict(), **own})
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(MEMBERS, BATCH, generator=generator).requires_grad_() for _ in range(2))
    losses: dict[str, tuple[Callable[..., Any], list[Tensor]]] = {
        CRITIC: (model.critic_loss, [real, fake]),
        GENERATOR: (model.generator_loss, [fake]),
    }
    for player, (function, arguments) in losses.items():
        name = f"the {player}_loss of {model.name}"
        with _told(f"{name} can't be computed"):
            loss = function(*arguments, values)
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        if found != (MEMBERS,):
            raise UserError(f"{name} must give one value per member, {(MEMBERS,)} for two, and gives {found}")
        with _told(f"{name} has no gradient"):
            gradients = torch.autograd.grad(loss[0], arguments, allow_unused=True)
        if any(gradient is not None and gradient[1:].any() for gradient in gradients):
            raise UserError(f"{name} mixes members: take means over dimension 1 alone")


def check_networks(model: Model, latent_dim: int, sample_shape: tuple[int, ...]) -> list[str]:
    """Try what `model` brings on one batch; say how the members of each network are computed.

    Raises:
        UserError: a network has another shape, can't be trained, or raises an exception of its own.
    """
    said = []
    for player in (GENERATOR, CRITIC):
        own = blueprint(model, player, latent_dim, sample_shape)
        if own is not None:
            name = f"the {player} of {model.name}"
            _check(own, name)
            how = "at once, by torch.func" if stacks(own) else "one after another"
            said.append(f"{name}: members are computed {how}")
    return said


def _check(blueprint: Blueprint, name: str) -> None:
    shape = blueprint.out_shape if blueprint.player == GENERATOR else blueprint.in_shape
    with _told(f"{name} can't be built for samples {shape}"):
        network, again = (blueprint.build(seed=0) for _ in range(2))
    if not isinstance(network, nn.Module):
        raise UserError(f"{name} must be a torch.nn.Module, and is {network!r}")
    if any(isinstance(module, LazyModuleMixin) for module in network.modules()):
        raise UserError(f"{name} has lazy layers: give them their sizes")
    parameters = dict(network.named_parameters())
    for parameter, values in parameters.items():
        if not values.requires_grad:
            raise UserError(f"{name}: {parameter} takes no gradient; a constant must be a buffer")
        if values.dtype != torch.get_default_dtype():
            raise UserError(f"{name}: {parameter} is of {values.dtype}, not {torch.get_default_dtype()}")
    if not parameters:
        raise UserError(f"{name} has no parameters to train")
    first, second = network.state_dict(), again.state_dict()
    same = first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    if network is again or not same:
        raise UserError(
            f"{name} must be a new module each time, its weights drawn by torch: seeds repeat them"
        )
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if norms and blueprint.penalised:
        raise UserError(
            f"{name} has batch norm ({type(norms[0]).__name__}), which mixes samples: a penalty on its "
            "gradient needs a critic without"
        )
    x = torch.randn(BATCH, *blueprint.in_shape, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        with _told(f"{name} can't be called with {tuple(x.shape)}"):
            out = network(x.requires_grad_(blueprint.penalised))
        expected = [(BATCH, *blueprint.out_shape), (BATCH, 1)][: 2 if blueprint.player == CRITIC else 1]
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        if found not in expected:
            shapes = " or ".join(map(str, expected))
            raise UserError(f"{name} must turn {tuple(x.shape)} into {shapes}, and gives {found}")
        if out.dtype != x.dtype:
            raise UserError(f"{name} must give {x.dtype}, and gives {out.dtype}")
        if not out.requires_grad:
            raise UserError(f"{name} gives what no gradient can go through")
        with _told(f"{name} has no gradient"):
            loss = out.sum()
            if blueprint.penalised:
                loss = loss + torch.autograd.grad(loss, x, create_graph=True)[0].square().sum()
            gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise UserError(f"{name} gives what does not depend on its parameters")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """An exception in the user's code is one sentence."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{what}: {last_line(error)}") from error
