"""Stacked networks are M textbook networks that know nothing of each other."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from study.networks import build_critic, build_generator, initialise
from study.networks.dcgan import DCGANCritic
from study.networks.layers import MemberBatchNorm2d, record_statistics
from study.networks.mlp import PointCritic
from tests import textbook
from tests.textbook import copy_weights, in_layout_of

IMAGE = (1, 16, 16)
LATENT, WIDTH, BATCH = 5, 3, 4
LAW = "he"
HIDDEN = 12  # of the networks for points: fewer ReLUs may all be shut


def streams(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(*shape: int, seed: int = 99) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def usual(shape: tuple[int, ...]) -> int:
    return HIDDEN if len(shape) == 1 else WIDTH


def generator(shape: tuple[int, ...], *seeds: int, width: int = 0) -> nn.Module:
    network = build_generator(shape, LATENT, width or usual(shape), len(seeds))
    return initialise(network, streams(*seeds), LAW)


def critic(
    shape: tuple[int, ...], *seeds: int, batch_norm: bool = True, width: int = 0
) -> PointCritic | DCGANCritic:
    network = build_critic(shape, width or usual(shape), len(seeds), batch_norm=batch_norm)
    return initialise(network, streams(*seeds), LAW)


def scramble(network: nn.Module) -> None:
    """Weights, biases, scales and shifts of ordinary size, so that every one of them matters."""
    stream = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.5)


def assert_same_gradients(ours: Sequence[Tensor], theirs: Sequence[Tensor], member: int = 0) -> None:
    for own, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(in_layout_of(their, own[member]), their, rtol=1e-9, atol=1e-10)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("shape", [(2,), (3, 8, 8), (1, 16, 16), (3, 32, 32), (1, 64, 64)], ids=str)
def test_one_generator_is_the_textbooks_forward_and_backward(shape: tuple[int, ...]) -> None:
    ours, theirs = generator(shape, 0), textbook.generator(shape, LATENT, usual(shape))
    scramble(ours)
    copy_weights(ours, theirs)
    latents, weights = noise(BATCH, LATENT), noise(BATCH, *shape, seed=5)
    images = ours(latents[None])[0]
    expected = theirs(latents)
    torch.testing.assert_close(images, expected, rtol=1e-10, atol=1e-12)
    assert_same_gradients(
        torch.autograd.grad((images * weights).sum(), list(ours.parameters())),
        torch.autograd.grad((expected * weights).sum(), list(theirs.parameters())),
    )


SHAPES = [(2,), (1, 8, 8), (3, 8, 8), (1, 16, 16), (3, 16, 16), (3, 32, 32), (1, 64, 64)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_critic = pytest.mark.parametrize(
    ("shape", "batch_norm"),
    [*((shape, False) for shape in SHAPES), *((shape, True) for shape in SHAPES[3:])],
    ids=str,
)
each_pack = pytest.mark.parametrize("members", [1, 3])


@pytest.mark.usefixtures("double")
@each_critic
def test_one_critic_is_the_textbooks_forward_and_backward(shape: tuple[int, ...], batch_norm: bool) -> None:
    ours = critic(shape, 0, batch_norm=batch_norm)
    theirs = textbook.critic(shape, usual(shape), batch_norm=batch_norm)
    scramble(ours)
    copy_weights(ours, theirs)

    def backward(network: nn.Module, samples: Tensor) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
        scores = network(samples.requires_grad_())
        for_samples, *for_weights = torch.autograd.grad(
            scores.square().sum(), [samples, *network.parameters()]
        )
        return scores, for_samples, for_weights

    samples = noise(BATCH, *shape)
    scores, for_samples, for_weights = backward(ours, samples[None])
    expected = backward(theirs, samples.clone())
    torch.testing.assert_close(scores[0], expected[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(for_samples[0], expected[1], rtol=1e-9, atol=1e-10)
    assert_same_gradients(for_weights, expected[2])


@pytest.mark.usefixtures("double")
@each_pack
@each_shape
def test_the_input_gradient_is_autograds(shape: tuple[int, ...], members: int) -> None:
    network = critic(shape, *range(members), batch_norm=False)
    scramble(network)
    samples = noise(members, BATCH, *shape).requires_grad_()
    (expected,) = torch.autograd.grad(network(samples).sum(), samples)
    gradient = network.input_gradient(samples.detach())
    assert gradient.shape == samples.shape
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)
    assert bool(expected.flatten(2).any(2).all())


@pytest.mark.usefixtures("double")
@each_pack
@each_shape
def test_a_gradient_penaltys_gradient_is_the_textbooks_double_backward(
    shape: tuple[int, ...], members: int
) -> None:
    """How the norm of the slope depends on every weight; on a shift it does not."""
    ours = critic(shape, *range(members), batch_norm=False)
    scramble(ours)
    samples = noise(members, BATCH, *shape)

    def penalty(slope: Tensor) -> Tensor:
        return (slope.flatten(-len(shape)).norm(dim=-1) - 1).square().sum()

    def gradients(value: Tensor, network: nn.Module) -> Sequence[Tensor]:
        wanted = list(network.parameters())
        return torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True)

    value = penalty(ours.input_gradient(samples))
    own = gradients(value, ours)
    total = torch.zeros(())
    for k in range(members):
        theirs = textbook.critic(shape, usual(shape), batch_norm=False)
        copy_weights(ours, theirs, k)
        x = samples[k].clone().requires_grad_()
        (slope,) = torch.autograd.grad(theirs(x).sum(), x, create_graph=True)
        total = total + penalty(slope).detach()
        expected = gradients(penalty(slope), theirs)
        assert_same_gradients(own, expected, k)
        assert all(bool(g.any()) for g in expected if g.dim() > 1)
    torch.testing.assert_close(value.detach(), total, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(2,), (1, 16, 16)])
def test_the_input_gradient_leaves_its_samples_and_the_graph_of_their_making_alone(
    shape: tuple[int, ...],
) -> None:
    network, samples = critic(shape, 0, 1, batch_norm=False), noise(2, BATCH, *shape)
    before = samples.clone()
    gradient = network.input_gradient(samples.requires_grad_())
    assert torch.equal(samples, before)
    assert gradient.requires_grad
    assert torch.autograd.grad(gradient.sum(), samples, allow_unused=True) == (None,)


@pytest.mark.usefixtures("double")
@each_pack
@each_critic
def test_two_batches_at_once_are_two_calls(shape: tuple[int, ...], batch_norm: bool, members: int) -> None:
    network = critic(shape, *range(members), batch_norm=batch_norm)
    scramble(network)
    # Of different means and spreads, so that statistics of both together would be others.
    real, fake = noise(members, BATCH, *shape), 3 * noise(members, BATCH, *shape, seed=5) + 2
    together = network(torch.cat([real, fake], 1), batches=2)
    apart = torch.cat([network(real), network(fake)], 1)
    torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-12)
    weights, seen = list(network.parameters()), noise(members, 2 * BATCH, seed=6)
    gradients, expected = (torch.autograd.grad(scores, weights, seen) for scores in (together, apart))
    torch.testing.assert_close(gradients, expected, rtol=1e-9, atol=1e-10)
    mixed = network(torch.cat([real, fake], 1))
    assert torch.allclose(mixed, apart) != batch_norm


@pytest.mark.parametrize("side", [0, 4, 12, 28, 48])
def test_a_side_that_is_no_power_of_two_is_refused(side: int) -> None:
    for build in (generator, critic):
        with pytest.raises(ValueError, match=f"image side {side}: DCGAN needs a power of two"):
            build((1, side, side), 0)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda *seeds: generator(IMAGE, *seeds), (LATENT,)),
        (lambda *seeds: critic(IMAGE, *seeds, batch_norm=False), IMAGE),
        (lambda *seeds: critic(IMAGE, *seeds, batch_norm=True), IMAGE),
        (lambda *seeds: generator((2,), *seeds), (LATENT,)),
        (lambda *seeds: critic((2,), *seeds), (2,)),
    ],
    ids=["image generator", "image critic", "image critic, batch norm", "point generator", "point critic"],
)
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


@pytest.mark.usefixtures("double")
def test_recorded_statistics_are_those_of_one_textbook_batch_with_momentum_one() -> None:
    ours, theirs = generator(IMAGE, 0), textbook.generator(IMAGE, LATENT, WIDTH)
    scramble(ours)
    copy_weights(ours, theirs)
    fresh, fixed = noise(1, 32, LATENT, seed=1), noise(1, 6, LATENT, seed=2)
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    record_statistics(ours, fresh)
    theirs(fresh[0])
    torch.testing.assert_close(ours.eval()(fixed)[0], theirs.eval()(fixed[0]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_statistics_are_recorded_in_either_mode(mode: str) -> None:
    network, fresh, fixed = generator(IMAGE, 0, 1), noise(2, 16, LATENT), noise(2, 3, LATENT, seed=1)
    expected_network = generator(IMAGE, 0, 1)
    record_statistics(expected_network, fresh)
    record_statistics(network.train(mode == "train"), fresh)
    assert torch.equal(network.eval()(fixed), expected_network.eval()(fixed))


def test_the_last_training_batch_never_leaks_into_evaluation() -> None:
    network, fixed = generator(IMAGE, 0, 1), noise(2, 6, LATENT, seed=2)
    record_statistics(network, noise(2, 16, LATENT))
    before = network.eval()(fixed)
    network.train()(100 * noise(2, 8, LATENT, seed=3))
    assert torch.equal(network.eval()(fixed), before)


def test_a_fault_while_recording_ends_the_recording() -> None:
    network = generator(IMAGE, 0)
    with pytest.raises(RuntimeError):
        record_statistics(network, noise(1, 4, LATENT + 1))
    norms = [m for m in network.modules() if isinstance(m, MemberBatchNorm2d)]
    assert not any(norm.recording for norm in norms)


def test_a_critic_with_batch_norm_has_no_gradient_of_each_image_alone() -> None:
    with pytest.raises(ValueError, match="batch norm mixes samples"):
        critic(IMAGE, 0, batch_norm=True).input_gradient(noise(1, BATCH, *IMAGE))
