"""One iteration is the papers' algorithm box, and moves what it should and nothing else."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from study.networks import build_critic, build_generator, initialise
from study.training.capture import EagerIterations
from study.training.pack import Pack
from study.training.player import Player
from study.training.step import critic_step, generator_step, iteration
from study.training.streams import Streams, generator_for
from tests import textbook

MakePack = Callable[..., Pack]
Data = Callable[[str], Tensor]
CPU = torch.device("cpu")


def bits(player: Player[Any]) -> list[bytes]:
    """Of the parameters, and of what the network holds beside its copies of them."""
    return [t.numpy().tobytes() for t in [player.values, *player.network.buffers()]]


def a_batch(pack: Pack, data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Real samples, latents and epsilon of one critic update, as an iteration draws them."""
    draws = pack.streams.draw(len(data))
    return data[draws.indices[:, 0]], draws.critic_noise[:, 0].clone(), draws.epsilon[:, 0].clone()


def latents_of(pack: Pack) -> Tensor:
    """The latents of one generator update."""
    return pack.streams.draw(1).generator_noise[:, 0].clone()


@pytest.mark.usefixtures("double")
def test_training_is_the_papers_algorithm(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    """Against plain torch: one member, torch's layers, torch.optim, autograd, as in the algorithm boxes."""
    model, kind = case
    pack, data = make_pack(model, kind, seeds=(3,), lr_g=1e-3, lr_d=2e-3), training_data(kind)
    config, shape, batch_norm = pack.config, tuple(data.shape[1:]), model != "wgan_gp"
    G = textbook.generator(shape, config.latent_dim, config.width)
    D = textbook.critic(shape, config.width, batch_norm=batch_norm)
    streams = [generator_for(pack.study_seed, 3, f"initial {player}") for player in ("generator", "critic")]
    initial_g = initialise(build_generator(shape, config.latent_dim, config.width, 1), streams[:1])
    initial_d = initialise(build_critic(shape, config.width, 1, batch_norm=batch_norm), streams[1:])
    textbook.copy_weights(initial_g, G)
    textbook.copy_weights(initial_d, D)

    def optimiser(parameters: Any, lr: float) -> torch.optim.Optimizer:
        if model == "wgan_cp":
            return torch.optim.RMSprop(parameters, lr=lr, alpha=config.beta2, momentum=config.beta1)
        return torch.optim.Adam(parameters, lr=lr, betas=(config.beta1, config.beta2))

    optimiser_d, optimiser_g = optimiser(D.parameters(), 2e-3), optimiser(G.parameters(), 1e-3)
    n_critic = {"dcgan": 1, "wgan_cp": 5, "wgan_gp": 5}[model]
    twin = Streams(pack.study_seed, [3], n_critic, 1, config.batch_size, config.latent_dim, CPU)
    iterate = EagerIterations(pack, data)
    for _ in range(3):
        iterate()
        draws = twin.draw(len(data))
        for i in range(n_critic):
            real = data[draws.indices[0, i]]
            fake = G(draws.critic_noise[0, i]).detach()
            if model == "dcgan":
                loss = (softplus(-D(real)) + softplus(D(fake))).mean()
            else:
                loss = (D(fake) - D(real)).mean()
            if model == "wgan_gp":
                epsilon = draws.epsilon[0, i].view(-1, *[1] * (real.dim() - 1))
                x_hat = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
                (slope,) = torch.autograd.grad(D(x_hat).sum(), x_hat, create_graph=True)
                norm = slope.flatten(1).square().sum(1).sqrt()
                loss = loss + 10 * ((norm - 1) ** 2).mean()
            optimiser_d.zero_grad()
            loss.backward()
            optimiser_d.step()
            if model == "wgan_cp":
                for parameter in D.parameters():
                    parameter.data.clamp_(-0.01, 0.01)
        fake = G(draws.generator_noise[0, 0])
        loss = softplus(-D(fake)).mean() if model == "dcgan" else -D(fake).mean()
        optimiser_g.zero_grad()
        loss.backward()
        optimiser_g.step()

    for player, theirs, initial in ((pack.generator, G, initial_g), (pack.critic, D, initial_d)):
        for own, expected in zip(player.parameters, theirs.parameters(), strict=True):
            now = textbook.in_layout_of(expected, own[0])
            torch.testing.assert_close(now, expected, rtol=1e-9, atol=1e-10)
        moved = player.parameters[0] - next(initial.parameters()).detach()
        assert float(moved.abs().max()) > 5e-4


@pytest.mark.parametrize("n_critic", [1, 3])
def test_an_iteration_is_n_critic_critic_updates_then_one_of_the_generator(
    n_critic: int, make_pack: MakePack, training_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = make_pack("wgan_gp", "points", n_critic=n_critic)
    order: list[str] = []

    def note(name: str, step: Callable[..., None]) -> None:
        def noted(*args: Any) -> None:
            order.append(name)
            step(*args)

        monkeypatch.setattr(f"study.training.step.{name}", noted)

    note("critic_step", critic_step)
    note("generator_step", generator_step)
    EagerIterations(pack, training_data("points"))()
    assert order == ["critic_step"] * n_critic + ["generator_step"]
    assert (pack.critic_updates, pack.generator_updates) == (n_critic, 1)


def test_every_critic_update_sees_fresh_samples_and_noise(
    make_pack: MakePack, training_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Tensor]] = []
    monkeypatch.setattr(
        "study.training.step.critic_step",
        lambda _, *batch: seen.append([part.clone() for part in batch]),
    )
    pack, data = make_pack("wgan_gp", "points", n_critic=3), training_data("points")
    for _ in range(2):
        iteration(pack, data, pack.streams.draw(len(data)))
    assert len(seen) == 6
    for part in range(3):
        assert len({batch[part].numpy().tobytes() for batch in seen}) == 6


def test_an_iteration_uses_what_was_drawn(
    make_pack: MakePack, training_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, ...]] = []
    for name in ("critic_step", "generator_step"):
        monkeypatch.setattr(f"study.training.step.{name}", lambda _, *batch: seen.append(batch))
    pack, data = make_pack("wgan_gp", "images", n_critic=3), training_data("images")
    draws = pack.streams.draw(len(data))
    iteration(pack, data, draws)
    *updates, (latents,) = seen
    for i, (real, noise, epsilon) in enumerate(updates):
        for k in range(4):
            assert torch.equal(real[k], data[draws.indices[k, i]])
        assert torch.equal(noise, draws.critic_noise[:, i])
        assert torch.equal(epsilon, draws.epsilon[:, i])
    assert torch.equal(latents, draws.generator_noise[:, 0])


