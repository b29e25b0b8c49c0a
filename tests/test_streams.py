"""Random streams: one per member and purpose, the same in every pack and after a restore."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from study.seeds import derive_seed
from study.training.streams import PURPOSES, Streams, generator_for

CPU = torch.device("cpu")
DRAWS: dict[str, Callable[[Streams], Tensor]] = {
    "data": lambda streams: streams.indices(6, 50),
    "critic noise": lambda streams: streams.latents("critic noise", 6, 3),
    "generator noise": lambda streams: streams.latents("generator noise", 6, 3),
    "penalty": lambda streams: streams.epsilon(6),
}
each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


def test_every_purpose_is_drawn_here() -> None:
    assert tuple(DRAWS) == PURPOSES


def test_a_stream_is_torchs_generator_of_the_derived_seed() -> None:
    expected = torch.Generator().manual_seed(derive_seed(7, 3, "penalty"))
    first = torch.rand(6, generator=expected)
    second = torch.rand(6, generator=expected)
    streams = Streams(7, [1, 3], CPU)
    assert torch.equal(streams.epsilon(6)[1], first)
    assert torch.equal(streams.epsilon(6)[1], second)


@each_draw
def test_a_member_draws_the_same_in_every_pack(draw: Callable[[Streams], Tensor]) -> None:
    alone, packed = Streams(7, [3], CPU), Streams(7, [0, 3, 9], CPU)
    for _ in range(3):
        assert torch.equal(draw(alone)[0], draw(packed)[1])


@each_draw
def test_members_draw_differently(draw: Callable[[Streams], Tensor]) -> None:
    values = draw(Streams(7, [0, 1], CPU))
    assert not torch.equal(values[0], values[1])


@each_draw
def test_the_study_seed_counts(draw: Callable[[Streams], Tensor]) -> None:
    assert not torch.equal(draw(Streams(7, [0], CPU)), draw(Streams(8, [0], CPU)))


@each_draw
def test_a_purpose_does_not_disturb_the_others(draw: Callable[[Streams], Tensor]) -> None:
    quiet, busy = Streams(7, [0, 1], CPU), Streams(7, [0, 1], CPU)
    for other in DRAWS.values():
        if other is not draw:
            other(busy)
    assert torch.equal(draw(quiet), draw(busy))


def test_critic_and_generator_noise_differ() -> None:
    streams = Streams(7, [0], CPU)
    assert not torch.equal(DRAWS["critic noise"](streams), DRAWS["generator noise"](streams))


@each_draw
def test_a_restored_stream_goes_on_where_it_was(draw: Callable[[Streams], Tensor]) -> None:
    streams = Streams(7, [0, 1], CPU)
    draw(streams)
    saved = streams.state_dict()
    expected = [draw(streams) for _ in range(3)]
    restored = Streams(99, [5, 6], CPU)
    restored.load_state_dict(saved)
    assert all(torch.equal(draw(restored), value) for value in expected)


@each_draw
def test_draws_leave_the_global_generator_alone(draw: Callable[[Streams], Tensor]) -> None:
    before = torch.get_rng_state()
    streams = Streams(7, [0, 1], CPU)
    draw(streams)
    assert torch.equal(torch.get_rng_state(), before)


@each_draw
def test_the_global_seed_does_not_count(draw: Callable[[Streams], Tensor]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = draw(Streams(7, [0], CPU))
        torch.manual_seed(2)
        assert torch.equal(draw(Streams(7, [0], CPU)), first)


def test_indices_reach_every_sample_and_no_other() -> None:
    indices = Streams(7, [0, 1], CPU).indices(2000, 50)
    assert indices.shape == (2, 2000)
    assert indices.dtype == torch.int64
    # A sample is missed with probability (1 - 1/50)^2000 = 3e-18.
    assert [sorted(set(own.tolist())) for own in indices] == [list(range(50))] * 2


def test_epsilon_is_uniform_between_zero_and_one() -> None:
    epsilon = Streams(7, [0, 1], CPU).epsilon(10_000).double()
    assert epsilon.shape == (2, 10_000)
    assert float(epsilon.min()) >= 0
    assert float(epsilon.max()) < 1
    # Mean 1/2 with standard error 1/sqrt(12 n); second moment 1/3 with standard error sqrt(4/45/n).
    assert float(epsilon.mean()) == pytest.approx(1 / 2, abs=5 / (12 * 20_000) ** 0.5)
    assert float(epsilon.square().mean()) == pytest.approx(1 / 3, abs=5 * (4 / 45 / 20_000) ** 0.5)


def test_latents_are_standard_normal() -> None:
    latents = Streams(7, [0, 1], CPU).latents("critic noise", 5000, 4).double()
    n = latents.numel()
    assert latents.shape == (2, 5000, 4)
    assert float(latents.mean()) == pytest.approx(0, abs=5 / n**0.5)
    assert float(latents.std()) == pytest.approx(1, abs=5 / (2 * n) ** 0.5)


def test_seeds_are_common_random_numbers() -> None:
    """A seed's initial weights depend on nothing of the trial: neither name, pack nor model."""
    first = torch.randn(4, generator=generator_for(7, 2, "initial generator"))
    second = torch.randn(4, generator=generator_for(7, 2, "initial generator"))
    assert torch.equal(first, second)
