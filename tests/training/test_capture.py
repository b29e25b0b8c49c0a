"""Captured iterations are the eager ones, bit for bit: all that changes lives in tensors that stay put.

A CPU has no graphs, so a tape stands in: it notes every kernel of the work with the tensors and numbers
that it was given, and replays exactly those. A number that the host computed is baked in, as in a graph.
"""

import copy
import math
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
from study.training.divergence import Divergence, DivergenceWatch
from study.training.optimisers import Adam, RMSProp
from study.training.pack import Pack
from study.training.schedule import schedule
from study.training.trainer import Due, Trainer, carry_out

MakePack = Callable[..., Pack]
Data = Callable[[str], Tensor]
Everything = Callable[[Any], dict[str, object]]
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


@pytest.fixture
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


@pytest.mark.usefixtures("_steps_of_gpus")
def test_captured_iterations_are_the_eager_ones_bit_for_bit(
    case: tuple[str, str], precision: str, make_pack: MakePack, training_data: Data, everything: Everything
) -> None:
    data = training_data(case[1])
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
    found, expected = (pack.watch.divergences(pack.config.batch_size) for pack in reversed(twins))
    assert found == expected
    assert [divergence is None for divergence in found] == [True, False, True, True]


@pytest.mark.usefixtures("_steps_of_gpus")
def test_a_nan_planted_after_the_capture_ends_its_member_at_the_same_update(
    case: tuple[str, str], make_pack: MakePack, training_data: Data, everything: Everything
) -> None:
    data = training_data(case[1])
    twins = [make_pack(*case) for _ in range(2)]
    for pack, way in zip(twins, WAYS, strict=True):
        iterate = way(pack, data)
        repeat(iterate, 6)
        pack.generator.parameters[-1][2].view(-1)[0] = math.nan
        repeat(iterate, 4)
    assert everything(twins[1]) == everything(twins[0])
    config = twins[1].config
    shown = (6 * config.n_critic + 1) * config.batch_size / 1000
    assert twins[1].watch.divergences(config.batch_size)[2] == Divergence(shown, "non-finite critic loss")


@pytest.mark.usefixtures("_steps_of_gpus")
def test_the_first_iterations_are_eager_then_one_is_captured_and_replayed(
    make_pack: MakePack, training_data: Data
) -> None:
    pack = make_pack("wgan_gp", "points")
    recorder = TapeRecorder(pack)
    iterate = CapturedIterations(pack, training_data("points"), recorder)
    repeat(iterate, WARM_UP)
    assert (recorder.apart_from_capture, recorder.captures, recorder.replays) == (WARM_UP, 0, 0)
    repeat(iterate, 5)
    assert (recorder.apart_from_capture, recorder.captures, recorder.replays) == (WARM_UP, 1, 5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("_steps_of_gpus")
def test_updates_are_counted(
    way: Callable[[Pack, Tensor], Callable[[], None]], make_pack: MakePack, training_data: Data
) -> None:
    pack = make_pack("wgan_gp", "points", n_critic=3)
    iterate = way(pack, training_data("points"))
    for i in range(1, 8):
        iterate()
        assert (pack.critic_updates, pack.generator_updates) == (3 * i, i)


@pytest.mark.usefixtures("_steps_of_gpus")
def test_a_resumed_pack_is_captured_anew_and_goes_on_bit_for_bit(
    case: tuple[str, str], make_pack: MakePack, training_data: Data, everything: Everything, tmp_path: Path
) -> None:
    data = training_data(case[1])
    whole, first, resumed = (make_pack(*case, beta1=0.5) for _ in range(3))
    repeat(EagerIterations(whole, data), 12)
    repeat(captured(first, data), 6)
    checkpoint.save(first, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    repeat(captured(resumed, data), 6)
    assert everything(resumed) == everything(whole)


@pytest.mark.usefixtures("_steps_of_gpus")
def test_a_checkpoint_loaded_under_a_capture_is_where_replays_go_on(
    case: tuple[str, str], make_pack: MakePack, training_data: Data, everything: Everything, tmp_path: Path
) -> None:
    data = training_data(case[1])
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


@pytest.mark.usefixtures("_steps_of_gpus")
@pytest.mark.parametrize(("model", "kind"), [("dcgan", "images"), ("wgan_gp", "points")])
def test_the_loop_does_the_same_with_captured_iterations(
    model: str,
    kind: str,
    make_pack: MakePack,
    training_data: Data,
    everything: Everything,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = training_data(kind)
    seen: list[list[dict[str, object]]] = []
    packs = [make_pack(model, kind, n_critic=2, batch_size=10) for _ in range(2)]
    for pack, way in zip(packs, WAYS, strict=True):
        monkeypatch.setattr("study.training.trainer.iterations_of", way)
        seen.append([])
        for progress in carry_out(schedule(pack, data, kimg=0.3, eval_kimg=0.1)):
            pack.sample(5)
            seen[-1].append({**vars(progress), "train_seconds": None, "means": repr(progress.means)})
    assert seen[1] == seen[0]
    assert everything(packs[1]) == everything(packs[0])


@pytest.mark.usefixtures("_steps_of_gpus")
def test_packs_that_train_together_do_the_same_with_captured_iterations(
    make_pack: MakePack, training_data: Data, everything: Everything, monkeypatch: pytest.MonkeyPatch
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


def test_on_a_cpu_iterations_are_eager(make_pack: MakePack, training_data: Data) -> None:
    iterate = iterations_of(make_pack("wgan_gp", "points"), training_data("points"))
    assert isinstance(iterate, EagerIterations)


# The tape sees what a graph would not forgive.


def is_the_same(make_pack: MakePack, data: Tensor, everything: Everything) -> bool:
    """Whether a member is trained and, once it is dead, frozen as it is eagerly."""
    states = []
    for way in WAYS:
        pack = make_pack("dcgan", "points")
        iterate = way(pack, data)
        repeat(iterate, 6)
        pack.watch.alive[2] = False
        repeat(iterate, 2)
        states.append(everything(pack))
    return states[0] == states[1]


@pytest.mark.usefixtures("_steps_of_gpus")
def test_the_tape_sees_nothing_wrong_where_nothing_is(
    make_pack: MakePack, training_data: Data, everything: Everything
) -> None:
    assert is_the_same(make_pack, training_data("points"), everything)


def test_the_tape_shows_a_number_that_the_host_counts(
    make_pack: MakePack, training_data: Data, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted_by_the_host(self: Adam, gradient: Tensor, alive: Tensor) -> None:
        made = self.__dict__["made"] = self.__dict__.get("made", 0) + 1
        self.steps.fill_(made - 1)
        self.step_all(gradient, alive)

    monkeypatch.setattr(Adam, "step", counted_by_the_host)
    assert not is_the_same(make_pack, training_data("points"), everything)


@pytest.mark.usefixtures("_steps_of_gpus")
def test_the_tape_shows_a_tensor_that_is_replaced(
    make_pack: MakePack, training_data: Data, everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self: DivergenceWatch, finite: Tensor, reason: str) -> Tensor:
        del reason
        self.alive = self.alive & finite
        return self.alive

    monkeypatch.setattr(DivergenceWatch, "check", check)
    assert not is_the_same(make_pack, training_data("points"), everything)


def test_the_tape_refuses_a_number_that_the_host_reads(make_pack: MakePack, training_data: Data) -> None:
    # Of the optimisers' steps for CPUs: each member's own, as far as it is alive.
    iterate = captured(make_pack("dcgan", "points"), training_data("points"))
    repeat(iterate, WARM_UP)
    with pytest.raises(RuntimeError, match="not permitted in a capture"):
        iterate()