def test_a_critic_step_leaves_the_generator_bit_identical(
    case: tuple[str, str], precision: str, make_pack: MakePack, training_data: Data
) -> None:
    pack = make_pack(*case, precision=precision)
    generator, critic = bits(pack.generator), bits(pack.critic)
    critic_step(pack, *a_batch(pack, training_data(case[1])))
    assert bits(pack.generator) == generator
    assert bits(pack.critic) != critic


def test_a_generator_step_leaves_the_critic_bit_identical(
    case: tuple[str, str], precision: str, make_pack: MakePack
) -> None:
    pack = make_pack(*case, precision=precision)
    generator, critic = bits(pack.generator), bits(pack.critic)
    generator_step(pack, latents_of(pack))
    assert bits(pack.critic) == critic
    assert bits(pack.generator) != generator


def test_no_gradient_is_left_behind(case: tuple[str, str], make_pack: MakePack, training_data: Data) -> None:
    pack = make_pack(*case)
    EagerIterations(pack, training_data(case[1]))()
    for player in (pack.generator, pack.critic):
        assert all(p.grad is None for p in [player.values, *player.parameters, *player.network.parameters()])


def test_critic_training_puts_real_scores_above_fake_scores(
    case: tuple[str, str], precision: str, make_pack: MakePack, training_data: Data
) -> None:
    # Clipped to 0.01, a critic this narrow is so flat that bfloat16 hides all differences.
    wide = {"clip_value": 0.5} if (case[0], precision) == ("wgan_cp", "bf16") else {}
    pack = make_pack(*case, precision=precision, lr_d=1e-3, **wide)
    batch = a_batch(pack, training_data(case[1]))

    @torch.no_grad()
    def gap() -> Tensor:
        real, latents, _ = batch
        pack.critic.refresh()
        D, G = pack.critic.network, pack.generator.network
        return D(real).mean(1) - D(G(latents)).mean(1)

    critic_step(pack, *batch)  # with clipping, the first update changes the scale of all scores
    before = gap()
    for _ in range(25):
        critic_step(pack, *batch)
    after = gap()
    assert bool((after > 0).all())
    assert bool((after > before).all())


