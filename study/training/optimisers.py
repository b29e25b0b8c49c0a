"""Adam and RMSProp whose learning rates and betas are one number per member.

They follow torch.optim's formulas and its epsilon; what depends on the hyperparameters alone is computed
in float64. Parameters, gradients and state are buffers (M, P), one row per member; a member that is not
alive is not moved.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

EPSILON = 1e-8


class Optimiser(Protocol):
    """Moves parameters (M, P) along a gradient (M, P); has a state to save."""

    def step(self, gradient: Tensor, alive: Tensor) -> None: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


class Adam:
    """Adam (Kingma, Ba 2015, algorithm 1); lr, beta1, beta2 are (M,) in float64."""

    def __init__(self, parameters: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        self.parameters = parameters
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.m = torch.zeros_like(parameters)
        self.v = torch.zeros_like(parameters)
        self.steps = torch.zeros(len(parameters), device=parameters.device)

    @torch.no_grad()
    def step(self, gradient: Tensor, alive: Tensor) -> None:
        # On a CPU torch's own fused kernel, member by member, is three to five times faster than tensor
        # operations; on a GPU those serve all members at once, with no number baked into a graph.
        if self.parameters.device.type == "cpu":
            self._step_each(gradient, alive)
        else:
            self.step_all(gradient, alive)

    def _step_each(self, gradient: Tensor, alive: Tensor) -> None:
        for k in alive.nonzero().flatten().tolist():
            adam(
                [self.parameters[k]],
                [gradient[k]],
                [self.m[k]],
                [self.v[k]],
                [],
                [self.steps[k]],
                fused=True,
                amsgrad=False,
                lr=float(self.lr[k]),
                beta1=float(self.beta1[k]),
                beta2=float(self.beta2[k]),
                eps=EPSILON,
                weight_decay=0.0,
                maximize=False,
            )

    def step_all(self, gradient: Tensor, alive: Tensor) -> None:
        """The same move for all members at once, without a value read back to the host."""
        self.steps.add_(alive)
        steps = self.steps.double()
        rate = self.lr / (1 - self.beta1**steps)
        correction = (1 - self.beta2**steps).sqrt()
        self.m.lerp_(gradient, _column(1 - self.beta1, gradient))
        self.v.mul_(_column(self.beta2, gradient))
        self.v.add_(gradient.square().mul_(_column(1 - self.beta2, gradient)))
        move = self.m / self.v.sqrt().div_(_column(correction, gradient)).add_(EPSILON)
        move.mul_(_column(rate, gradient))
        self.parameters.sub_(torch.where(alive[:, None], move, 0.0))

    def state_dict(self) -> dict[str, Tensor]:
        return {"m": self.m, "v": self.v, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        _copy(self.state_dict(), state)


class RMSProp:
    """RMSProp (Hinton 2012, lecture 6e) as torch.optim.RMSprop has it: momentum beta1, alpha beta2.

    lr, beta1, beta2 are (M,) in float64.
    """

    def __init__(self, parameters: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        self.parameters = parameters
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.momentum = torch.zeros_like(parameters)
        self.v = torch.zeros_like(parameters)
        self.steps = torch.zeros(len(parameters), device=parameters.device)  # torch's function counts them

    @torch.no_grad()
    def step(self, gradient: Tensor, alive: Tensor) -> None:
        # As Adam: a row stays in the cache over the few passes, the whole buffer does not.
        if self.parameters.device.type == "cpu":
            self._step_each(gradient, alive)
        else:
            self.step_all(gradient, alive)

    def _step_each(self, gradient: Tensor, alive: Tensor) -> None:
        for k in alive.nonzero().flatten().tolist():
            rmsprop(
                [self.parameters[k]],
                [gradient[k]],
                [self.v[k]],
                [],
                [self.momentum[k]],
                [self.steps[k]],
                foreach=False,
                lr=float(self.lr[k]),
                alpha=float(self.beta2[k]),
                eps=EPSILON,
                weight_decay=0.0,
                momentum=float(self.beta1[k]),
                centered=False,
            )

    def step_all(self, gradient: Tensor, alive: Tensor) -> None:
        """The same move for all members at once, without a value read back to the host."""
        self.v.mul_(_column(self.beta2, gradient))
        self.v.add_(gradient.square().mul_(_column(1 - self.beta2, gradient)))
        self.momentum.mul_(_column(self.beta1, gradient)).add_(gradient / self.v.sqrt().add_(EPSILON))
        move = self.momentum * _column(self.lr, gradient)
        self.parameters.sub_(torch.where(alive[:, None], move, 0.0))

    def state_dict(self) -> dict[str, Tensor]:
        return {"momentum": self.momentum, "v": self.v}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        _copy(self.state_dict(), state)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(M,) -> (M, 1) in the type of `like`."""
    return values[:, None].to(like.dtype)


@torch.no_grad()
def _copy(own: dict[str, Tensor], saved: dict[str, Tensor]) -> None:
    for key, target in own.items():
        target.copy_(saved[key])


OPTIMISERS: dict[str, type[Adam] | type[RMSProp]] = {"adam": Adam, "rmsprop": RMSProp}
