"""A pack of networks that a model brings trains each member as a plain loop would train its modules."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.errors import ConfigError
from study.models import MODELS, Model
from study.networks.ordinary import Ordinary
from study.seeds import derive_seed
from study.training import checkpoint
from study.training import pack as pack_module
from study.training.capture import EagerIterations, iterations_of
from study.training.pack import Pack
from study.training.streams import Streams, generator_for
from study.training.trainer import Due, Trainer
from study.trial.run import _critic
from tests import ordinary as own
from tests.packs import CPU, STUDY_SEED, everything, make_pack, member_state, train, training_data
from tests.studies import trial_plan

SPECTRAL, DROPOUT = ("normed_generator", "spectral_critic"), ("mlp_generator", "dropout_critic")
IMAGES, PENALISED = ("image_generator", "image_critic"), ("mlp_generator", "mlp_critic")
NETWORKS = {"spectral": SPECTRAL, "dropout": DROPOUT, "images": IMAGES, "penalised": PENALISED}
each_model = pytest.mark.parametrize("name", NETWORKS)


def with_networks(like: str, generator: str, critic: str) -> Model:
    networks: dict[str, Any] = {"generator": getattr(own, generator), "critic": getattr(own, critic)}
    return replace(MODELS[like], name="mine", bf16_kinds=(), is_default=False, **networks)


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, networks in NETWORKS.items():
        monkeypatch.setitem(
            MODELS, name, with_networks("wgan_gp" if name == "penalised" else "dcgan", *networks)
        )


def kind_of(name: str) -> str:
    return "images" if name == "images" else "points"


def pack_of(name: str, **changes: Any) -> Pack:
    known = {"seeds": (0, 1, 2), "batch_size": 16, "lr_g": 1e-3, "lr_d": 1e-3, **changes}
    return make_pack(name, kind_of(name), **known)


def trained(name: str, iterations: int = 3, **changes: Any) -> Pack:
    return train(pack_of(name, **changes), training_data(kind_of(name)), iterations)


def as_torch_has_it(parameters: list[Tensor]) -> list[Tensor]:
    """Weights (M, n_in, n_out) -> (M, n_out, n_in), biases (M, 1, n_out) -> (M, n_out)."""
    return [p[:, 0] if p.shape[1] == 1 else p.transpose(1, 2) for p in parameters]


@pytest.mark.parametrize("model", ["dcgan", "wgan_gp"])
def test_the_packages_mlp_brought_from_outside_trains_as_inside(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same weights in fp32, to 1e-5 after five updates of the generator."""

    def mlp(*sizes: int) -> nn.Module:
        layers = [[nn.Linear(a, b), nn.ReLU()] for a, b in pairwise(sizes)]
        return nn.Sequential(*chain(*layers))[:-1]

    networks = {
        "generator": lambda latent_dim, shape: mlp(latent_dim, 32, 32, 32, *shape),
        "critic": lambda shape: mlp(*shape, 32, 32, 32, 1),
    }
    monkeypatch.setitem(
        MODELS,
        "brought",
        replace(MODELS[model], name="brought", bf16_kinds=(), **networks),  # type: ignore[arg-type]
    )
    start, inside, outside = (make_pack(m, "points", width=32) for m in (model, model, "brought"))
    players = ("generator", "critic")
    for player in players:
        initial = as_torch_has_it(getattr(start, player).parameters)
        for values, same in zip(getattr(outside, player).parameters, initial, strict=True):
            values.copy_(same)
    data = training_data("points")
    train(inside, data, 5), train(outside, data, 5)
    for player in players:
        found = getattr(outside, player).parameters
        for values, expected in zip(found, as_torch_has_it(getattr(inside, player).parameters), strict=True):
            torch.testing.assert_close(values, expected, rtol=0, atol=1e-5)
        assert float((getattr(inside, player).values - getattr(start, player).values).abs().max()) > 3e-4