def test_a_generator_step_raises_the_critics_score_of_its_samples(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    # Clipped to 0.01, a narrow critic is so flat that float32 hides what a small step does.
    wide = {"clip_value": 0.5} if case[0] == "wgan_cp" else {}
    pack = make_pack(*case, lr_d=1e-3, lr_g=1e-5, **wide)
    for _ in range(5):
        critic_step(pack, *a_batch(pack, training_data(case[1])))
    latents = latents_of(pack)

    @torch.no_grad()
    def scores() -> Tensor:
        for player in (pack.generator, pack.critic):
            player.refresh()
        return pack.critic.network(pack.generator.network(latents)).double().mean(1)

    before = scores()
    for _ in range(3):
        generator_step(pack, latents)
        pack.generator.refresh()
    assert bool((scores() > before).all())


def test_clipped_critics_stay_within_their_own_bounds(make_pack: MakePack, training_data: Data) -> None:
    bounds = [0.001, 0.01, 0.02]
    own = [{"clip_value": c} for c in bounds]
    pack = make_pack("wgan_cp", "images", seeds=(0, 1, 2), per_member=own, lr_d=0.01)
    EagerIterations(pack, training_data("images"))()
    for k, bound in enumerate(bounds):
        largest = max(float(p[k].detach().abs().max()) for p in pack.critic.parameters)
        assert largest == pytest.approx(bound, rel=1e-6)
    assert max(float(p.detach().abs().max()) for p in pack.generator.parameters) > 0.1


def gradient_norms(loss: Tensor, player: Player[Any]) -> Tensor:
    """(M,): each member's Euclidean norm over all parameters, by autograd."""
    gradients = torch.autograd.grad(loss.sum(), list(player.network.parameters()))
    return torch.cat([g.flatten(1) for g in gradients], 1).square().sum(1).sqrt()


def test_meters_hold_what_the_step_minimised(make_pack: MakePack, training_data: Data) -> None:
    pack = make_pack("wgan_cp", "points", seeds=(0, 1))
    losses, norms = [], []
    for _ in range(3):
        real, latents, epsilon = a_batch(pack, training_data("points"))
        pack.critic.refresh()
        D, G = pack.critic.network, pack.generator.network
        loss = D(G(latents).detach()).mean(1) - D(real).mean(1)
        losses.append(loss.detach())
        norms.append(gradient_norms(loss, pack.critic))
        critic_step(pack, real, latents, epsilon)
    read = {name: meter.read_and_reset() for name, meter in pack.meters.items()}
    assert read["loss_d"] == pytest.approx(torch.stack(losses).mean(0).tolist(), rel=1e-4)
    assert read["grad_norm_d"] == pytest.approx(torch.stack(norms).mean(0).tolist(), rel=1e-4)
    assert all(map(math.isnan, read["loss_g"] + read["grad_norm_g"]))


def test_the_generators_meters_too(make_pack: MakePack) -> None:
    pack = make_pack("dcgan", "points", seeds=(0, 1))
    latents = latents_of(pack)
    loss = softplus(-pack.critic.network(pack.generator.network(latents))).mean(1)
    norms = gradient_norms(loss, pack.generator)
    generator_step(pack, latents)
    assert pack.meters["loss_g"].read_and_reset() == pytest.approx(loss.tolist(), rel=1e-5)
    assert pack.meters["grad_norm_g"].read_and_reset() == pytest.approx(norms.tolist(), rel=1e-5)


def test_meters_count_only_updates_in_which_the_member_lived(
    make_pack: MakePack, training_data: Data
) -> None:
    pack, twin = make_pack("wgan_gp", "points"), make_pack("wgan_gp", "points")
    data = training_data("points")
    for each in (pack, twin):
        critic_step(each, *a_batch(each, data))
    with torch.no_grad():
        pack.critic.parameters[0][1] = math.nan
    critic_step(pack, *a_batch(pack, data))
    expected = twin.meters["loss_d"].read_and_reset()[1]
    assert pack.meters["loss_d"].read_and_reset()[1] == expected
    critic_step(pack, *a_batch(pack, data))
    later = pack.meters["loss_d"].read_and_reset()
    assert [math.isnan(value) for value in later] == [False, True, False, False]


def test_a_member_falls_at_the_update_and_for_the_reason_that_showed_it(
    make_pack: MakePack, training_data: Data
) -> None:
    pack = make_pack("wgan_gp", "points", batch_size=16)
    data = training_data("points")
    critic_step(pack, *a_batch(pack, data))
    real, latents, epsilon = a_batch(pack, data)
    real[2, 5, 1] = math.nan
    critic_step(pack, real, latents, epsilon)
    latents = latents_of(pack)
    latents[0, 3, 0] = math.inf
    generator_step(pack, latents)
    first, second, third, fourth = pack.watch.divergences(16)
    assert (second, fourth) == (None, None)
    assert first is not None
    assert third is not None
    assert (third.kimg, third.reason) == (2 * 16 / 1000, "non-finite critic loss")
    assert (first.kimg, first.reason) == (2 * 16 / 1000, "non-finite generator loss")


def test_a_gradient_can_overflow_where_the_loss_does_not(make_pack: MakePack, training_data: Data) -> None:
    # Layers scaled by 1e-36, 1e20, 1e16 multiply to one, but the first layer's gradient is their
    # product without its own factor: 1e36 times a norm over thousands of terms, squared on the way.
    pack = make_pack("dcgan", "points")
    with torch.no_grad():
        for index, scale in ((0, 1e-36), (1, 1e-36), (2, 1e20), (3, 0.0), (4, 1e16), (5, 0.0)):
            pack.critic.parameters[index][1] *= scale
    critic_step(pack, *a_batch(pack, training_data("points")))
    reasons = [d.reason if d else "" for d in pack.watch.divergences(16)]
    assert reasons == ["", "non-finite critic gradient", "", ""]
    assert all(bool(p[1].isfinite().all()) for p in pack.critic.parameters)


def test_epsilon_matters_to_the_penalty_alone(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    pack, twin = make_pack(*case), make_pack(*case)
    real, latents, epsilon = a_batch(pack, training_data(case[1]))
    critic_step(pack, real, latents, epsilon)
    critic_step(twin, real, latents, 1 - epsilon)
    assert (bits(pack.critic) != bits(twin.critic)) == (case[0] == "wgan_gp")
