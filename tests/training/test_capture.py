"""Captured iterations are the eager ones, bit for bit: all that changes lives in tensors that stay put.

A CPU has no graphs, so a tape stands in: it notes every kernel of the work with the tensors and numbers
that it was given, and replays exactly those. A number that the host computed is baked in, as in a graph.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from study.training import checkpoint
from study.training.capture import WARM_UP, CapturedIterations, EagerIterations, iterations_of
from study.training.optimisers import Adam, RMSProp
from study.training.pack import Pack
from study.training.schedule import schedule
from study.training.trainer import Due, Trainer, carry_out
from tests.packs import Case, everything, make_pack, training_data, without_clock

READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}


def tensors_in(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def places_of(tree: Any) -> set[int]:
    return {t.untyped_storage().data_ptr() for t in tensors_in(tree)}


class Tape(TorchDispatchMode):
    """Notes every kernel while it runs; `replay` runs them again on the same tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor | None]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func in READS:
            raise RuntimeError(f"{func} reads a value back to the host: not permitted in a capture")
        kwargs = kwargs or {}
        given = places_of((args, kwargs))
        result = func(*args, **kwargs)
        # What shares memory with an argument was written in place or is a view: there is nothing to copy.
        fresh = [None if places_of(t) & given else t for t in tensors_in(result)]
        self.calls.append((func, args, kwargs, fresh))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, fresh in self.calls:
            result = func(*args, **kwargs)
            for place, value in zip(fresh, tensors_in(result), strict=True):
                if place is not None:
                    place.copy_(value)


class TapeRecorder:
    """Captures work on a CPU; like a graph's, its capture changes nothing."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.apart_from_capture = self.captures = self.replays = 0

    @contextmanager
    def apart(self) -> Iterator[None]:
        self.apart_from_capture += 1
        yield

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1
        before = copy.deepcopy(checkpoint.state_of(self.pack))
        with Tape() as tape:
            work()
        checkpoint.restore(self.pack, before)

        def replay() -> None:
            self.replays += 1
            tape.replay()

        return replay


@pytest.fixture(autouse=True)
def _steps_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, too, optimisers step as on a GPU: the host reads no number."""
    for kind in (Adam, RMSProp):
        monkeypatch.setattr(kind, "step", kind.step_all)


def captured(pack: Pack, data: Tensor) -> CapturedIterations:
    return CapturedIterations(pack, data, TapeRecorder(pack))


WAYS: list[Callable[[Pack, Tensor], Callable[[], None]]] = [EagerIterations, captured]


def repeat(iterate: Callable[[], None], times: int) -> None:
    for _ in range(times):
        iterate()


def test_captured_iterations_are_the_eager_ones_bit_for_bit(case: Case, data: Tensor, precision: str) -> None:
    twins = [make_pack(*case, precision=precision, beta1=0.5) for _ in range(2)]
    eager, replayed = EagerIterations(twins[0], data), captured(twins[1], data)
    for i in range(14):
        eager()
        replayed()
        assert everything(twins[1]) == everything(twins[0])
        if i == 6:
            assert all(pack.watch.alive.all() for pack in twins)
            # Long after the capture a member's learning rates explode.
            for pack in twins:
                for optimiser in (pack.generator_optimiser, pack.critic_optimiser):
                    assert isinstance(optimiser, Adam | RMSProp)
                    optimiser.lr[1] = 1e30
    assert twins[1].watch.alive.tolist() == [True, False, True, True]


def test_the_first_iterations_are_eager_then_one_is_captured_and_replayed() -> None:
    recorder = TapeRecorder(make_pack("wgan_gp", "points"))
    iterate = CapturedIterations(recorder.pack, training_data("points"), recorder)
    for calls, expected in ((WARM_UP, (WARM_UP, 0, 0)), (5, (WARM_UP, 1, 5))):
        repeat(iterate, calls)
        assert (recorder.apart_from_capture, recorder.captures, recorder.replays) == expected


def test_a_checkpoint_loaded_under_a_capture_is_where_replays_go_on(
    case: Case, data: Tensor, tmp_path: Path
) -> None:
    pack = make_pack(*case, beta1=0.5)
    iterate = captured(pack, data)
    repeat(iterate, 5)
    checkpoint.save(pack, tmp_path / "pack.pt")
    repeat(iterate, 3)
    expected = everything(pack)
    repeat(iterate, 2)
    checkpoint.load(pack, tmp_path / "pack.pt")
    repeat(iterate, 3)
    assert everything(pack) == expected


@pytest.mark.parametrize(("model", "kind"), [("dcgan", "images"), ("wgan_gp", "points")])
def test_the_loop_does_the_same_with_captured_iterations(
    model: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[object]] = []
    for way in WAYS:
        monkeypatch.setattr("study.training.trainer.iterations_of", way)
        pack = make_pack(model, kind, n_critic=2, batch_size=10)
        seen.append([])
        for progress in carry_out(schedule(pack, training_data(kind), kimg=0.3, eval_kimg=0.1)):
            pack.sample(5)
            seen[-1] += [without_clock(progress), everything(pack)]
    assert seen[1] == seen[0]


def test_packs_that_train_together_do_the_same_with_captured_iterations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, states = training_data("points"), []
    for way in WAYS:
        monkeypatch.setattr("study.training.trainer.iterations_of", way)
        packs = [make_pack("wgan_gp", "points", seeds=(0, 1), n_critic=1, batch_size=10) for _ in range(2)]
        trainer = Trainer()
        for images in (50, 100):  # captured in the first interval; the second brings new states
            trainer.train([Due(pack, data, images) for pack in packs])
            packs[0].generator.values[0].mul_(0.5)
        states.append([everything(pack) for pack in packs])
    assert states[1] == states[0]


def test_on_a_cpu_iterations_are_eager() -> None:
    iterate = iterations_of(make_pack("wgan_gp", "points"), training_data("points"))
    assert isinstance(iterate, EagerIterations)
