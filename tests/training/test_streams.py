"""Random streams: one per member and purpose, the same in every pack and after a restore."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from study.seeds import derive_seed
from study.training.streams import PURPOSES, Draws, Streams

CPU = torch.device("cpu")
DRAWS = {
    "data": "indices",
    "critic noise": "critic_noise",
    "generator noise": "generator_noise",
    "penalty": "epsilon",
}
each_purpose = pytest.mark.parametrize("purpose", DRAWS)
# More and fewer numbers than the 16 from which on torch draws normal ones in blocks.
BATCH, LATENT, N = 6, 3, 50


def streams(
    *seeds: int,
    study_seed: int = 7,
    n_critic: int = 2,
    batch_size: int = BATCH,
    latent_dim: int = LATENT,
) -> Streams:
    return Streams(study_seed, seeds, n_critic, batch_size, latent_dim, CPU)


def drawn(own: Streams, purpose: str, n: int = N) -> Tensor:
    """A copy of the next draw."""
    values: Tensor = getattr(own.draw(n), DRAWS[purpose])
    return values.clone()


def test_every_purpose_is_drawn_here() -> None:
    assert tuple(DRAWS) == PURPOSES
    assert sorted(DRAWS.values()) == sorted(field.name for field in fields(Draws))


def test_draws_have_a_place_for_each_member_and_critic_update() -> None:
    draws = streams(0, 1, 2, n_critic=5).draw(N)
    assert draws.indices.shape == (3, 5, BATCH)
    assert draws.critic_noise.shape == (3, 5, BATCH, LATENT)
    assert draws.epsilon.shape == (3, 5, BATCH)
    assert draws.generator_noise.shape == (3, BATCH, LATENT)
    assert draws.indices.dtype == torch.int64
    assert {draws.critic_noise.dtype, draws.epsilon.dtype, draws.generator_noise.dtype} == {torch.float32}


@each_purpose
@pytest.mark.parametrize("batch_size", [1, BATCH, 33])
def test_a_stream_is_torchs_generator_of_the_derived_seed_and_nothing_else(
    purpose: str, batch_size: int
) -> None:
    expected = torch.Generator().manual_seed(derive_seed(7, 3, purpose))
    own = streams(1, 3, batch_size=batch_size)
    for _ in range(3):
        if purpose == "data":
            values = torch.stack([torch.randint(N, (batch_size,), generator=expected) for _ in range(2)])
        elif purpose == "penalty":
            values = torch.rand(2, batch_size, generator=expected)
        elif purpose == "critic noise":
            values = torch.randn(2, batch_size, LATENT, generator=expected)
        else:
            values = torch.randn(batch_size, LATENT, generator=expected)
        assert torch.equal(drawn(own, purpose)[1], values)


@each_purpose
@pytest.mark.parametrize("batch_size", [1, BATCH, 33])
def test_a_member_draws_the_same_in_every_pack(purpose: str, batch_size: int) -> None:
    alone, packed = streams(3, batch_size=batch_size), streams(0, 3, 9, batch_size=batch_size)
    for _ in range(3):
        assert torch.equal(drawn(alone, purpose)[0], drawn(packed, purpose)[1])


@pytest.mark.parametrize("batch_size", [1, BATCH, 33])
def test_the_data_order_does_not_depend_on_how_often_the_critic_is_updated(batch_size: int) -> None:
    orders = []
    for n_critic in (1, 2, 3, 6):
        own = streams(0, 1, n_critic=n_critic, batch_size=batch_size)
        orders.append(torch.cat([drawn(own, "data") for _ in range(6 // n_critic)], 1))
    for order in orders:
        assert order.shape == (2, 6, batch_size)
        assert torch.equal(order, orders[0])


def test_the_data_order_does_not_depend_on_the_latents() -> None:
    assert torch.equal(drawn(streams(0, latent_dim=2), "data"), drawn(streams(0, latent_dim=64), "data"))


@each_purpose
def test_draw_after_draw_is_fresh(purpose: str) -> None:
    own = streams(0)
    assert not torch.equal(drawn(own, purpose), drawn(own, purpose))


@pytest.mark.parametrize("purpose", ["data", "critic noise", "penalty"])
def test_every_critic_update_has_numbers_of_its_own(purpose: str) -> None:
    first, second = drawn(streams(0), purpose)[0]
    assert not torch.equal(first, second)


@each_purpose
def test_members_draw_differently(purpose: str) -> None:
    values = drawn(streams(0, 1), purpose)
    assert not torch.equal(values[0], values[1])


@each_purpose
def test_the_study_seed_counts(purpose: str) -> None:
    assert not torch.equal(drawn(streams(0), purpose), drawn(streams(0, study_seed=8), purpose))


@pytest.mark.parametrize("purpose", ["critic noise", "generator noise", "penalty"])
def test_the_data_does_not_disturb_the_other_purposes(purpose: str) -> None:
    quiet, busy = streams(0, 1), streams(0, 1)
    drawn(quiet, purpose)
    drawn(busy, purpose, n=7)
    assert torch.equal(drawn(quiet, purpose), drawn(busy, purpose))


def test_critic_and_generator_noise_differ() -> None:
    draws = streams(0).draw(N)
    for update in range(2):
        assert not torch.equal(draws.critic_noise[:, update], draws.generator_noise)


@each_purpose
def test_a_draw_is_overwritten_in_place_by_the_next(purpose: str) -> None:
    # A captured graph reads it at the address that it had.
    own = streams(0, 1)
    first = getattr(own.draw(N), DRAWS[purpose])
    before = first.clone()
    second = getattr(own.draw(N), DRAWS[purpose])
    assert second.data_ptr() == first.data_ptr()
    assert torch.equal(first, second)
    assert not torch.equal(first, before)


@each_purpose
def test_a_restored_stream_goes_on_where_it_was(purpose: str) -> None:
    own = streams(0, 1)
    drawn(own, purpose)
    saved = own.state_dict()
    expected = [drawn(own, purpose) for _ in range(3)]
    restored = streams(5, 6, study_seed=99)
    restored.load_state_dict(saved)
    assert all(torch.equal(drawn(restored, purpose), value) for value in expected)


def test_draws_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    streams(0, 1).draw(N)
    assert torch.equal(torch.get_rng_state(), before)


@each_purpose
def test_the_global_seed_does_not_count(purpose: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = drawn(streams(0), purpose)
        torch.manual_seed(2)
        assert torch.equal(drawn(streams(0), purpose), first)


def test_indices_reach_every_sample_and_no_other() -> None:
    indices = streams(0, 1, batch_size=1000).draw(N).indices
    # A sample is missed with probability (1 - 1/50)^2000 = 3e-18.
    assert [sorted(set(own.flatten().tolist())) for own in indices] == [list(range(N))] * 2


def test_epsilon_is_uniform_between_zero_and_one() -> None:
    epsilon = streams(0, 1, batch_size=5000).draw(N).epsilon.double()
    n = epsilon.numel()
    assert n == 20_000
    assert float(epsilon.min()) >= 0
    assert float(epsilon.max()) < 1
    # Mean 1/2 with standard error 1/sqrt(12 n); second moment 1/3 with standard error sqrt(4/45/n).
    assert float(epsilon.mean()) == pytest.approx(1 / 2, abs=5 / (12 * n) ** 0.5)
    assert float(epsilon.square().mean()) == pytest.approx(1 / 3, abs=5 * (4 / 45 / n) ** 0.5)


@pytest.mark.parametrize("purpose", ["critic noise", "generator noise"])
def test_latents_are_standard_normal(purpose: str) -> None:
    latents = drawn(streams(0, 1, batch_size=5000, latent_dim=4), purpose).double()
    n = latents.numel()
    assert float(latents.mean()) == pytest.approx(0, abs=5 / n**0.5)
    assert float(latents.std()) == pytest.approx(1, abs=5 / (2 * n) ** 0.5)
