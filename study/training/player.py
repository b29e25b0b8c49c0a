"""One player of M members: its float32 parameters in one buffer, and the network that computes with copies.

Optimiser, clipping, divergence check and checkpoint see the buffer (M, P) and are a handful of kernels
each; the network's copies have the type and the memory layout that its own kernels want.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from study.machine.arithmetic import true_float32
from study.networks.layers import MemberBatchNorm2d
from study.networks.ordinary import Ordinary
from study.networks.parts import MEMBER_DIM, InParts

Network = TypeVar("Network", bound=nn.Module)


class Player(Generic[Network]):
    """A generator or a critic.

    Attributes:
        network: computes with copies of the parameters; `refresh` brings them up to date.
        values: (M, P), every member's parameters in the type they were initialised in.
        parameters: views of `values` with the shapes of the network's parameters, (M, ...); of a network
            in parts (m, ...), part by part.
    """

    def __init__(self, network: Network, device: torch.device, compute_type: torch.dtype) -> None:
        network.to(device)
        self.network = network
        self.weights = list(network.parameters())
        self._parts: list[nn.Module] = list(network.parts) if isinstance(network, InParts) else [network]
        own = [[p.detach() for p in part.parameters()] for part in self._parts]
        self.values = torch.cat(
            [torch.cat([_in_memory_order(p).reshape(len(p), -1) for p in part], 1) for part in own],
            MEMBER_DIM,
        )
        self.parameters = _views(self.values, own)
        self._gradient = torch.zeros_like(self.values)
        self._gradients = _views(self._gradient, own)
        if isinstance(network, Ordinary):
            return  # which computes in the type, and with the memory layout, that the user's module expects
        for module in network.modules():
            exact = isinstance(module, MemberBatchNorm2d) or getattr(module, "exact", False)
            for parameter in module.parameters(recurse=False):
                copy = _from_memory_order(_in_memory_order(parameter.detach()).contiguous())
                parameter.data = copy if exact else copy.to(compute_type)

    def refresh(self) -> None:
        """Copy the parameters into the network."""
        with torch.no_grad():
            for weight, parameter in zip(self.weights, self.parameters, strict=True):
                weight.copy_(parameter)

    @contextmanager
    def exact(self) -> Iterator[Network]:
        """The network in evaluation mode, with the parameters themselves for copies in its own type."""
        training, computed = self.network.training, [weight.data for weight in self.weights]
        for weight, parameter in zip(self.weights, self.parameters, strict=True):
            weight.data = torch.empty_like(weight, dtype=parameter.dtype).copy_(parameter)
        try:
            with true_float32():
                yield self.network.eval()
        finally:
            for weight, data in zip(self.weights, computed, strict=True):
                weight.data = data
            self.network.train(training)

    def buffers(self) -> dict[str, Tensor]:
        """What the network holds beside parameters, by name, (M, ...): statistics of batch norm, say."""
        parts = [dict(part.named_buffers()) for part in self._parts]
        return {name: torch.cat([part[name] for part in parts], MEMBER_DIM) for name in parts[0]}

    def load_buffers(self, buffers: Mapping[str, Tensor]) -> None:
        sizes = [len(next(part.parameters())) for part in self._parts]
        for name, values in buffers.items():
            for part, own in zip(self._parts, values.split(sizes, MEMBER_DIM), strict=True):
                dict(part.named_buffers())[name].copy_(own)

    def gradient(self, loss: Tensor) -> Tensor:
        """The gradient of `loss` (M,), summed, with respect to the parameters: (M, P), as `values`.

        It is overwritten by the next call.
        """
        found = torch.autograd.grad(loss.sum(), self.weights, allow_unused=True, materialize_grads=True)
        for own, gradient in zip(self._gradients, found, strict=True):
            own.copy_(gradient)
        return self._gradient


def parted(values: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """One member's row of `Player.values`, (P,), as parameters of one network, with the shapes of `like`."""
    return [own[0] for own in _views(values[None], [[parameter[None] for parameter in like]])]


def _views(buffer: Tensor, like: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The blocks of `buffer` (M, P) with the shapes of `like`: by part, those of (m, ...)."""
    views = []
    for rows, part in zip(buffer.split([len(part[0]) for part in like], MEMBER_DIM), like, strict=True):
        blocks = rows.split([p[0].numel() for p in part], 1)
        views += [
            _from_memory_order(block.view(_in_memory_order(p).shape))
            for block, p in zip(blocks, part, strict=True)
        ]
    return views


def _in_memory_order(parameter: Tensor) -> Tensor:
    """The weights of a 2-D convolution, (M, ..., ..., height, width), with channels last."""
    return parameter.permute(0, 1, 3, 4, 2) if parameter.dim() == 5 else parameter


def _from_memory_order(parameter: Tensor) -> Tensor:
    return parameter.permute(0, 1, 4, 2, 3) if parameter.dim() == 5 else parameter
