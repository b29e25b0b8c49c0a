"""A player's parameters are one buffer, of which its network computes with copies."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from study.networks import build_critic, build_generator, initialise
from study.networks.dcgan import DCGANCritic
from study.networks.layers import MemberBatchNorm2d, MemberLinear
from study.networks.mlp import PointCritic
from study.training.player import Player

CPU = torch.device("cpu")
MEMBERS, BATCH, LATENT, WIDTH = 3, 6, 5, 4
IMAGE, POINT = (3, 16, 16), (2,)

Build = Callable[..., nn.Module]


def drawn(network: nn.Module) -> nn.Module:
    members = len(next(network.parameters()))
    return initialise(network, [torch.Generator().manual_seed(seed) for seed in range(members)])


# Each network, and the shape of what it is given.
NETWORKS: dict[str, tuple[Build, tuple[int, ...]]] = {
    "image generator": (lambda m: drawn(build_generator(IMAGE, LATENT, WIDTH, m)), (LATENT,)),
    "image critic": (lambda m: drawn(build_critic(IMAGE, WIDTH, m, batch_norm=False)), IMAGE),
    "image critic, batch norm": (lambda m: drawn(build_critic(IMAGE, WIDTH, m, batch_norm=True)), IMAGE),
    "point generator": (lambda m: drawn(build_generator(POINT, LATENT, 16, m)), (LATENT,)),
    "point critic": (lambda m: drawn(build_critic(POINT, 16, m, batch_norm=False)), POINT),
}
each_network = pytest.mark.parametrize(("build", "shape"), NETWORKS.values(), ids=NETWORKS)
each_type = pytest.mark.parametrize("compute_type", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


def player_of(build: Build, compute_type: torch.dtype = torch.float32) -> Player[nn.Module]:
    return Player(build(MEMBERS), CPU, compute_type)


def inputs_of(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    stream = torch.Generator().manual_seed(9)
    return torch.randn(MEMBERS, BATCH, *shape, generator=stream, dtype=torch.float64).to(dtype)


def loss_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """Something of each member's output, (M,), in the type that training has it in."""
    output = network(inputs)
    assert output.dtype == inputs.dtype
    return (output - 0.3).square().flatten(1).mean(1)


def is_exact(network: nn.Module, name: str) -> bool:
    """Whether a parameter is of a layer that computes in float32 in every precision."""
    layer = network.get_submodule(name.rpartition(".")[0])
    return isinstance(layer, MemberBatchNorm2d) or (isinstance(layer, MemberLinear) and layer.exact)


@each_type
@each_network
def test_parameters_are_the_networks_initial_ones_member_by_member(
    build: Build, shape: tuple[int, ...], compute_type: torch.dtype
) -> None:
    del shape
    player, initial = player_of(build, compute_type), list(build(MEMBERS).parameters())
    assert len(player.parameters) == len(initial)
    for own, expected in zip(player.parameters, initial, strict=True):
        assert own.dtype == torch.float32
        assert torch.equal(own, expected.detach())


@each_network
def test_every_number_of_the_buffer_is_one_parameters(build: Build, shape: tuple[int, ...]) -> None:
    del shape
    player = player_of(build)
    members, size = player.values.shape
    assert (members, player.values.dtype) == (MEMBERS, torch.float32)
    player.values.copy_(torch.arange(members * size).view(members, size))
    for k in range(members):
        seen = torch.cat([p[k].flatten() for p in player.parameters])
        assert sorted(seen.tolist()) == list(range(k * size, (k + 1) * size))


@each_network
def test_writing_to_a_parameter_writes_to_the_buffer(build: Build, shape: tuple[int, ...]) -> None:
    del shape
    player = player_of(build)
    for parameter in player.parameters:
        before = player.values.clone()
        parameter[1] += 7.0
        changed = player.values != before
        assert changed.sum(1).tolist() == [0, parameter[1].numel(), 0]


@each_network
def test_a_members_row_is_the_same_in_every_pack(build: Build, shape: tuple[int, ...]) -> None:
    del shape
    alone = Player(build(1), CPU, torch.float32)
    assert torch.equal(player_of(build).values[:1], alone.values)


@each_type
@each_network
def test_the_network_follows_its_parameters_at_a_refresh_and_not_before(
    build: Build, shape: tuple[int, ...], compute_type: torch.dtype
) -> None:
    player, inputs = player_of(build, compute_type), inputs_of(shape)
    initial = player.network(inputs)
    player.values.mul_(-1.25)
    assert torch.equal(player.network(inputs), initial)
    player.refresh()
    assert not torch.equal(player.network(inputs), initial)
    for copy, parameter in zip(player.network.parameters(), player.parameters, strict=True):
        assert torch.equal(copy.detach(), parameter.to(copy.dtype))


@each_network
def test_a_refresh_leaves_the_networks_parameters_where_they_are(
    build: Build, shape: tuple[int, ...]
) -> None:
    # A captured graph goes on writing to and computing with the same tensors.
    del shape
    player = player_of(build)
    before = [(id(p), p.data_ptr()) for p in player.network.parameters()]
    player.refresh()
    assert [(id(p), p.data_ptr()) for p in player.network.parameters()] == before
    own = {p.data_ptr() for p in player.parameters}
    assert not own & {place for _, place in before}


@each_network
def test_copies_are_in_bfloat16_but_for_exact_layers(build: Build, shape: tuple[int, ...]) -> None:
    del shape
    network = player_of(build, torch.bfloat16).network
    for name, copy in network.named_parameters():
        assert copy.dtype == (torch.float32 if is_exact(network, name) else torch.bfloat16), name


