"""Stacked networks are M textbook networks that know nothing of each other."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from study.networks import build_critic, build_generator
from study.networks.layers import MemberBatchNorm2d, record_statistics

IMAGE = (1, 16, 16)
LATENT, WIDTH, BATCH = 5, 3, 4


def streams(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(*shape: int, seed: int = 99) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator(shape: tuple[int, ...], *seeds: int, width: int = WIDTH) -> nn.Module:
    return build_generator(shape, LATENT, width, streams(*seeds))


def critic(shape: tuple[int, ...], *seeds: int, batch_norm: bool = True, width: int = WIDTH) -> nn.Module:
    return build_critic(shape, width, streams(*seeds), batch_norm=batch_norm)


def textbook_generator(channels: int, side: int) -> nn.Sequential:
    """Radford et al. 2016, figure 1: a 4x4 map from the latent, doubled until it has the image's side."""
    levels = int(math.log2(side // 4))
    n = WIDTH * 2 ** (levels - 1)
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT, n, 4, 1, 0, bias=False),
        nn.BatchNorm2d(n, momentum=1.0),
        nn.ReLU(),
    ]
    while n > WIDTH:
        layers += [
            nn.ConvTranspose2d(n, n // 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(n // 2, momentum=1.0),
            nn.ReLU(),
        ]
        n //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(n, channels, 4, 2, 1), nn.Tanh())


def textbook_critic(channels: int, side: int, batch_norm: bool) -> nn.Sequential:
    """The mirror image, LeakyReLU 0.2; batch norm everywhere but next to the image and the score."""
    layers: list[nn.Module] = [nn.Conv2d(channels, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)]
    n, side = WIDTH, side // 2
    while side > 4:
        layers.append(nn.Conv2d(n, 2 * n, 4, 2, 1, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(2 * n, momentum=1.0))
        layers.append(nn.LeakyReLU(0.2))
        n, side = 2 * n, side // 2
    return nn.Sequential(*layers, nn.Conv2d(n, 1, 4, 1, 0), nn.Flatten(0))


def textbook_mlp(n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n in ((2 if n_out == 1 else LATENT, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH)):
        layers += [nn.Linear(n_in, n), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, n_out))


def scramble(network: nn.Module) -> None:
    """Weights, biases, scales and shifts of ordinary size, so that every one of them matters."""
    stream = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.5)


@torch.no_grad()
def copy_weights(ours: nn.Module, theirs: nn.Module) -> list[Callable[[Tensor], Tensor]]:
    """Copy our one member into the textbook network; how to shape their gradients like ours."""
    back: list[Callable[[Tensor], Tensor]] = []
    for own, textbook in zip(ours.parameters(), theirs.parameters(), strict=True):
        linear = textbook.dim() == 2
        values = own[0].T if linear else own[0].reshape(textbook.shape)
        textbook.copy_(values)
        back.append(
            lambda g, own=own, linear=linear: (g.T if linear else g).reshape(own.shape)  # type: ignore[misc]
        )
    return back


def assert_same_gradients(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], back: Sequence[Callable[[Tensor], Tensor]]
) -> None:
    for own, textbook, shaped in zip(ours, theirs, back, strict=True):
        torch.testing.assert_close(own, shaped(textbook), rtol=1e-9, atol=1e-10)


GENERATORS = {
    "points": ((2,), lambda: textbook_mlp(2)),
    "16 grey": ((1, 16, 16), lambda: textbook_generator(1, 16)),
    "32 colour": ((3, 32, 32), lambda: textbook_generator(3, 32)),
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("shape", "textbook"), GENERATORS.values(), ids=GENERATORS.keys())
def test_one_generator_is_the_textbooks_forward_and_backward(
    shape: tuple[int, ...], textbook: Callable[[], nn.Module]
) -> None:
    ours, theirs = generator(shape, 0), textbook()
    scramble(ours)
    back = copy_weights(ours, theirs)
    latents, weights = noise(BATCH, LATENT), noise(BATCH, *shape, seed=5)
    images = ours(latents[None])[0]
    expected = theirs(latents if len(shape) == 1 else latents[:, :, None, None])
    torch.testing.assert_close(images, expected, rtol=1e-10, atol=1e-12)
    assert_same_gradients(
        torch.autograd.grad((images * weights).sum(), list(ours.parameters())),
        torch.autograd.grad((expected * weights).sum(), list(theirs.parameters())),
        back,
    )


