"""One iteration is the papers' algorithm box, and moves what it should and nothing else."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from study.networks import build_critic, build_generator
from study.training.pack import Pack
from study.training.step import critic_step, generator_step, gradient_norms, iteration
from study.training.streams import Streams, generator_for

MakePack = Callable[..., Pack]
Data = Callable[[str], Tensor]
CPU = torch.device("cpu")


def bits(parameters: Sequence[Tensor]) -> list[bytes]:
    return [p.detach().numpy().tobytes() for p in parameters]


def a_batch(pack: Pack, data: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Real samples, latents and (for the penalty) epsilon, as an iteration draws them."""
    config = pack.config
    real = data[pack.streams.indices(config.batch_size, len(data))]
    latents = pack.streams.latents("critic noise", config.batch_size, config.latent_dim)
    return real, latents, pack.streams.epsilon(config.batch_size) if pack.penalty else None


@pytest.mark.usefixtures("double")
def test_training_is_the_papers_algorithm(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    """Against plain torch: one member, torch.optim, losses written out, as in the algorithm boxes."""
    model, kind = case
    pack, data = make_pack(model, kind, seeds=(3,), lr_g=1e-3, lr_d=2e-3), training_data(kind)
    config = pack.config
    study_seed = pack.study_seed
    D = build_critic(
        tuple(data.shape[1:]),
        config.width,
        [generator_for(study_seed, 3, "initial critic")],
        batch_norm=model != "wgan_gp",
    )
    G = build_generator(
        tuple(data.shape[1:]),
        config.latent_dim,
        config.width,
        [generator_for(study_seed, 3, "initial generator")],
    )
    start = [next(G.parameters()).detach().clone(), next(D.parameters()).detach().clone()]

    def optimiser(parameters: Any, lr: float) -> torch.optim.Optimizer:
        if model == "wgan_cp":
            return torch.optim.RMSprop(parameters, lr=lr, alpha=config.beta2, momentum=config.beta1)
        return torch.optim.Adam(parameters, lr=lr, betas=(config.beta1, config.beta2))

    optimiser_d, optimiser_g = optimiser(D.parameters(), 2e-3), optimiser(G.parameters(), 1e-3)
    streams = Streams(study_seed, [3], CPU)
    for _ in range(3):
        iteration(pack, data)
        for _ in range({"dcgan": 1, "wgan_cp": 5, "wgan_gp": 5}[model]):
            real = data[streams.indices(config.batch_size, len(data))]
            fake = G(streams.latents("critic noise", config.batch_size, config.latent_dim)).detach()
            if model == "dcgan":
                loss = (softplus(-D(real)) + softplus(D(fake))).mean()
            else:
                loss = (D(fake) - D(real)).mean()
            if model == "wgan_gp":
                epsilon = streams.epsilon(config.batch_size).view(1, -1, *[1] * (real.dim() - 2))
                x_hat = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
                (slope,) = torch.autograd.grad(D(x_hat).sum(), x_hat, create_graph=True)
                norm = slope.flatten(2).square().sum(2).sqrt()
                loss = loss + 10 * ((norm - 1) ** 2).mean()
            optimiser_d.zero_grad()
            loss.backward()
            optimiser_d.step()
            if model == "wgan_cp":
                for parameter in D.parameters():
                    parameter.data.clamp_(-0.01, 0.01)
        fake = G(streams.latents("generator noise", config.batch_size, config.latent_dim))
        loss = softplus(-D(fake)).mean() if model == "dcgan" else -D(fake).mean()
        optimiser_g.zero_grad()
        loss.backward()
        optimiser_g.step()

    ours = [*pack.generator_parameters, *pack.critic_parameters]
    for own, textbook in zip(ours, [*G.parameters(), *D.parameters()], strict=True):
        torch.testing.assert_close(own, textbook, rtol=1e-9, atol=1e-10)
    firsts = (pack.generator_parameters[0], pack.critic_parameters[0])
    for own, initial in zip(firsts, start, strict=True):
        assert float((own - initial).detach().abs().max()) > 5e-4


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
    iteration(pack, training_data("points"))
    assert order == ["critic_step"] * n_critic + ["generator_step"]
    assert (pack.critic_updates, pack.generator_updates) == (n_critic, 1)


def test_every_critic_update_sees_fresh_samples_and_noise(
    make_pack: MakePack, training_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Tensor]] = []
    monkeypatch.setattr("study.training.step.critic_step", lambda _, *batch: seen.append([*batch]))
    pack, data = make_pack("wgan_gp", "points", n_critic=3), training_data("points")
    iteration(pack, data)
    iteration(pack, data)
    assert len(seen) == 6
    for part in range(3):
        assert len({batch[part].numpy().tobytes() for batch in seen}) == 6


