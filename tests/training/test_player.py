"""A player's parameters are one buffer, of which its network computes with copies."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from study.networks import build_critic, build_generator, initialise
from study.networks.dcgan import DCGANCritic
from study.networks.mlp import PointCritic
from study.training.player import Player
from tests.packs import CPU

MEMBERS, BATCH, LATENT, WIDTH = 3, 6, 5, 4
IMAGE, POINT = (3, 16, 16), (2,)

# Each network, and the shape of what it is given.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "image generator": (lambda: build_generator(IMAGE, LATENT, WIDTH, MEMBERS), (LATENT,)),
    "image critic": (lambda: build_critic(IMAGE, WIDTH, MEMBERS, batch_norm=False), IMAGE),
    "image critic, batch norm": (lambda: build_critic(IMAGE, WIDTH, MEMBERS, batch_norm=True), IMAGE),
    "point generator": (lambda: build_generator(POINT, LATENT, 16, MEMBERS), (LATENT,)),
    "point critic": (lambda: build_critic(POINT, 16, MEMBERS, batch_norm=False), POINT),
}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_type = pytest.mark.parametrize("compute_type", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


def plain(name: str) -> nn.Module:
    generators = [torch.Generator().manual_seed(seed) for seed in range(MEMBERS)]
    return initialise(NETWORKS[name][0](), generators, "normal_0.02" if "image" in name else "torch")


def player_of(name: str, compute_type: torch.dtype = torch.float32) -> Player[nn.Module]:
    return Player(plain(name), CPU, compute_type)


def inputs_of(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    stream = torch.Generator().manual_seed(9)
    return torch.randn(MEMBERS, BATCH, *NETWORKS[name][1], generator=stream, dtype=torch.float64).to(dtype)


def loss_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """Something of each member's output, (M,), in the type that training has it in."""
    output = network(inputs)
    assert output.dtype == inputs.dtype
    return (output - 0.3).square().flatten(1).mean(1)


def penalty_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """A gradient penalty, (M,); shifts are not in the slope: the scores bring them in."""
    assert isinstance(network, PointCritic | DCGANCritic)
    slope = network.input_gradient(inputs).to(inputs.dtype)
    penalty = (torch.linalg.vector_norm(slope.flatten(2), dim=2) - 1).square().mean(1)
    return penalty + network(inputs).mean(1)


@each_type
@each_network
def test_parameters_are_the_networks_initial_ones_member_by_member(
    name: str, compute_type: torch.dtype
) -> None:
    for own, expected in zip(player_of(name, compute_type).parameters, plain(name).parameters(), strict=True):
        assert own.dtype == torch.float32
        assert torch.equal(own, expected.detach())


@each_network
def test_every_number_of_the_buffer_is_one_parameters(name: str) -> None:
    player = player_of(name)
    members, size = player.values.shape
    assert (members, player.values.dtype) == (MEMBERS, torch.float32)
    player.values.copy_(torch.arange(members * size).view(members, size))
    for k in range(members):
        seen = torch.cat([p[k].flatten() for p in player.parameters])
        assert sorted(seen.tolist()) == list(range(k * size, (k + 1) * size))


@each_type
@each_network
def test_the_network_follows_its_parameters_at_a_refresh_and_not_before(
    name: str, compute_type: torch.dtype
) -> None:
    player, inputs = player_of(name, compute_type), inputs_of(name)
    initial = player.network(inputs)
    player.values.mul_(-1.25)
    assert torch.equal(player.network(inputs), initial)
    player.refresh()
    assert not torch.equal(player.network(inputs), initial)
    for copy, parameter in zip(player.network.parameters(), player.parameters, strict=True):
        assert torch.equal(copy.detach(), parameter.to(copy.dtype))


@each_network
def test_a_refresh_leaves_the_networks_parameters_where_they_are(name: str) -> None:
    # A captured graph goes on writing to and computing with the same tensors.
    player = player_of(name)
    before = [(id(p), p.data_ptr()) for p in player.network.parameters()]
    player.refresh()
    assert [(id(p), p.data_ptr()) for p in player.network.parameters()] == before
    assert not {p.data_ptr() for p in player.parameters} & {place for _, place in before}


# Layers that touch points and scores, and batch norm.
EXACT = {
    "image generator": {"upsample.0", "upsample.3"},
    "image critic": {"score"},
    "image critic, batch norm": {"registered.2", "score"},
    "point generator": {"points"},
    "point critic": {"hidden.0", "score"},
}