@pytest.mark.usefixtures("double")
def test_spectral_norm_and_batch_norm_train_as_in_a_plain_loop() -> None:
    """torch's modules and its Adam, member by member, one power iteration for each batch of a critic."""
    pack, data = trained("spectral", 3), training_data("points")
    config = pack.config
    for k, seed in enumerate(pack.seeds):

        def drawn(
            player: str, function: Callable[..., nn.Module], *arguments: Any, seed: int = seed
        ) -> nn.Module:
            with torch.random.fork_rng():
                torch.manual_seed(derive_seed(STUDY_SEED, seed, f"initial {player}"))
                return function(*arguments)

        generator = drawn("generator", own.normed_generator, config.latent_dim, (2,))
        critic = drawn("critic", own.spectral_critic, (2,))
        adam: dict[str, Any] = {"lr": 1e-3, "betas": (config.beta1, config.beta2)}
        for_g = torch.optim.Adam(generator.parameters(), **adam)
        for_c = torch.optim.Adam(critic.parameters(), **adam)
        streams = Streams(STUDY_SEED, [seed], 1, 1, 16, config.latent_dim, CPU)
        for _ in range(3):
            draws = streams.draw(len(data))
            with torch.no_grad():
                fake = generator(draws.critic_noise[0, 0])
            real_scores, fake_scores = critic(data[draws.indices[0, 0]]), critic(fake)
            for_c.zero_grad()
            (nn.functional.softplus(-real_scores) + nn.functional.softplus(fake_scores)).mean().backward()
            for_c.step()
            for_g.zero_grad()
            nn.functional.softplus(-critic(generator(draws.generator_noise[0, 0]))).mean().backward()
            for_g.step()
        for player, module in ((pack.generator, generator), (pack.critic, critic)):
            for values, expected in zip(player.parameters, module.parameters(), strict=True):
                torch.testing.assert_close(values[k], expected.detach(), rtol=1e-9, atol=1e-10)
            for held, buffer in zip(player.network.module.buffers(), module.buffers(), strict=True):
                torch.testing.assert_close(held[k], buffer, rtol=1e-9, atol=1e-10)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["images", "penalised"])
def test_at_once_or_one_after_another_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = trained(name)
    monkeypatch.setattr(pack_module, "stacks", lambda _: False)
    one_by_one = trained(name)
    assert (at_once.critic.network.stacked, one_by_one.critic.network.stacked) == (True, False)
    for player in ("generator", "critic"):
        torch.testing.assert_close(
            getattr(at_once, player).values, getattr(one_by_one, player).values, rtol=1e-9, atol=1e-10
        )
    torch.testing.assert_close(at_once.sample(20), one_by_one.sample(20), rtol=1e-8, atol=1e-9)


@each_model
def test_a_checkpoint_goes_on_bit_by_bit(name: str, tmp_path: Path) -> None:
    """Buffers and what dropout draws are part of it; the evaluation in between leaves no trace."""
    stopped, resumed, whole = trained(name, 2), pack_of(name), trained(name, 4)
    stopped.sample(10)
    checkpoint.save(stopped, tmp_path / "pack.pt")
    checkpoint.load(resumed, tmp_path / "pack.pt")
    train(resumed, training_data(kind_of(name)), 2)
    for pack in (resumed, whole):
        pack.sample(10)
    assert everything(resumed) == everything(whole)


@pytest.mark.parametrize("name", ["spectral", "dropout"])
def test_members_one_after_another_are_each_alone_to_the_bit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_module, "stacks", lambda _: False)
    together, alone = trained(name), trained(name, seeds=(2,))
    assert member_state(together, 2) == member_state(alone, 0)


@each_model
@pytest.mark.parametrize("player", ["generator", "critic"])
def test_a_nan_in_one_member_leaves_the_others_bit_identical(name: str, player: str) -> None:
    data = training_data(kind_of(name))
    healthy, spoiled = (trained(name, 1) for _ in range(2))
    getattr(spoiled, player).parameters[0][1].view(-1)[0] = math.nan
    train(healthy, data), train(spoiled, data)
    healthy.sample(10), spoiled.sample(10)
    assert spoiled.watch.alive.tolist() == [True, False, True]
    same = [member_state(spoiled, k) == member_state(healthy, k) for k in range(3)]
    assert same == [True, False, True]


@each_model
def test_torchs_global_generator_is_neither_touched_nor_heeded(name: str) -> None:
    packs = []
    with torch.random.fork_rng():
        for seed in range(2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            packs.append(trained(name, 2))
            packs[-1].sample(10)
            assert torch.equal(torch.get_rng_state(), before)
    assert everything(packs[0]) == everything(packs[1])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["spectral", "dropout", "images"])
