"""One iteration is the papers' algorithm box, and moves what it should and nothing else."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from study.networks import build_critic, build_generator, initialise
from study.training.capture import EagerIterations
from study.training.divergence import Divergence
from study.training.pack import Pack
from study.training.player import Player
from study.training.step import critic_step, generator_step
from study.training.streams import Streams, generator_for
from tests import textbook
from tests.packs import CPU, Case, make_pack, reasons, training_data


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
def test_training_is_the_papers_algorithm(case: Case, data: Tensor) -> None:
    """Against plain torch: one member, torch's layers, torch.optim, autograd, as in the algorithm boxes."""
    model, pack = case[0], make_pack(*case, seeds=(3,), lr_g=1e-3, lr_d=2e-3)
    config, shape, batch_norm = pack.config, tuple(data.shape[1:]), model != "wgan_gp"
    G = textbook.generator(shape, config.latent_dim, config.width)
    D = textbook.critic(shape, config.width, batch_norm=batch_norm)
    streams = [generator_for(pack.study_seed, 3, f"initial {player}") for player in ("generator", "critic")]
    initial_g = build_generator(shape, config.latent_dim, config.width, 1)
    initial_d = build_critic(shape, config.width, 1, batch_norm=batch_norm)
    initialise(initial_g, streams[:1], config.init), initialise(initial_d, streams[1:], config.init)
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


def test_a_step_moves_its_own_player_alone(case: Case, data: Tensor, precision: str) -> None:
    pack = make_pack(*case, precision=precision)
    players = pack.generator, pack.critic
    generator, critic = [bits(player) for player in players]
    critic_step(pack, *a_batch(pack, data))
    stepped = bits(pack.critic)
    assert bits(pack.generator) == generator
    assert stepped != critic
    generator_step(pack, latents_of(pack))
    assert bits(pack.critic) == stepped
    assert bits(pack.generator) != generator
    for player in players:  # and no gradient is left behind
        assert all(p.grad is None for p in [player.values, *player.parameters, *player.network.parameters()])


def test_critic_training_puts_real_scores_above_fake_scores(case: Case, data: Tensor, precision: str) -> None:
    # Clipped to 0.01, a critic this narrow is so flat that bfloat16 hides all differences.
    wide: dict[str, Any] = {"clip_value": 0.5} if (case[0], precision) == ("wgan_cp", "bf16") else {}
    pack = make_pack(*case, precision=precision, lr_d=1e-3, **wide)
    batch = a_batch(pack, data)
    gaps = []
    for steps in (1, 100):  # with clipping, the first update changes the scale of all scores
        for _ in range(steps):
            critic_step(pack, *batch)
        pack.critic.refresh()
        D, G = pack.critic.network, pack.generator.network
        gaps.append(D(batch[0]).mean(1) - D(G(batch[1])).mean(1))
    assert bool((gaps[1] > 0).all())
    assert bool((gaps[1] > gaps[0]).all())


def test_meters_hold_what_the_steps_minimised() -> None:
    pack = make_pack("wgan_cp", "points", seeds=(0, 1))
    D, G = pack.critic.network, pack.generator.network

    def norms(loss: Tensor, network: nn.Module) -> list[float]:
        """Each member's Euclidean norm over all parameters, by autograd."""
        gradients = torch.autograd.grad(loss.sum(), list(network.parameters()))
        return torch.cat([g.flatten(1) for g in gradients], 1).norm(dim=1).tolist()

    real, latents, epsilon = a_batch(pack, training_data("points"))
    loss = D(G(latents).detach()).mean(1) - D(real).mean(1)
    expected = {"loss_d": loss.tolist(), "grad_norm_d": norms(loss, D)}
    critic_step(pack, real, latents, epsilon)
    assert all(map(math.isnan, pack.meters["loss_g"].read_and_reset()))

    pack.critic.refresh()
    latents = latents_of(pack)
    loss = -D(G(latents)).mean(1)
    expected |= {"loss_g": loss.tolist(), "grad_norm_g": norms(loss, G)}
    generator_step(pack, latents)
    for name, values in expected.items():
        assert pack.meters[name].read_and_reset() == pytest.approx(values, rel=1e-4)


def test_meters_count_only_updates_in_which_the_member_lived() -> None:
    pack, twin = make_pack("wgan_gp", "points"), make_pack("wgan_gp", "points")
    data = training_data("points")
    for each in (pack, twin):
        critic_step(each, *a_batch(each, data))
    pack.critic.parameters[0][1] = math.nan
    critic_step(pack, *a_batch(pack, data))
    loss, expected = (each.meters["loss_d"].read_and_reset()[1] for each in (pack, twin))
    assert loss == expected
    critic_step(pack, *a_batch(pack, data))
    later = pack.meters["loss_d"].read_and_reset()
    assert [math.isnan(value) for value in later] == [False, True, False, False]


def test_a_member_falls_at_the_update_and_for_the_reason_that_showed_it() -> None:
    pack, data = make_pack("wgan_gp", "points"), training_data("points")
    critic_step(pack, *a_batch(pack, data))
    real, latents, epsilon = a_batch(pack, data)
    real[2, 5, 1] = math.nan
    critic_step(pack, real, latents, epsilon)
    latents = latents_of(pack)
    latents[0, 3, 0] = math.inf
    generator_step(pack, latents)
    of_generator, of_critic = (Divergence(0.032, f"non-finite {p} loss") for p in ("generator", "critic"))
    assert pack.watch.divergences(16) == [of_generator, None, of_critic, None]


def test_a_gradient_can_overflow_where_the_loss_does_not() -> None:
    # Layers scaled by 1e-36, 1e20, 1e16 multiply to one, but the first layer's gradient is their
    # product without its own factor: 1e36 times a norm over thousands of terms, squared on the way.
    pack = make_pack("dcgan", "points")
    for index, scale in enumerate((1e-36, 1e-36, 1e20, 0.0, 1e16, 0.0)):
        pack.critic.parameters[index][1] *= scale
    before = pack.critic.values[1].clone()
    critic_step(pack, *a_batch(pack, training_data("points")))
    assert reasons(pack) == ["", "non-finite critic gradient", "", ""]
    assert torch.equal(pack.critic.values[1], before)
