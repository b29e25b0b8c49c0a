"""Iteration after iteration: eagerly, or as one CUDA graph that is captured once and replayed.

A graph replays kernels with the addresses and the numbers they had at capture. So whatever changes lives
in tensors that stay where they are: draws, parameters, optimiser states, counters, who is alive.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from study.training.pack import Pack
from study.training.step import iteration

WARM_UP = 3  # iterations before capture: libraries choose their kernels and allocate their workspace


class Recorder(Protocol):
    """What captures work on a device."""

    def apart(self) -> AbstractContextManager[None]:
        """A context for work before capture."""
        ...

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture `work` without doing it; the result does it."""
        ...


class CudaRecorder:
    """CUDA graphs on the current device."""

    @contextmanager
    def apart(self) -> Iterator[None]:
        """On a side stream, as capture asks for."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream().wait_stream(stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay


class EagerIterations:
    """Calls make one iteration of `pack` on `data` (N, ...) each."""

    def __init__(self, pack: Pack, data: Tensor) -> None:
        self.pack, self.data = pack, data

    def __call__(self) -> None:
        iteration(self.pack, self.data, self.pack.streams.draw(len(self.data)))
        self.pack.count_iteration()


class CapturedIterations:
    """The same iterations: the first few eagerly, then captured, then replayed."""

    def __init__(self, pack: Pack, data: Tensor, recorder: Recorder) -> None:
        self.pack, self.data, self.recorder = pack, data, recorder
        self._made = 0
        self._replay: Callable[[], None] | None = None

    def __call__(self) -> None:
        draws = self.pack.streams.draw(len(self.data))  # into the same tensors each time

        def work() -> None:
            iteration(self.pack, self.data, draws)

        if self._made < WARM_UP:
            with self.recorder.apart():
                work()
        else:
            if self._replay is None:
                self._replay = self.recorder.record(work)
            self._replay()
        self._made += 1
        self.pack.count_iteration()


def iterations_of(pack: Pack, data: Tensor) -> EagerIterations | CapturedIterations:
    """What advances `pack` by an iteration a call, in the way that is fastest on its device."""
    if pack.device.type == "cuda" and not pack.model.has_own_networks:
        return CapturedIterations(pack, data, CudaRecorder())
    return EagerIterations(pack, data)
