"""Adam and RMSProp whose learning rates and betas are one number per member.

They follow torch.optim's formulas and its epsilon; what depends on the hyperparameters alone is computed
in float64. Parameters, gradients and state are buffers (M, P), one row per member; a member that is not
alive is not moved.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop

EPSILON = 1e-8


class Optimiser(ABC):
    """Moves parameters (M, P) along a gradient (M, P); has a state to save."""

    parameters: Tensor

    @torch.no_grad()
    def step(self, gradient: Tensor, alive: Tensor) -> None:
        """Move the members that are `alive` (M,) bool."""
        # On a CPU torch's own kernels, a row at a time, are several times faster than tensor operations on
        # the buffer; on a GPU those serve all members at once, with no number baked into a graph.
        if self.parameters.device.type == "cpu":
            for k in alive.nonzero().flatten().tolist():
                self.step_one(k, gradient[k])
        else:
            self.step_all(gradient, alive)

    @abstractmethod
    def step_one(self, k: int, gradient: Tensor) -> None:
        """Move member k along its gradient (P,)."""

    @abstractmethod
    def step_all(self, gradient: Tensor, alive: Tensor) -> None:
        """The same move for all members at once, without a value read back to the host."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]: ...

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for key, own in self.state_dict().items():
            own.copy_(state[key])


class Adam(Optimiser):
    """Adam (Kingma, Ba 2015, algorithm 1); lr, beta1, beta2 are (M,) in float64."""

    def __init__(self, parameters: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        self.parameters = parameters
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.m = torch.zeros_like(parameters)
        self.v = torch.zeros_like(parameters)
        self.steps = torch.zeros(len(parameters), device=parameters.device)

    def step_one(self, k: int, gradient: Tensor) -> None:
        adam(
            [self.parameters[k]],
            [gradient],
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


class RMSProp(Optimiser):
    """RMSProp (Hinton 2012, lecture 6e) as torch.optim.RMSprop has it: momentum beta1, alpha beta2.

    lr, beta1, beta2 are (M,) in float64.
    """

    def __init__(self, parameters: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        self.parameters = parameters
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.momentum = torch.zeros_like(parameters)
        self.v = torch.zeros_like(parameters)
        self.steps = torch.zeros(len(parameters), device=parameters.device)  # torch's function counts them

    def step_one(self, k: int, gradient: Tensor) -> None:
        rmsprop(
            [self.parameters[k]],
            [gradient],
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
        self.v.mul_(_column(self.beta2, gradient))
        self.v.add_(gradient.square().mul_(_column(1 - self.beta2, gradient)))
        self.momentum.mul_(_column(self.beta1, gradient)).add_(gradient / self.v.sqrt().add_(EPSILON))
        move = self.momentum * _column(self.lr, gradient)
        self.parameters.sub_(torch.where(alive[:, None], move, 0.0))

    def state_dict(self) -> dict[str, Tensor]:
        return {"momentum": self.momentum, "v": self.v}


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(M,) -> (M, 1) in the type of `like`."""
    return values[:, None].to(like.dtype)


OPTIMISERS: dict[str, type[Adam] | type[RMSProp]] = {"adam": Adam, "rmsprop": RMSProp}
