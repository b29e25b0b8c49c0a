"""A pack trains M members as if each were alone, whatever happens to the others."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from study.config import TrialConfig
from study.models import MODELS
from study.networks.layers import record_statistics
from study.training import checkpoint
from study.training.capture import EagerIterations
from study.training.pack import Pack
from study.training.streams import generator_for

MakePack = Callable[..., Pack]
MemberState = Callable[[Pack, int], dict[str, bytes]]
Data = Callable[[str], Tensor]
CPU = torch.device("cpu")
ITERATIONS = 4


def train(pack: Pack, data: Tensor, iterations: int = ITERATIONS) -> Pack:
    iterate = EagerIterations(pack, data)
    for _ in range(iterations):
        iterate()
    return pack


def parameters(pack: Pack) -> list[Tensor]:
    return [*pack.generator.parameters, *pack.critic.parameters]


def assert_member_is_alone(pack: Pack, member: int, alone: Pack, start: Pack) -> None:
    """Equal to 1e-10 in float64, where training has moved the networks by millions of that."""
    triples = zip(parameters(pack), parameters(alone), parameters(start), strict=True)
    moved = 0.0
    for packed, single, initial in triples:
        torch.testing.assert_close(packed[member], single[0], rtol=1e-9, atol=1e-10)
        moved = max(moved, float((packed[member] - initial[member]).abs().max()))
    assert moved > 3e-4


@pytest.mark.usefixtures("double")
def test_a_member_of_four_is_the_same_member_alone(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    data = training_data(case[1])
    pack = train(make_pack(*case), data)
    for k in range(4):
        alone = train(make_pack(*case, seeds=(k,)), data)
        assert_member_is_alone(pack, k, alone, make_pack(*case))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("members", [1, 2, 3])
def test_a_pack_in_parts_is_the_pack_as_a_whole(
    members: int,
    case: tuple[str, str],
    make_pack: MakePack,
    training_data: Data,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parts of at most so many of the four members."""
    data, whole = training_data(case[1]), make_pack(*case)
    size = max(whole.generator.values[0].nbytes, whole.critic.values[0].nbytes)
    monkeypatch.setattr("study.training.pack.PART_BYTES", members * size)
    parted = make_pack(*case)
    if case[1] == "images":
        expected = {1: [1, 1, 1, 1], 2: [2, 2], 3: [2, 2]}[members]
        networks = {player.values.nbytes: player.network for player in (parted.generator, parted.critic)}
        assert networks[max(networks)].sizes == expected
    assert torch.equal(parted.generator.values, whole.generator.values)
    assert torch.equal(parted.critic.values, whole.critic.values)
    train(whole, data)
    train(parted, data)
    torch.testing.assert_close(parted.generator.values, whole.generator.values, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(parted.critic.values, whole.critic.values, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(parted.sample(5), whole.sample(5), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("k", [0, 3])
def test_in_bfloat16_a_member_of_four_is_nearly_the_same_member_alone(
    k: int, case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    # Kernels for one member and for four may round differently, by 2^-8 = 0.4% of a gradient. Adam moves
    # a weight by about lr sign(g): where |g| is so small that its sign changes, for one weight in 600, the
    # difference is 2 lr. That is 2/sqrt(600) = 8% of the way's length. (Seen on AVX512: at most 2e-6.)
    data, start = training_data(case[1]), make_pack(*case)
    pack = train(make_pack(*case, precision="bf16"), data)
    alone = train(make_pack(*case, precision="bf16", seeds=(k,)), data)
    for player in ("generator", "critic"):
        packed, single, initial = (getattr(p, player).values for p in (pack, alone, start))
        way = (packed[k] - initial[k]).norm()
        assert float(way) > 1e-3
        assert float((packed[k] - single[0]).norm()) <= 0.1 * float(way)


def test_the_precision_counts_and_parameters_are_float32_in_each(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    fp32, bf16 = (train(make_pack(*case, precision=p), training_data(case[1]), 1) for p in ("fp32", "bf16"))
    for player in ("generator", "critic"):
        own, coarse = getattr(fp32, player).values, getattr(bf16, player).values
        assert own.dtype == coarse.dtype == torch.float32
        assert not torch.equal(own, coarse)


OWN: dict[str, dict[str, list[float]]] = {
    "dcgan": {"beta1": [0.0, 0.5, 0.9]},
    "wgan_cp": {"beta1": [0.0, 0.5, 0.9], "clip_value": [0.005, 0.05, 0.5]},
    "wgan_gp": {"beta1": [0.0, 0.5, 0.9], "lambda_gp": [0.1, 10.0, 50.0]},
}


@pytest.mark.usefixtures("double")
def test_members_with_hyperparameters_of_their_own_are_each_alone(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    columns = {
        "lr_g": [1e-4, 1e-3, 3e-4],
        "lr_d": [2e-3, 1e-4, 5e-4],
        "beta2": [0.999, 0.9, 0.5],
        **OWN[case[0]],
    }
    own = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    seeds, data = (0, 0, 5), training_data(case[1])
    pack = train(make_pack(*case, seeds=seeds, per_member=own), data)
    for k in range(3):
        alone = train(make_pack(*case, seeds=(seeds[k],), per_member=[own[k]]), data)
        assert_member_is_alone(pack, k, alone, make_pack(*case, seeds=seeds, per_member=own))


PLACES = {
    "critic's first weight": ("critic", 0),
    "critic's last": ("critic", -1),
    "generator's first weight": ("generator", 0),
    "generator's last": ("generator", -1),
}


@pytest.mark.parametrize(("player", "index"), PLACES.values(), ids=PLACES.keys())
def test_a_nan_in_one_member_leaves_the_others_bit_identical(
    player: str,
    index: int,
    case: tuple[str, str],
    precision: str,
    make_pack: MakePack,
    training_data: Data,
    member_state: MemberState,
) -> None:
    data = training_data(case[1])
    healthy, spoiled = (make_pack(*case, precision=precision) for _ in range(2))
    train(healthy, data, 1)
    train(spoiled, data, 1)
    with torch.no_grad():
        getattr(spoiled, player).parameters[index][1].view(-1)[0] = math.nan
    train(healthy, data)
    train(spoiled, data)
    assert spoiled.watch.alive.tolist() == [True, False, True, True]
    assert healthy.watch.alive.all()
    for k in (0, 2, 3):
        assert member_state(spoiled, k) == member_state(healthy, k)
    assert member_state(spoiled, 1) != member_state(healthy, 1)


@pytest.mark.parametrize("kind", ["images", "points"])
def test_a_member_whose_training_explodes_leaves_the_others_bit_identical(
    kind: str, precision: str, make_pack: MakePack, training_data: Data, member_state: MemberState
) -> None:
    def pack_with(lr: float) -> Pack:
        own = [{"lr_d": 1e-4}, {"lr_d": lr, "lr_g": lr}, {"lr_d": 1e-3}]
        return make_pack("wgan_gp", kind, seeds=(0, 1, 2), per_member=own, precision=precision)

    data = training_data(kind)
    healthy, exploding = train(pack_with(1e-4), data), train(pack_with(1e6), data)
    assert exploding.watch.alive.tolist() == [True, False, True]
    for k in (0, 2):
        assert member_state(exploding, k) == member_state(healthy, k)


def test_a_frozen_members_parameters_stand_still(
    case: tuple[str, str], precision: str, make_pack: MakePack, training_data: Data
) -> None:
    data = training_data(case[1])
    pack = train(make_pack(*case, precision=precision), data, 1)
    pack.watch.check(torch.tensor([True, True, False, True]), "non-finite sample")
    before = [p.clone() for p in parameters(pack)]
    train(pack, data)
    for now, then in zip(parameters(pack), before, strict=True):
        assert torch.equal(now[2], then[2])
    for k in (0, 1, 3):
        pairs = zip(parameters(pack), before, strict=True)
        assert not all(torch.equal(now[k], then[k]) for now, then in pairs)


def test_a_diverged_member_is_frozen_at_the_update_that_showed_it(
    case: tuple[str, str], precision: str, make_pack: MakePack, training_data: Data
) -> None:
    data = training_data(case[1])
    pack = train(make_pack(*case, precision=precision), data, 1)
    with torch.no_grad():
        pack.generator.parameters[-1][1].view(-1)[0] = math.nan
    before = [p[1].numpy().tobytes() for p in parameters(pack)]
    train(pack, data)
    assert [p[1].numpy().tobytes() for p in parameters(pack)] == before
    divergence = pack.watch.divergences(pack.config.batch_size)[1]
    assert divergence is not None
    shown = (pack.config.n_critic + 1) * pack.config.batch_size / 1000
    assert (divergence.kimg, divergence.reason) == (shown, "non-finite critic loss")


def test_the_same_seed_gives_the_same_bits(
    case: tuple[str, str],
    precision: str,
    make_pack: MakePack,
    training_data: Data,
    member_state: MemberState,
) -> None:
    data = training_data(case[1])
    first, second = (train(make_pack(*case, precision=precision), data) for _ in range(2))
    for k in range(4):
        assert member_state(first, k) == member_state(second, k)


def test_another_seed_gives_another_training(
    case: tuple[str, str], make_pack: MakePack, training_data: Data, member_state: MemberState
) -> None:
    pack = train(make_pack(*case, seeds=(0, 1)), training_data(case[1]), 1)
    assert member_state(pack, 0) != member_state(pack, 1)


def test_training_and_sampling_touch_no_global_generator(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    data = training_data(case[1])

    def states() -> tuple[bytes, Any, Any]:
        numpy_state: Any = np.random.get_state()
        return torch.get_rng_state().numpy().tobytes(), numpy_state[1].tobytes(), random.getstate()

    before = states()
    train(make_pack(*case), data, 2).sample(10)
    assert states() == before


def test_the_global_seed_has_no_say(
    make_pack: MakePack, training_data: Data, member_state: MemberState
) -> None:
    data, results = training_data("images"), []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            results.append(member_state(train(make_pack("wgan_gp", "images"), data, 1), 0))
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", ["images", "points"])
def test_a_seed_means_the_same_generator_and_data_in_every_model(kind: str, make_pack: MakePack) -> None:
    packs = [make_pack(model, kind) for model in MODELS]
    for pack in packs[1:]:
        pairs = zip(pack.generator.parameters, packs[0].generator.parameters, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    # Five critic updates of a dcgan are five iterations, of a WGAN one.
    orders = []
    for pack in packs:
        iterations = range(5 // pack.config.n_critic)
        orders.append(torch.cat([pack.streams.draw(100).indices.clone() for _ in iterations], 1))
    assert orders[0].shape == (4, 5, packs[0].config.batch_size)
    assert torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[2])


def test_only_the_gradient_penaltys_critic_has_no_batch_norm(make_pack: MakePack) -> None:
    # A norm has a scale and a shift per channel: the only parameters of shape (M, C) beside the
    # biases of convolutions, of which a critic with norms has one (next to the image).
    vectors = {
        model: sum(p.dim() == 2 for p in make_pack(model, "images").critic.parameters) for model in MODELS
    }
    assert vectors == {"dcgan": 3, "wgan_cp": 3, "wgan_gp": 2}
    assert not list(make_pack("wgan_gp", "images").critic.network.buffers())


def test_members_must_agree_on_their_shape() -> None:
    configs = [TrialConfig(dataset="ring8", width=8), TrialConfig(dataset="ring8", width=9)]
    with pytest.raises(ValueError, match="one shape key for all"):
        Pack(configs, [0, 1], 7, (2,), CPU)


def test_a_pack_needs_as_many_seeds_as_configurations() -> None:
    with pytest.raises(ValueError, match="one seed per configuration"):
        Pack([TrialConfig(dataset="ring8")], [0, 1], 7, (2,), CPU)


def test_kimg_counts_the_real_images_that_each_critic_saw(make_pack: MakePack, training_data: Data) -> None:
    pack = train(make_pack("wgan_gp", "points", n_critic=5, batch_size=16), training_data("points"), 3)
    assert pack.kimg == 3 * 5 * 16 / 1000


@pytest.mark.parametrize("kind", ["images", "points"])
def test_samples_are_the_same_each_time_and_leave_training_alone(
    kind: str, make_pack: MakePack, training_data: Data, member_state: MemberState
) -> None:
    data = training_data(kind)
    pack, twin = make_pack("dcgan", kind), make_pack("dcgan", kind)
    train(pack, data, 1)
    train(twin, data, 1)
    first = pack.sample(30)
    assert first.shape == (4, 30, *data.shape[1:])
    assert torch.equal(pack.sample(30), first)
    train(pack, data, 2)
    train(twin, data, 2)
    assert member_state(pack, 0) == member_state(twin, 0)
    assert not torch.equal(pack.sample(30), first)


@pytest.mark.parametrize("kind", ["images", "points"])
def test_a_members_samples_are_those_it_draws_alone(kind: str, make_pack: MakePack) -> None:
    samples = make_pack("dcgan", kind).sample(300)
    alone = make_pack("dcgan", kind, seeds=(2,)).sample(300)
    torch.testing.assert_close(samples[2], alone[0], rtol=0, atol=1e-5)


def test_samples_use_statistics_of_fresh_noise(make_pack: MakePack) -> None:
    pack = make_pack("dcgan", "images", seeds=(4,))
    stream = generator_for(pack.study_seed, 4, "evaluation")
    fixed = torch.randn(300, pack.config.latent_dim, generator=stream)
    fresh = torch.randn(300, pack.config.latent_dim, generator=stream)
    samples = pack.sample(300)
    twin = make_pack("dcgan", "images", seeds=(4,)).generator.network
    record_statistics(twin, fresh[None])
    torch.testing.assert_close(samples, twin.eval()(fixed[None]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["images", "points"])
def test_samples_are_those_of_the_parameters_as_they_are_now(
    kind: str, make_pack: MakePack, training_data: Data
) -> None:
    pack, twin = train(make_pack("dcgan", kind), training_data(kind), 1), make_pack("dcgan", kind)
    checkpoint.restore(twin, checkpoint.state_of(pack))
    assert torch.equal(twin.sample(10), pack.sample(10))
    assert not torch.equal(twin.sample(10), make_pack("dcgan", kind).sample(10))
    twin.generator.values.mul_(1.5)
    assert not torch.equal(twin.sample(10), pack.sample(10))


def test_the_last_batch_never_leaks_into_samples(make_pack: MakePack) -> None:
    pack = make_pack("dcgan", "images")
    before = pack.sample(20)
    pack.generator.network(torch.full((4, 8, pack.config.latent_dim), 50.0) * torch.arange(8).view(1, 8, 1))
    assert torch.equal(pack.sample(20), before)


def test_sampling_ends_in_training_mode(make_pack: MakePack) -> None:
    pack = make_pack("dcgan", "images")
    pack.sample(5)
    assert all(module.training for module in pack.generator.network.modules())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("player", "reason"),
    [
        ("critic", "non-finite critic parameter"),
        ("generator", "non-finite generator parameter"),
    ],
)
def test_a_parameter_that_is_not_finite_is_found(
    value: float, player: str, reason: str, make_pack: MakePack
) -> None:
    pack = make_pack("dcgan", "images")
    with torch.no_grad():
        getattr(pack, player).parameters[1][2].view(-1)[-1] = value
    pack.check_parameters()
    divergences = pack.watch.divergences(8)
    assert [d.reason if d else "" for d in divergences] == ["", "", reason, ""]


@pytest.mark.parametrize("player", ["critic", "generator"])
@pytest.mark.parametrize(("rms", "reason"), [(999.0, ""), (1001.0, "exploded {} parameters")])
def test_parameters_of_a_root_mean_square_above_a_thousand_have_exploded(
    rms: float, reason: str, player: str, make_pack: MakePack
) -> None:
    # Half of the numbers +a, the other half -a/2: their mean square is a^2 (1 + 1/4)/2.
    pack = make_pack("dcgan", "points")
    values = getattr(pack, player).values[1]
    values[:] = rms / math.sqrt(5 / 8)
    values[: len(values) // 2] *= -0.5
    pack.check_parameters()
    found = [d.reason if d else "" for d in pack.watch.divergences(8)]
    assert found == ["", reason.format(player), "", ""]


def test_huge_parameters_have_exploded_and_are_finite(make_pack: MakePack) -> None:
    # Their squares overflow in float32.
    pack = make_pack("dcgan", "points")
    with torch.no_grad():
        pack.critic.parameters[0][1] = 1e30
    pack.check_parameters()
    found = [d.reason if d else "" for d in pack.watch.divergences(8)]
    assert found == ["", "exploded critic parameters", "", ""]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_ends_its_member(value: float, make_pack: MakePack) -> None:
    pack = make_pack("wgan_gp", "points")
    with torch.no_grad():
        pack.generator.parameters[-1][3, 0, 1] = value
    pack.sample(10)
    found = [d.reason if d else "" for d in pack.watch.divergences(8)]
    assert found == ["", "", "", "non-finite sample"]


def test_the_largest_beta2_that_a_configuration_takes_can_be_trained(
    make_pack: MakePack, training_data: Data
) -> None:
    # 1 - 1e-9 rounds to 1 in float32; torch.optim takes 1 - beta2 in double precision. A first step
    # of Adam is lr sign(g), whatever beta2.
    pack = make_pack("dcgan", "points", beta2=1 - 1e-9, lr_g=1e-3)
    before = [p.clone() for p in pack.generator.parameters]
    train(pack, training_data("points"), 1)
    assert pack.watch.alive.all()
    pairs = zip(pack.generator.parameters, before, strict=True)
    moved = [float((p - b).abs().max()) for p, b in pairs]
    assert max(moved) == pytest.approx(1e-3, rel=0.01)