CRITICS = {
    "points": ((2,), False, lambda: nn.Sequential(textbook_mlp(1), nn.Flatten(0))),
    "16 grey, batch norm": ((1, 16, 16), True, lambda: textbook_critic(1, 16, True)),
    "16 grey": ((1, 16, 16), False, lambda: textbook_critic(1, 16, False)),
    "32 colour": ((3, 32, 32), False, lambda: textbook_critic(3, 32, False)),
    "32 colour, batch norm": ((3, 32, 32), True, lambda: textbook_critic(3, 32, True)),
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("shape", "batch_norm", "textbook"), CRITICS.values(), ids=CRITICS.keys())
def test_one_critic_is_the_textbooks_forward_backward_and_twice_backward(
    shape: tuple[int, ...], batch_norm: bool, textbook: Callable[[], nn.Module]
) -> None:
    ours, theirs = critic(shape, 0, batch_norm=batch_norm), textbook()
    scramble(ours)
    back = copy_weights(ours, theirs)

    def twice(network: nn.Module, samples: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """Scores, and how the slope at the samples depends on the weights: what the penalty needs."""
        scores = network(samples)
        (slope,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
        value = scores.square().sum() + (slope.flatten(-len(shape)).norm(dim=-1) - 1).square().sum()
        # A shift behind the last slope of a ReLU network does not appear in that slope.
        return scores, torch.autograd.grad(value, list(network.parameters()))

    samples = noise(BATCH, *shape)
    scores, gradients = twice(ours, samples[None].requires_grad_())
    expected, expected_gradients = twice(theirs, samples.clone().requires_grad_())
    torch.testing.assert_close(scores[0], expected, rtol=1e-10, atol=1e-12)
    assert_same_gradients(gradients, expected_gradients, back)


@pytest.mark.parametrize("side", [8, 16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_image_networks_keep_their_shape_contract(side: int, channels: int) -> None:
    shape = (channels, side, side)
    images = generator(shape, 0, 1, 2)(noise(3, BATCH, LATENT))
    assert images.shape == (3, BATCH, *shape)
    assert float(images.detach().abs().max()) <= 1
    for batch_norm in (True, False):
        assert critic(shape, 0, 1, 2, batch_norm=batch_norm)(images).shape == (3, BATCH)


def test_point_networks_keep_their_shape_contract() -> None:
    points = generator((2,), 0, 1, 2)(noise(3, BATCH, LATENT))
    assert points.shape == (3, BATCH, 2)
    assert critic((2,), 0, 1, 2)(points).shape == (3, BATCH)


@pytest.mark.parametrize("side", [0, 4, 12, 28, 48])
def test_a_side_that_is_no_power_of_two_is_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"image side {side}: DCGAN needs a power of two"):
        generator((1, side, side), 0)
    with pytest.raises(ValueError, match=f"image side {side}: DCGAN needs a power of two"):
        critic((1, side, side), 0)


def test_width_counts_the_channels_next_to_the_image() -> None:
    shape, seeds, width = (3, 32, 32), (0,), 5
    *_, last, _ = [p for p in generator(shape, *seeds, width=width).parameters() if p.dim() >= 2]
    first = next(critic(shape, *seeds, width=width).parameters())
    assert last.shape == (1, width, 3, 4, 4)
    assert first.shape == (1, width, 3, 4, 4)


NETWORKS: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    "image generator": (lambda *seeds: generator(IMAGE, *seeds), (LATENT,)),
    "image critic": (lambda *seeds: critic(IMAGE, *seeds, batch_norm=False), IMAGE),
    "image critic, batch norm": (lambda *seeds: critic(IMAGE, *seeds, batch_norm=True), IMAGE),
    "point generator": (lambda *seeds: generator((2,), *seeds), (LATENT,)),
    "point critic": (lambda *seeds: critic((2,), *seeds), (2,)),
}
each_network = pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS.keys())


@each_network
def test_initial_weights_do_not_depend_on_the_pack(
    build: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    del shape
    alone, packed = build(5), build(3, 5, 9)
    for one, three in zip(alone.parameters(), packed.parameters(), strict=True):
        assert torch.equal(one[0], three[1])


@each_network
def test_members_of_other_seeds_start_elsewhere(
    build: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    del shape
    first = next(build(5, 6).parameters())
    assert not torch.equal(first[0], first[1])


@each_network
def test_a_member_computes_what_it_computes_alone(
    build: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    inputs = noise(4, BATCH, *shape)
    packed = build(10, 11, 12, 13)(inputs)
    for k in range(4):
        alone = build(10 + k)(inputs[k : k + 1])[0]
        torch.testing.assert_close(packed[k], alone, rtol=1e-5, atol=1e-6)


@each_network
def test_a_members_output_depends_on_its_own_weights_and_input_alone(
    build: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    network = build(10, 11, 12)
    inputs = noise(3, BATCH, *shape).requires_grad_()
    wanted = [inputs, *network.parameters()]
    for gradient in torch.autograd.grad(network(inputs)[1].square().sum(), wanted):
        assert not gradient[0].any()
        assert not gradient[2].any()
    assert gradient.shape[0] == 3


@each_network
def test_nan_weights_of_one_member_leave_the_others_bits(
    build: Callable[..., nn.Module], shape: tuple[int, ...]
) -> None:
    network, inputs = build(10, 11, 12), noise(3, BATCH, *shape)
    before = network(inputs)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[1] = math.nan
    after = network(inputs)
    assert after[1].isnan().all()
    assert torch.equal(after[[0, 2]], before[[0, 2]])


def test_image_weights_start_normal_with_std_002() -> None:
    for network in (generator(IMAGE, 0, width=32), critic(IMAGE, 0, width=32)):
        for parameter in network.parameters():
            values = parameter.detach().double()
            if values.numel() < 2000:
                continue
            # Of n normal numbers the mean has standard error s/sqrt(n), the spread s/sqrt(2n).
            n = values.numel()
            assert abs(float(values.mean())) < 5 * 0.02 / math.sqrt(n)
            assert abs(float(values.std()) - 0.02) < 5 * 0.02 / math.sqrt(2 * n)


def test_batch_norm_scales_start_about_one_and_shifts_at_zero() -> None:
    norms = [m for m in generator(IMAGE, 0, width=64).modules() if isinstance(m, MemberBatchNorm2d)]
    assert len(norms) == 2
    for norm in norms:
        scales = norm.weight.detach()
        assert abs(float(scales.mean()) - 1) < 5 * 0.02 / math.sqrt(scales.numel())
        assert 0 < float(scales.std()) < 0.04
        assert not norm.bias.any()


def test_point_weights_start_uniform_as_torch_linear_does() -> None:
    ours = list(generator((2,), 0, width=400).parameters())
    # U(-b, b) with b = 1/sqrt(n_in): the largest of n numbers is within 10 b/n of b, but for e^-10.
    for values, n_in in ((ours[2], 400), (ours[3], 400), (ours[4], 400)):
        bound, n = 1 / math.sqrt(n_in), values.numel()
        for extreme in (float(values.detach().max()), -float(values.detach().min())):
            assert bound * (1 - 20 / n) < extreme <= bound


def test_building_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    generator(IMAGE, 0)
    critic(IMAGE, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("double")
def test_recorded_statistics_are_those_of_one_textbook_batch_with_momentum_one() -> None:
    ours, theirs = generator(IMAGE, 0), textbook_generator(1, 16)
    scramble(ours)
    copy_weights(ours, theirs)
    fresh, fixed = noise(1, 32, LATENT, seed=1), noise(1, 6, LATENT, seed=2)
    record_statistics(ours, fresh)
    theirs(fresh[0, :, :, None, None])
    norms = [m for m in ours.modules() if isinstance(m, MemberBatchNorm2d)]
    textbook = [m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)]
    for own, their in zip(norms, textbook, strict=True):
        assert their.running_mean is not None
        assert their.running_var is not None
        torch.testing.assert_close(own.running_mean, their.running_mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(own.running_var, their.running_var, rtol=1e-10, atol=1e-12)
    ours.eval(), theirs.eval()
    expected = theirs(fixed[0, :, :, None, None])
    torch.testing.assert_close(ours(fixed)[0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_statistics_are_recorded_in_either_mode(mode: str) -> None:
    network, fresh, fixed = generator(IMAGE, 0, 1), noise(2, 16, LATENT), noise(2, 3, LATENT, seed=1)
    expected_network = generator(IMAGE, 0, 1)
    record_statistics(expected_network, fresh)
    network.train(mode == "train")
    record_statistics(network, fresh)
    assert torch.equal(network.eval()(fixed), expected_network.eval()(fixed))


def test_the_last_training_batch_never_leaks_into_evaluation() -> None:
    network, fixed = generator(IMAGE, 0, 1), noise(2, 6, LATENT, seed=2)
    record_statistics(network, noise(2, 16, LATENT))
    before = network.eval()(fixed)
    network.train()(100 * noise(2, 8, LATENT, seed=3))
    assert torch.equal(network.eval()(fixed), before)


def test_evaluation_treats_each_sample_by_itself() -> None:
    network, fixed = generator(IMAGE, 0, 1), noise(2, 6, LATENT, seed=2)
    record_statistics(network, noise(2, 16, LATENT))
    network.eval()
    torch.testing.assert_close(network(fixed)[:, :1], network(fixed[:, :1]), rtol=1e-5, atol=1e-6)


def test_a_network_without_batch_norm_has_nothing_to_record() -> None:
    network = generator((2,), 0)
    record_statistics(network, noise(1, 4, LATENT))
    assert not list(network.buffers())


def test_a_fault_while_recording_ends_the_recording() -> None:
    network = generator(IMAGE, 0)
    with pytest.raises(RuntimeError):
        record_statistics(network, noise(1, 4, LATENT + 1))
    norms = [m for m in network.modules() if isinstance(m, MemberBatchNorm2d)]
    assert not any(norm.recording for norm in norms)