EXACT = {
    "image generator": 2 * 2,  # two batch norms, each with a scale and a shift
    "image critic": 2,  # the score's weight and bias
    "image critic, batch norm": 2 + 2,
    "point generator": 2,  # of the layer that makes points
    "point critic": 2 + 2,  # of the layers that take points and make scores
}


@pytest.mark.parametrize("name", EXACT)
def test_layers_that_touch_points_and_scores_and_batch_norm_are_exact(name: str) -> None:
    network = player_of(NETWORKS[name][0], torch.bfloat16).network
    assert sum(copy.dtype == torch.float32 for copy in network.parameters()) == EXACT[name]


@each_type
@pytest.mark.parametrize("name", NETWORKS)
def test_copies_of_convolutions_have_channels_last_in_memory(name: str, compute_type: torch.dtype) -> None:
    player = player_of(NETWORKS[name][0], compute_type)
    player.refresh()
    convolutions = [copy for copy in player.network.parameters() if copy.dim() == 5]
    assert len(convolutions) == (2 if name.startswith("image") else 0)
    for copy in convolutions:
        assert copy.permute(0, 1, 3, 4, 2).is_contiguous()


@pytest.mark.usefixtures("double")
@each_network
def test_a_gradient_is_autograds_of_the_plain_network(build: Build, shape: tuple[int, ...]) -> None:
    player, plain = player_of(build, torch.float64), build(MEMBERS)
    inputs = inputs_of(shape, torch.float64)
    gradient = player.gradient(loss_of(player.network, inputs))
    expected = torch.autograd.grad(loss_of(plain, inputs).sum(), list(plain.parameters()))
    assert (gradient.shape, gradient.dtype) == (player.values.shape, torch.float64)
    # Where a parameter lies in the buffer, there lies its gradient.
    player.values.copy_(gradient)
    for own, textbook in zip(player.parameters, expected, strict=True):
        torch.testing.assert_close(own, textbook, rtol=1e-10, atol=1e-14)
        assert bool(textbook.any())


@each_type
@each_network
def test_a_gradient_in_either_precision_is_near_the_exact_one(
    build: Build, shape: tuple[int, ...], compute_type: torch.dtype
) -> None:
    exact = player_of(build)
    exact.network.double()
    expected = exact.gradient(loss_of(exact.network, inputs_of(shape, torch.float64))).clone()
    player = player_of(build, compute_type)
    gradient = player.gradient(loss_of(player.network, inputs_of(shape)))
    assert gradient.dtype == torch.float32
    error = (gradient - expected).norm(dim=1) / expected.norm(dim=1)
    # A rounding to bfloat16 is one of 0.4% at most; a batch norm of six samples magnifies it.
    bfloat16 = compute_type == torch.bfloat16
    assert float(error.max()) < (0.1 if bfloat16 else 1e-5)
    assert (float(error.min()) > 1e-5) == bfloat16


@each_type
@pytest.mark.parametrize("name", ["image critic", "point critic"])
def test_a_penaltys_gradient_in_either_precision_is_near_the_exact_one(
    name: str, compute_type: torch.dtype
) -> None:
    build, shape = NETWORKS[name]

    def penalised(player: Player[nn.Module], dtype: torch.dtype) -> Tensor:
        # Shifts are not in the slope: the scores bring them in.
        network, inputs = player.network, inputs_of(shape, dtype)
        assert isinstance(network, PointCritic | DCGANCritic)
        slope = network.input_gradient(inputs).to(dtype)
        penalty = (torch.linalg.vector_norm(slope.flatten(2), dim=2) - 1).square().mean(1)
        return player.gradient(penalty + network(inputs).mean(1))

    exact = player_of(build)
    exact.network.double()
    expected = penalised(exact, torch.float64)
    gradient = penalised(player_of(build, compute_type), torch.float32)
    error = (gradient - expected).norm(dim=1) / expected.norm(dim=1)
    # Four or five roundings to bfloat16 in a row, each of 0.4% at most.
    bfloat16 = compute_type == torch.bfloat16
    assert float(error.max()) < (0.02 if bfloat16 else 1e-5)
    assert (float(error.min()) > 1e-5) == bfloat16


def test_a_gradient_is_overwritten_in_place_by_the_next() -> None:
    build, shape = NETWORKS["point critic"]
    player, inputs = player_of(build), inputs_of(shape)
    first = player.gradient(loss_of(player.network, inputs))
    before = first.clone()
    second = player.gradient(loss_of(player.network, 2 * inputs))
    assert second.data_ptr() == first.data_ptr()
    assert not torch.equal(second, before)
    assert first.data_ptr() != player.values.data_ptr()


@each_type
@each_network
def test_a_gradient_changes_neither_parameters_nor_the_network(
    build: Build, shape: tuple[int, ...], compute_type: torch.dtype
) -> None:
    player, inputs = player_of(build, compute_type), inputs_of(shape)
    values, output = player.values.clone(), player.network(inputs)
    player.gradient(loss_of(player.network, inputs))
    assert torch.equal(player.values, values)
    assert torch.equal(player.network(inputs), output)
    assert all(p.grad is None for p in player.network.parameters())


@each_type
@each_network
def test_a_nan_in_one_member_stays_in_its_row(
    build: Build, shape: tuple[int, ...], compute_type: torch.dtype
) -> None:
    player, inputs = player_of(build, compute_type), inputs_of(shape)
    clean = player.gradient(loss_of(player.network, inputs)).clone()
    player.values[1] = math.nan
    player.refresh()
    spoiled = player.gradient(loss_of(player.network, inputs))
    assert torch.equal(spoiled[[0, 2]], clean[[0, 2]])
    assert bool(spoiled[1].isnan().any())
