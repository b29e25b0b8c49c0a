"""Ordinary networks, (B, ...) to (B, ...), as a user's model brings them, held for M members.

Parameters and buffers are stacked, (M, ...). Members are computed at once by torch.func where that gives
what the module itself gives, else one after another.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from study.models import CRITIC, GENERATOR, Model
from study.networks.parts import MEMBER_DIM
from study.seeds import derive_seed


@dataclass(frozen=True)
class Blueprint:
    """How one player's network is made.

    Attributes:
        function, arguments: what returns a new module, with weights from torch's global generator.
        in_shape, out_shape: of one sample that goes in and comes out; () for a score.
        penalised: its loss has gradients with respect to what goes in.
    """

    player: str
    function: Callable[..., nn.Module]
    arguments: tuple[object, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    penalised: bool

    def build(self, seed: int) -> nn.Module:
        """A module whose weights are drawn from `seed`; torch's global generators stay as they were."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would change those of GPUs, too
            return self.function(*self.arguments)


def blueprint(model: Model, player: str, latent_dim: int, sample_shape: tuple[int, ...]) -> Blueprint | None:
    """Of the network that `model` brings for a player; None where it takes the package's."""
    if player == GENERATOR and model.generator is not None:
        arguments = (latent_dim, sample_shape)
        return Blueprint(player, model.generator, arguments, (latent_dim,), sample_shape, False)
    if player == CRITIC and model.critic is not None:
        return Blueprint(player, model.critic, (sample_shape,), sample_shape, (), model.penalty is not None)
    return None


class Ordinary(nn.Module):
    """(M, B, *in_shape) -> (M, B, *out_shape).

    Attributes:
        module: one member's module, of which parameters and buffers are those of all members, (M, ...).
        stacked: whether torch.func computes the members at once.
    """

    calls: Tensor

    def __init__(self, blueprint: Blueprint, seeds: Sequence[int], stacked: bool) -> None:
        """`seeds`: a member's weights, and what its layers draw (dropout), come from its own."""
        super().__init__()
        modules = [blueprint.build(seed) for seed in seeds]
        self.module, self.stacked = modules[0], stacked
        self._out_shape, self._seeds = blueprint.out_shape, tuple(seeds)
        for kind in ("parameters", "buffers"):
            each = [dict(getattr(module, f"named_{kind}")()) for module in modules]
            for name, tensor in each[0].items():
                tensor.data = torch.stack([own[name].detach() for own in each])
        # How often each member was called in training: what its layers draw depends on it.
        self.register_buffer("calls", torch.zeros(len(seeds), dtype=torch.int64))
        self._judged = 0  # calls in evaluation mode

    def forward(self, x: Tensor, batches: int = 1) -> Tensor:
        """`x` may be several batches of one size, each of them a call of the module."""
        return torch.cat([self._call(batch) for batch in x.chunk(batches, 1)], 1)

    def input_gradient(self, samples: Tensor) -> Tensor:
        """Of a critic: each score's gradient with respect to its own sample, (M, B, ...)."""
        with torch.enable_grad():
            samples = samples.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(samples).sum(), samples, create_graph=True)
        return gradient

    def train(self, mode: bool = True) -> "Ordinary":
        self._judged = 0
        return super().train(mode)

    def judge(self) -> "Ordinary":
        """Evaluation mode, in which batch norm still takes each batch's statistics."""
        self.eval()
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.train()
        return self

    def _call(self, x: Tensor) -> Tensor:
        parameters, buffers = dict(self.module.named_parameters()), dict(self.module.named_buffers())
        if self.stacked:
            out = vmap(lambda *own: functional_call(self.module, own[:2], own[2]))(parameters, buffers, x)
        else:
            rows = zip(*(p.unbind(MEMBER_DIM) for p in parameters.values()), strict=True)
            own = [dict(zip(parameters, row, strict=True)) for row in rows]
            out = torch.stack([self._member(k, own[k], buffers, x[k]) for k in range(len(x))])
            if self.training:
                self.calls += 1
            else:
                self._judged += 1
        return out.reshape(*x.shape[:2], *self._out_shape)

    def _member(self, k: int, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        # Clones: the next call, in place, must not change what this one keeps for its gradient.
        own = {**parameters, **{name: values[k].clone() for name, values in buffers.items()}}
        mode = ("training", int(self.calls[k])) if self.training else ("evaluation", self._judged)
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(derive_seed(self._seeds[k], *mode))
            out: Tensor = functional_call(self.module, own, x)  # `own` now has the buffers as it left them
        with torch.no_grad():
            for name, values in buffers.items():
                values[k].copy_(own[name])
        return out


@cache
def stacks(blueprint: Blueprint) -> bool:
    """Whether torch.func computes two members at once as the module itself computes one after the other:
    results, gradients, and buffers after two batches in training mode; results in evaluation mode.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch.func warns of what it does slowly
            found, expected = _outcome(blueprint, stacked=True), _outcome(blueprint, stacked=False)
    except Exception:
        return False
    differences = [(a - b).norm() / (1 + b.norm()) for a, b in zip(found, expected, strict=True)]
    return all(difference.item() < 1e-3 for difference in differences)


def _outcome(blueprint: Blueprint, *, stacked: bool) -> list[Tensor]:
    network = Ordinary(blueprint, (0, 1), stacked)
    x = torch.randn(2, 8, *blueprint.in_shape, generator=torch.Generator().manual_seed(0))
    out = network(x, batches=2)
    loss = out.square().mean()
    if blueprint.penalised:
        loss = loss + network.input_gradient(x).square().mean()
    weights = list(network.parameters())
    gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    buffers = [values.detach().double() for values in network.module.buffers()]
    with torch.no_grad():
        return [out, *gradients, *buffers, network.eval()(x)]
