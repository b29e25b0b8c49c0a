"""Adam and RMSProp whose learning rates and betas are one number per member.

They follow torch.optim's formulas and its epsilon. As there, what depends on the hyperparameters alone is
computed in float64: 1 - beta2 keeps its digits. A member that is not alive is not moved.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

EPSILON = 1e-8


class Optimiser(Protocol):
    """Moves parameters (M, ...) along gradients of the same shapes; has a state to save."""

    def step(self, gradients: Sequence[Tensor], alive: Tensor) -> None: ...

    def state_dict(self) -> dict[str, Tensor | list[Tensor]]: ...

    def load_state_dict(self, state: dict[str, Tensor | list[Tensor]]) -> None: ...


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    """(M,) -> (M, 1, ..., 1), to broadcast against a parameter of its type; bool stays bool."""
    shaped = values.view(-1, *[1] * (parameter.dim() - 1))
    return shaped if shaped.dtype == torch.bool else shaped.to(parameter.dtype)


class Adam:
    """Adam (Kingma, Ba 2015, algorithm 1); lr, beta1, beta2 are (M,) in float64."""

    def __init__(self, parameters: Sequence[Tensor], lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        self.parameters = parameters
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]
        # beta^t, kept as a tensor: no step count has to travel from the host.
        self.beta1_power = torch.ones_like(beta1)
        self.beta2_power = torch.ones_like(beta2)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        self.beta1_power.mul_(self.beta1)
        self.beta2_power.mul_(self.beta2)
        rate = self.lr / (1 - self.beta1_power)
        correction = (1 - self.beta2_power).sqrt()
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v, strict=True):
            m.lerp_(g, _like(1 - self.beta1, p))
            v.mul_(_like(self.beta2, p)).add_(g.square().mul_(_like(1 - self.beta2, p)))
            move = m / v.sqrt().div_(_like(correction, p)).add_(EPSILON)
            move.mul_(_like(rate, p))
            p.sub_(torch.where(_like(alive, p), move, 0.0))

    def state_dict(self) -> dict[str, Tensor | list[Tensor]]:
        return {
            "m": self.m,
            "v": self.v,
            "beta1_power": self.beta1_power,
            "beta2_power": self.beta2_power,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor | list[Tensor]]) -> None:
        _copy(self.state_dict(), state)


class RMSProp:
    """RMSProp (Hinton 2012, lecture 6e) as torch.optim.RMSprop has it: momentum beta1, alpha beta2.

    lr, beta1, beta2 are (M,) in float64.
    """

    def __init__(self, parameters: Sequence[Tensor], lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        self.parameters = parameters
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.momentum = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], alive: Tensor) -> None:
        for p, g, b, v in zip(self.parameters, gradients, self.momentum, self.v, strict=True):
            v.mul_(_like(self.beta2, p)).add_(g.square().mul_(_like(1 - self.beta2, p)))
            b.mul_(_like(self.beta1, p)).add_(g / v.sqrt().add_(EPSILON))
            p.sub_(torch.where(_like(alive, p), b * _like(self.lr, p), 0.0))

    def state_dict(self) -> dict[str, Tensor | list[Tensor]]:
        return {"momentum": self.momentum, "v": self.v}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor | list[Tensor]]) -> None:
        _copy(self.state_dict(), state)


def _copy(own: dict[str, Tensor | list[Tensor]], saved: dict[str, Tensor | list[Tensor]]) -> None:
    for key, target in own.items():
        source = saved[key]
        targets = target if isinstance(target, list) else [target]
        sources = source if isinstance(source, list) else [source]
        for t, s in zip(targets, sources, strict=True):
            t.copy_(s)


OPTIMISERS: dict[str, type[Adam] | type[RMSProp]] = {"adam": Adam, "rmsprop": RMSProp}
