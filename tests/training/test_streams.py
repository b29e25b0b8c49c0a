"""Random streams: one per member and purpose, the same in every pack and after a restore."""

import pytest
import torch
from torch import Tensor

from study.seeds import derive_seed
from study.training.streams import PURPOSES, Streams
from tests.packs import CPU

DRAWS = dict(zip(PURPOSES, ("indices", "critic_noise", "generator_noise", "epsilon"), strict=True))
each_purpose = pytest.mark.parametrize("purpose", DRAWS)
# More and fewer numbers than the 16 from which on torch draws normal ones in blocks.
BATCH, LATENT, N = 6, 3, 50


def streams(*seeds: int, study_seed: int = 7, n_critic: int = 2, batch_size: int = BATCH) -> Streams:
    return Streams(study_seed, seeds, n_critic, 1, batch_size, LATENT, CPU)


def drawn(own: Streams, purpose: str) -> Tensor:
    """A copy of the next draw."""
    values: Tensor = getattr(own.draw(N), DRAWS[purpose])
    return values.clone()


def test_draws_have_a_place_for_each_member_and_critic_update() -> None:
    draws = streams(0, 1, 2, n_critic=5).draw(N)
    assert draws.indices.shape == (3, 5, BATCH)
    assert draws.critic_noise.shape == (3, 5, BATCH, LATENT)
    assert draws.epsilon.shape == (3, 5, BATCH)
    assert draws.generator_noise.shape == (3, 1, BATCH, LATENT)
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
            values = torch.randn(1, batch_size, LATENT, generator=expected)
        assert torch.equal(drawn(own, purpose)[1], values)


@pytest.mark.parametrize("batch_size", [1, BATCH, 33])
def test_the_data_order_does_not_depend_on_how_often_the_critic_is_updated(batch_size: int) -> None:
    orders = []
    for n_critic in (1, 2, 3, 6):
        own = streams(0, 1, n_critic=n_critic, batch_size=batch_size)
        orders.append(torch.cat([drawn(own, "data") for _ in range(6 // n_critic)], 1))
    assert orders[0].shape == (2, 6, batch_size)
    assert all(torch.equal(order, orders[0]) for order in orders)


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