@each_network
def test_copies_are_in_bfloat16_but_for_exact_layers(name: str) -> None:
    for parameter, copy in player_of(name, torch.bfloat16).network.named_parameters():
        exact = parameter.rpartition(".")[0] in EXACT[name]
        assert copy.dtype == (torch.float32 if exact else torch.bfloat16), parameter


@each_type
@each_network
def test_copies_of_convolutions_have_channels_last_in_memory(name: str, compute_type: torch.dtype) -> None:
    player = player_of(name, compute_type)
    player.refresh()
    convolutions = [copy for copy in player.network.parameters() if copy.dim() == 5]
    assert len(convolutions) == (2 if name.startswith("image") else 0)
    assert all(copy.permute(0, 1, 3, 4, 2).is_contiguous() for copy in convolutions)


@pytest.mark.usefixtures("double")
@each_network
def test_a_gradient_is_autograds_of_the_plain_network(name: str) -> None:
    player, network, inputs = player_of(name, torch.float64), plain(name), inputs_of(name, torch.float64)
    gradient = player.gradient(loss_of(player.network, inputs))
    expected = torch.autograd.grad(loss_of(network, inputs).sum(), list(network.parameters()))
    assert (gradient.shape, gradient.dtype) == (player.values.shape, torch.float64)
    # Where a parameter lies in the buffer, there lies its gradient.
    player.values.copy_(gradient)
    for own, textbook in zip(player.parameters, expected, strict=True):
        torch.testing.assert_close(own, textbook, rtol=1e-10, atol=1e-14)
        assert bool(textbook.any())


@each_type
@pytest.mark.parametrize(
    ("name", "loss", "allowed"),
    [
        # A rounding to bfloat16 is one of 0.4% at most; a batch norm of six samples magnifies it.
        *((name, loss_of, 0.1) for name in NETWORKS),
        # Four or five roundings in a row.
        ("image critic", penalty_of, 0.02),
        ("point critic", penalty_of, 0.02),
    ],
)
def test_a_gradient_in_either_precision_is_near_the_exact_one(
    name: str, loss: Callable[[nn.Module, Tensor], Tensor], allowed: float, compute_type: torch.dtype
) -> None:
    exact, player = player_of(name), player_of(name, compute_type)
    expected = exact.gradient(loss(exact.network.double(), inputs_of(name, torch.float64)))
    gradient = player.gradient(loss(player.network, inputs_of(name)))
    assert gradient.dtype == torch.float32
    error = (gradient - expected).norm(dim=1) / expected.norm(dim=1)
    bfloat16 = compute_type == torch.bfloat16
    assert float(error.max()) < (allowed if bfloat16 else 1e-5)
    assert (float(error.min()) > 1e-5) == bfloat16


def test_a_gradient_is_overwritten_in_place_by_the_next() -> None:
    player, inputs = player_of("point critic"), inputs_of("point critic")
    first = player.gradient(loss_of(player.network, inputs))
    before = first.clone()
    second = player.gradient(loss_of(player.network, 2 * inputs))
    assert second.data_ptr() == first.data_ptr()
    assert not torch.equal(second, before)
    assert first.data_ptr() != player.values.data_ptr()


@each_type
@each_network
def test_a_gradient_changes_neither_parameters_nor_the_network(name: str, compute_type: torch.dtype) -> None:
    player, inputs = player_of(name, compute_type), inputs_of(name)
    values, output = player.values.clone(), player.network(inputs)
    player.gradient(loss_of(player.network, inputs))
    assert torch.equal(player.values, values)
    assert torch.equal(player.network(inputs), output)
    assert all(p.grad is None for p in player.network.parameters())


@each_network
def test_exactly_it_computes_with_the_parameters_and_then_as_before(name: str) -> None:
    player = player_of(name, torch.bfloat16)
    before = [weight.detach().clone() for weight in player.weights]
    addresses = [weight.data_ptr() for weight in player.weights]
    player.values.mul_(1.01)  # not yet refreshed
    with player.exact() as network:
        assert not network.training
        assert not torch.backends.cudnn.allow_tf32
        for weight, parameter in zip(network.parameters(), player.parameters, strict=True):
            assert torch.equal(weight, parameter)
    assert player.network.training
    assert torch.backends.cudnn.allow_tf32
    assert [weight.data_ptr() for weight in player.weights] == addresses  # CUDA graphs know them
    for weight, own in zip(player.weights, before, strict=True):
        assert weight.dtype == own.dtype
        assert torch.equal(weight, own)