def test_trials_that_train_together_keep_their_buffers_apart(name: str) -> None:
    """The second joins when the first has trained for a while."""
    data = training_data(kind_of(name))

    def trial(lr: float) -> Pack:
        return pack_of(name, seeds=(0, 1), lr_g=lr)

    def due(pack: Pack, iterations: int) -> Due:
        return Due(pack, data, pack.images + iterations * 16)

    first, second, trainer = trial(1e-3), trial(1e-4), Trainer()
    trainer.train([due(first, 2)])
    trainer.train([due(first, 2), due(second, 3)])
    for pack, alone, iterations in ((first, trial(1e-3), 4), (second, trial(1e-4), 3)):
        Trainer().train([due(alone, iterations)])
        for player in ("generator", "critic"):
            held, expected = getattr(pack, player), getattr(alone, player)
            torch.testing.assert_close(held.values, expected.values, rtol=1e-9, atol=1e-10)
            for buffer, values in expected.buffers().items():
                torch.testing.assert_close(held.buffers()[buffer], values, rtol=1e-9, atol=1e-10)


def test_batch_norm_is_evaluated_with_statistics_of_fresh_noise() -> None:
    """torch's own cumulative average of one batch, momentum None, is an independent way to them."""
    pack = trained("spectral")
    noise = generator_for(STUDY_SEED, 1, "evaluation")
    fixed, fresh = (torch.randn(1, 300, pack.config.latent_dim, generator=noise)[0] for _ in range(2))
    module: Any = own.normed_generator(pack.config.latent_dim, (2,))
    pack.generator.refresh()
    module.load_state_dict({k: v[1] for k, v in pack.generator.network.module.state_dict().items()})
    norm = module[1]
    norm.reset_running_stats()
    norm.momentum = None
    module(fresh)
    torch.testing.assert_close(pack.sample(300)[1], module.eval()(fixed), rtol=0, atol=1e-5)
    assert pack.generator.network.training


def test_recording_a_critics_statistics_leaves_its_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the mode of batch norm, nor spectral norm's vectors, nor what dropout draws next."""

    def rich_critic(_: tuple[int, ...]) -> nn.Module:
        first = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 8))
        return nn.Sequential(first, nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

    monkeypatch.setattr(own, "rich_critic", rich_critic, raising=False)
    monkeypatch.setitem(MODELS, "rich", with_networks("dcgan", "mlp_generator", "rich_critic"))
    data = training_data("points")
    recorded, twin = (train(make_pack("rich", "points"), data, 1) for _ in range(2))
    recorded.record_critic_statistics(lambda: data[:500])
    hidden = {name: values[1] for name, values in recorded.critic.buffers().items()}
    assert hidden["module.1.running_mean"].any()
    train(recorded, data, 2), train(twin, data, 2)
    assert torch.equal(recorded.critic.values, twin.critic.values)
    assert torch.equal(recorded.generator.values, twin.generator.values)


def test_a_critic_that_judges_drops_nothing_out_and_norms_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def both_critic(_: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(2), nn.Linear(2, 1))

    monkeypatch.setattr(own, "both_critic", both_critic, raising=False)
    monkeypatch.setitem(MODELS, "both", with_networks("dcgan", "mlp_generator", "both_critic"))
    pack = make_pack("both", "points", seeds=(0, 1))
    points = training_data("points")[:64]
    weight, bias = (p[1] for p in pack.critic.parameters[2:])
    expected = nn.functional.batch_norm(points, None, None, training=True) @ weight[0] + bias
    torch.testing.assert_close(_critic(pack, 1)(points), expected, rtol=1e-5, atol=1e-5)


def test_one_own_network_goes_with_one_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "half", replace(MODELS["spectral"], name="half", generator=None))
    pack = train(make_pack("half", "points"), training_data("points"))
    assert isinstance(pack.critic.network, Ordinary)
    assert not isinstance(pack.generator.network, Ordinary)
    assert torch.equal(
        make_pack("half", "points").generator.values, make_pack("dcgan", "points").generator.values
    )


def test_no_graph_of_them_is_captured() -> None:
    pack = pack_of("penalised")
    pack.device = torch.device("cuda")
    assert isinstance(iterations_of(pack, training_data("points")), EagerIterations)


def test_they_compute_in_fp32_alone() -> None:
    with pytest.raises(ConfigError, match="the networks that spectral brings compute in fp32 alone"):
        trial_plan(model="spectral", n_critic=1, precision="bf16")