def test_a_critic_step_leaves_the_generator_bit_identical(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    pack = make_pack(*case)
    generator, critic = bits(pack.generator_parameters), bits(pack.critic_parameters)
    state = bits(list(pack.generator.buffers()))
    critic_step(pack, *a_batch(pack, training_data(case[1])))
    assert bits(pack.generator_parameters) == generator
    assert bits(list(pack.generator.buffers())) == state
    assert bits(pack.critic_parameters) != critic


def test_a_generator_step_leaves_the_critic_bit_identical(case: tuple[str, str], make_pack: MakePack) -> None:
    pack = make_pack(*case)
    generator, critic = bits(pack.generator_parameters), bits(pack.critic_parameters)
    generator_step(pack, pack.streams.latents("generator noise", 8, pack.config.latent_dim))
    assert bits(pack.critic_parameters) == critic
    assert bits(pack.generator_parameters) != generator


def test_no_gradient_is_left_behind(case: tuple[str, str], make_pack: MakePack, training_data: Data) -> None:
    pack = make_pack(*case)
    iteration(pack, training_data(case[1]))
    assert all(p.grad is None for p in [*pack.generator_parameters, *pack.critic_parameters])


def test_critic_training_puts_real_scores_above_fake_scores(
    case: tuple[str, str], make_pack: MakePack, training_data: Data
) -> None:
    pack = make_pack(*case, lr_d=1e-3)
    batch = a_batch(pack, training_data(case[1]))

    @torch.no_grad()
    def gap() -> Tensor:
        real, latents, _ = batch
        return pack.critic(real).mean(1) - pack.critic(pack.generator(latents)).mean(1)

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
    latents = pack.streams.latents("generator noise", 16, pack.config.latent_dim)

    @torch.no_grad()
    def scores() -> Tensor:
        return pack.critic(pack.generator(latents)).double().mean(1)

    before = scores()
    for _ in range(3):
        generator_step(pack, latents)
    assert bool((scores() > before).all())


def test_clipped_critics_stay_within_their_own_bounds(make_pack: MakePack, training_data: Data) -> None:
    bounds = [0.001, 0.01, 0.02]
    own = [{"clip_value": c} for c in bounds]
    pack = make_pack("wgan_cp", "images", seeds=(0, 1, 2), per_member=own, lr_d=0.01)
    iteration(pack, training_data("images"))
    for k, bound in enumerate(bounds):
        largest = max(float(p[k].detach().abs().max()) for p in pack.critic_parameters)
        assert largest == pytest.approx(bound, rel=1e-6)
    assert max(float(p.detach().abs().max()) for p in pack.generator_parameters) > 0.1


def test_gradient_norms_are_euclidean_over_all_parameters() -> None:
    # Member 0: 3, 4 and 12, so 13. Member 1: zero.
    gradients = [torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[[12.0]], [[0.0]]])]
    assert gradient_norms(gradients).tolist() == [13.0, 0.0]


def test_meters_hold_what_the_step_minimised(make_pack: MakePack, training_data: Data) -> None:
    pack = make_pack("wgan_cp", "points", seeds=(0, 1))
    losses, norms = [], []
    for _ in range(3):
        real, latents, _ = a_batch(pack, training_data("points"))
        loss = pack.critic(pack.generator(latents).detach()).mean(1) - pack.critic(real).mean(1)
        gradients = torch.autograd.grad(loss.sum(), pack.critic_parameters)
        losses.append(loss.detach())
        norms.append(torch.cat([g.flatten(1) for g in gradients], 1).square().sum(1).sqrt())
        critic_step(pack, real, latents, None)
    read = {name: meter.read_and_reset() for name, meter in pack.meters.items()}
    assert read["loss_d"] == pytest.approx(torch.stack(losses).mean(0).tolist(), rel=1e-4)
    assert read["grad_norm_d"] == pytest.approx(torch.stack(norms).mean(0).tolist(), rel=1e-4)
    assert all(map(math.isnan, read["loss_g"] + read["grad_norm_g"]))


def test_the_generators_meters_too(make_pack: MakePack) -> None:
    pack = make_pack("dcgan", "points", seeds=(0, 1))
    latents = pack.streams.latents("generator noise", 16, pack.config.latent_dim)
    loss = softplus(-pack.critic(pack.generator(latents))).mean(1)
    gradients = torch.autograd.grad(loss.sum(), pack.generator_parameters)
    norms = torch.cat([g.flatten(1) for g in gradients], 1).square().sum(1).sqrt()
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
        pack.critic_parameters[0][1] = math.nan
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
    latents = pack.streams.latents("generator noise", 16, pack.config.latent_dim)
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
            pack.critic_parameters[index][1] *= scale
    critic_step(pack, *a_batch(pack, training_data("points")))
    reasons = [d.reason if d else "" for d in pack.watch.divergences(16)]
    assert reasons == ["", "non-finite critic gradient", "", ""]
    assert all(bool(p[1].isfinite().all()) for p in pack.critic_parameters)


def test_the_penalty_needs_epsilon(make_pack: MakePack, training_data: Data) -> None:
    pack = make_pack("wgan_gp", "points")
    real, latents, _ = a_batch(pack, training_data("points"))
    with pytest.raises(AssertionError, match="needs epsilon"):
        critic_step(pack, real, latents, None)
