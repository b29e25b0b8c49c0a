"""A pack trains M members as if each were alone, whatever happens to the others."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from study.config import TrialConfig
from study.models import MODELS
from study.networks.layers import record_statistics
from study.training import checkpoint
from study.training.pack import Pack
from study.training.streams import generator_for
from tests.packs import (
    CPU,
    Case,
    everything,
    make_pack,
    member_state,
    reasons,
    train,
    training_data,
    without_statistics,
)

each_kind = pytest.mark.parametrize("kind", ["images", "points"])
each_player = pytest.mark.parametrize("player", ["critic", "generator"])


def values_of(pack: Pack) -> Tensor:
    """A copy of all parameters, (M, P)."""
    return torch.cat([pack.generator.values, pack.critic.values], 1)


OWN: dict[str, dict[str, list[float]]] = {
    "dcgan": {},
    "wgan_cp": {"clip_value": [0.005, 0.05, 0.5]},
    "wgan_gp": {"lambda_gp": [0.1, 10.0, 50.0]},
}


@pytest.mark.usefixtures("double")
def test_members_with_hyperparameters_of_their_own_are_each_alone(case: Case, data: Tensor) -> None:
    """Equal to 1e-10 in float64, where training has moved the networks by millions of that."""
    betas = {"beta1": [0.0, 0.5, 0.9], "beta2": [0.999, 0.9, 0.5]}
    columns = {"lr_g": [1e-4, 1e-3, 3e-4], "lr_d": [2e-3, 1e-4, 5e-4], **betas, **OWN[case[0]]}
    own = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    seeds = (0, 0, 5)
    pack, start = (make_pack(*case, seeds=seeds, per_member=own) for _ in range(2))
    packed, initial = values_of(train(pack, data)), values_of(start)
    for k in range(3):
        alone = train(make_pack(*case, seeds=(seeds[k],), per_member=[own[k]]), data)
        torch.testing.assert_close(packed[k], values_of(alone)[0], rtol=1e-9, atol=1e-10)
        assert float((packed[k] - initial[k]).abs().max()) > 3e-4


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("members", [1, 2, 3])
def test_a_pack_in_parts_is_the_pack_as_a_whole(
    members: int, case: Case, data: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of at most so many of the four members."""
    whole = make_pack(*case)
    size = max(whole.generator.values[0].nbytes, whole.critic.values[0].nbytes)
    monkeypatch.setattr("study.training.pack.PART_BYTES", members * size)
    parted = make_pack(*case)
    if case[1] == "images":
        expected = {1: [1, 1, 1, 1], 2: [2, 2], 3: [2, 2]}[members]
        networks = {player.values.nbytes: player.network for player in (parted.generator, parted.critic)}
        assert networks[max(networks)].sizes == expected
    assert torch.equal(values_of(parted), values_of(whole))
    train(whole, data), train(parted, data)
    torch.testing.assert_close(values_of(parted), values_of(whole), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(parted.sample(5), whole.sample(5), rtol=1e-8, atol=1e-9)


def test_in_bfloat16_a_member_of_four_is_nearly_the_same_member_alone(case: Case, data: Tensor) -> None:
    # Kernels for one member and for four may round differently, by 2^-8 = 0.4% of a gradient. Adam moves
    # a weight by about lr sign(g): where |g| is so small that its sign changes, for one weight in 600, the
    # difference is 2 lr. That is 2/sqrt(600) = 8% of the way's length. (Seen on AVX512: at most 2e-6.)
    start, pack = make_pack(*case), train(make_pack(*case, precision="bf16"), data)
    for k in (0, 3):
        alone = train(make_pack(*case, precision="bf16", seeds=(k,)), data)
        for player in ("generator", "critic"):
            packed, single, initial = (getattr(p, player).values for p in (pack, alone, start))
            way = (packed[k] - initial[k]).norm()
            assert float(way) > 1e-3
            assert float((packed[k] - single[0]).norm()) <= 0.1 * float(way)


def test_the_precision_counts_and_parameters_are_float32_in_each(case: Case, data: Tensor) -> None:
    fp32, bf16 = (train(make_pack(*case, precision=p), data, 1) for p in ("fp32", "bf16"))
    for player in ("generator", "critic"):
        own, coarse = getattr(fp32, player).values, getattr(bf16, player).values
        assert own.dtype == coarse.dtype == torch.float32
        assert not torch.equal(own, coarse)


@each_player
@pytest.mark.parametrize("index", [0, -1], ids=["first weight", "last"])
def test_a_nan_in_one_member_leaves_the_others_bit_identical(
    player: str, index: int, case: Case, data: Tensor, precision: str
) -> None:
    healthy, spoiled = (train(make_pack(*case, precision=precision), data, 1) for _ in range(2))
    getattr(spoiled, player).parameters[index][1].view(-1)[0] = math.nan
    train(healthy, data), train(spoiled, data)
    assert spoiled.watch.alive.tolist() == [True, False, True, True]
    assert healthy.watch.alive.all()
    same = [member_state(spoiled, k) == member_state(healthy, k) for k in range(4)]
    assert same == [True, False, True, True]


@each_kind
def test_a_member_whose_training_explodes_leaves_the_others_bit_identical(kind: str, precision: str) -> None:
    def trained_with(lr: float) -> Pack:
        own = [{"lr_d": 1e-4}, {"lr_d": lr, "lr_g": lr}, {"lr_d": 1e-3}]
        pack = make_pack("wgan_gp", kind, seeds=(0, 1, 2), per_member=own, precision=precision)
        return train(pack, training_data(kind))

    healthy, exploding = trained_with(1e-4), trained_with(1e6)
    assert exploding.watch.alive.tolist() == [True, False, True]
    for k in (0, 2):
        assert member_state(exploding, k) == member_state(healthy, k)


def test_a_frozen_members_parameters_stand_still(case: Case, data: Tensor, precision: str) -> None:
    """From the update on that shows a NaN, or when it was found otherwise."""
    pack = train(make_pack(*case, precision=precision), data, 1)
    pack.generator.parameters[-1][1].view(-1)[0] = math.nan
    pack.watch.check(torch.tensor([True, True, False, True]), "non-finite sample")
    pack.critic.values[2] *= 100  # beyond what weights are clipped to
    before = values_of(pack).numpy()
    pairs = zip(values_of(train(pack, data)).numpy(), before, strict=True)
    assert [now.tobytes() == then.tobytes() for now, then in pairs] == [False, True, True, False]


def test_global_generators_are_neither_touched_nor_heeded(case: Case, data: Tensor) -> None:
    def states() -> tuple[bytes, Any, Any]:
        numpy_state: Any = np.random.get_state()
        return torch.get_rng_state().numpy().tobytes(), numpy_state[1].tobytes(), random.getstate()

    packs = []
    with torch.random.fork_rng():
        for seed in range(2):
            torch.manual_seed(seed)
            before = states()
            packs.append(train(make_pack(*case), data, 2))
            packs[-1].sample(10)
            assert states() == before
    assert everything(packs[0]) == everything(packs[1])


@each_kind
def test_a_seed_means_the_same_generator_and_data_in_every_model(kind: str) -> None:
    packs, orders = [make_pack(model, kind, init="he") for model in MODELS], []
    for pack in packs:
        assert torch.equal(pack.generator.values, packs[0].generator.values)
        # Five critic updates of a dcgan are five iterations, of a WGAN one.
        iterations = range(5 // pack.config.n_critic)
        orders.append(torch.cat([pack.streams.draw(100).indices.clone() for _ in iterations], 1))
    assert orders[0].shape == (4, 5, packs[0].config.batch_size)
    assert all(torch.equal(order, orders[0]) for order in orders)


@pytest.mark.parametrize("widths", [(8, 9), (8,)])
def test_a_pack_needs_one_shape_and_a_seed_per_configuration(widths: tuple[int, ...]) -> None:
    configs = [TrialConfig(dataset="ring8", width=width) for width in widths]
    with pytest.raises(ValueError, match="one seed per configuration, and one shape key for all"):
        Pack(configs, [0, 1], 7, (2,), CPU)


@each_kind
def test_samples_are_the_same_each_time_and_leave_training_alone(kind: str) -> None:
    data = training_data(kind)
    pack, twin = (train(make_pack("dcgan", kind), data, 1) for _ in range(2))
    first = pack.sample(30)
    assert first.shape == (4, 30, *data.shape[1:])
    assert torch.equal(pack.sample(30), first)
    assert without_statistics(train(pack, data, 2)) == without_statistics(train(twin, data, 2))
    assert not torch.equal(pack.sample(30), first)


@each_kind
def test_a_members_samples_are_those_it_draws_alone(kind: str) -> None:
    samples = make_pack("dcgan", kind).sample(300)
    alone = make_pack("dcgan", kind, seeds=(2,)).sample(300)
    torch.testing.assert_close(samples[2], alone[0], rtol=0, atol=1e-5)


def test_samples_use_statistics_of_fresh_noise() -> None:
    pack, twin = (make_pack("dcgan", "images", seeds=(4,)) for _ in range(2))
    stream = generator_for(pack.study_seed, 4, "evaluation")
    fixed, fresh = (torch.randn(1, 300, pack.config.latent_dim, generator=stream) for _ in range(2))
    record_statistics(twin.generator.network, fresh)
    expected = twin.generator.network.eval()(fixed)
    torch.testing.assert_close(pack.sample(300), expected, rtol=0, atol=1e-5)


@each_kind
def test_samples_are_those_of_the_parameters_as_they_are_now(kind: str) -> None:
    pack, twin = train(make_pack("dcgan", kind), training_data(kind), 1), make_pack("dcgan", kind)
    before = twin.sample(10)
    checkpoint.restore(twin, checkpoint.state_of(pack))
    assert torch.equal(twin.sample(10), pack.sample(10))
    assert not torch.equal(twin.sample(10), before)
    twin.generator.values.mul_(1.5)
    assert not torch.equal(twin.sample(10), pack.sample(10))


def test_a_critics_statistics_are_those_of_the_real_images_it_was_given() -> None:
    # Of 400 images, the variance that is stored is 400/399 of the one that training normalises with.
    pack, real = make_pack("dcgan", "images"), training_data("images")[:400]
    batch = real.expand(4, *real.shape)
    expected = pack.critic.network(batch)
    pack.record_critic_statistics(lambda: real)
    scores = pack.critic.network.eval()(batch)
    torch.testing.assert_close(scores, expected, rtol=0.01, atol=1e-5)
    assert float(expected.detach().std()) > 1e-3


def test_recording_statistics_leaves_training_alone() -> None:
    data = training_data("images")
    pack, twin = (train(make_pack("dcgan", "images"), data, 1) for _ in range(2))
    pack.record_critic_statistics(lambda: data[:100])
    assert without_statistics(train(pack, data, 2)) == without_statistics(train(twin, data, 2))


@each_player
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_parameter_that_is_not_finite_is_found(value: float, player: str) -> None:
    pack = make_pack("dcgan", "images")
    getattr(pack, player).parameters[1][2].view(-1)[-1] = value
    pack.check_parameters()
    assert reasons(pack) == ["", "", f"non-finite {player} parameter", ""]


@each_player
@pytest.mark.parametrize(("rms", "exploded"), [(999.0, False), (1001.0, True), (1e30, True)])
def test_parameters_of_a_root_mean_square_above_a_thousand_have_exploded(
    rms: float, exploded: bool, player: str
) -> None:
    # Half of the numbers +a, the other half -a/2: their mean square is a^2 (1 + 1/4)/2. Of 1e30 it
    # overflows in float32.
    pack = make_pack("dcgan", "points")
    values = getattr(pack, player).values[1]
    values[:] = rms / math.sqrt(5 / 8)
    values[: len(values) // 2] *= -0.5
    pack.check_parameters()
    assert reasons(pack) == ["", f"exploded {player} parameters" if exploded else "", "", ""]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_ends_its_member(value: float) -> None:
    pack = make_pack("wgan_gp", "points")
    pack.generator.parameters[-1][3, 0, 1] = value
    pack.sample(10)
    assert reasons(pack) == ["", "", "", "non-finite sample"]


def test_the_largest_beta2_that_a_configuration_takes_can_be_trained() -> None:
    # 1 - 1e-9 rounds to 1 in float32; torch.optim takes 1 - beta2 in double precision. A first step
    # of Adam is lr sign(g), whatever beta2.
    pack, start = (make_pack("dcgan", "points", beta2=1 - 1e-9, lr_g=1e-3) for _ in range(2))
    train(pack, training_data("points"), 1)
    assert pack.watch.alive.all()
    moved = (pack.generator.values - start.generator.values).abs().max()
    assert float(moved) == pytest.approx(1e-3, rel=0.01)
