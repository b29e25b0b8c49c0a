"""Ordinary networks are held for M members, each of which is what the module alone would be."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from study.errors import UserError
from study.models import CRITIC, GENERATOR, MODELS, Model
from study.networks.check import check_networks
from study.networks.ordinary import Blueprint, Ordinary, blueprint, stacks
from study.seeds import derive_seed
from tests import ordinary as own

LATENT, POINT, IMAGE = 3, (2,), (1, 16, 16)
SEEDS = (11, 12, 13)


def model(penalty: bool = False, **networks: Any) -> Model:
    return replace(MODELS["wgan_gp" if penalty else "dcgan"], name="mine", bf16_kinds=(), **networks)


def made(
    function: Callable[..., nn.Module], shape: tuple[int, ...] = POINT, penalty: bool = False
) -> Blueprint:
    player = GENERATOR if function.__name__.endswith("generator") else CRITIC
    found = blueprint(model(penalty, **{player: function}), player, LATENT, shape)
    assert found is not None
    return found


def inputs(made: Blueprint) -> Tensor:
    return torch.randn(len(SEEDS), 8, *made.in_shape, generator=torch.Generator().manual_seed(9))


CASES = {
    own.mlp_generator: (POINT, True),
    own.normed_generator: (POINT, True),
    own.mlp_critic: (POINT, True),
    own.normed_critic: (POINT, True),
    own.image_generator: (IMAGE, True),
    own.image_critic: (IMAGE, True),
    own.spectral_critic: (POINT, False),  # writes into its buffers with out=
    own.dropout_critic: (POINT, False),  # draws
    own.counting_critic: (POINT, False),  # keeps a new tensor
}
each_network = pytest.mark.parametrize("function", CASES, ids=lambda function: function.__name__)


@each_network
def test_members_are_computed_at_once_where_that_gives_the_same(function: Callable[..., nn.Module]) -> None:
    shape, at_once = CASES[function]
    with warnings.catch_warnings(record=True) as seen:
        assert stacks(made(function, shape)) == at_once
    assert seen == []


@each_network
def test_a_member_is_the_module_that_its_seed_makes(function: Callable[..., nn.Module]) -> None:
    """Two batches in training mode, then one in evaluation mode, with what they leave in buffers."""
    plan = made(function, CASES[function][0])
    x = inputs(plan)
    for stacked in {stacks(plan), False}:
        network = Ordinary(plan, SEEDS, stacked)
        out = [network(x, batches=2), network.eval()(x)]
        for k, seed in enumerate(SEEDS):
            module = plan.build(seed)
            expected = []
            with torch.random.fork_rng():
                for call, batch in enumerate(x[k].chunk(2)):
                    torch.manual_seed(derive_seed(seed, "training", call))
                    expected.append(module(batch))
            both = [torch.cat(expected), module.eval()(x[k])]
            for found, alone in zip(out, both, strict=True):
                torch.testing.assert_close(found[k], alone.view(found[k].shape), rtol=1e-5, atol=1e-6)
            for held, buffer in zip(network.module.buffers(), module.buffers(), strict=True):
                torch.testing.assert_close(held[k], buffer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [own.mlp_critic, own.image_critic, own.spectral_critic])
def test_the_gradient_of_a_score_goes_to_its_own_sample_and_on_to_the_weights(
    function: Callable[..., nn.Module],
) -> None:
    plan = made(function, CASES[function][0], penalty=True)
    network, x = Ordinary(plan, SEEDS, stacks(plan)), inputs(plan)
    with torch.no_grad():
        slope = network.input_gradient(x)
    found = torch.autograd.grad(slope.square().sum(), next(network.parameters()))[0]
    for k, seed in enumerate(SEEDS):
        module = plan.build(seed)
        points = x[k].clone().requires_grad_()
        expected = torch.autograd.grad(module(points).sum(), points, create_graph=True)[0]
        torch.testing.assert_close(slope[k], expected, rtol=1e-5, atol=1e-6)
        by_weight = torch.autograd.grad(expected.square().sum(), next(module.parameters()))[0]
        torch.testing.assert_close(found[k], by_weight, rtol=1e-4, atol=1e-5)


def test_what_layers_draw_is_repeated_by_the_buffers_alone() -> None:
    plan = made(own.dropout_critic)
    x = inputs(plan)
    network, again = (Ordinary(plan, SEEDS, stacked=False) for _ in range(2))
    first, second = network(x), network(x)
    assert not torch.equal(first, second)
    again.load_state_dict({**again.state_dict(), "calls": torch.ones(3, dtype=torch.int64)})
    assert torch.equal(again(x), second)


def test_batches_of_an_evaluation_are_not_drawn_alike_and_training_goes_on_as_without() -> None:
    def noisy_critic(shape: tuple[int, ...]) -> nn.Module:
        class Noisy(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) + torch.rand(len(x), 1)

        return Noisy(shape[0], 1)

    plan = made(noisy_critic)
    x = inputs(plan)
    network, twin = (Ordinary(plan, SEEDS, stacked=False) for _ in range(2))
    first, second = network.eval()(x), network(x)
    assert not torch.equal(first, second)
    assert torch.equal(network.train().eval()(x), first)
    assert torch.equal(network.train()(x), twin(x))


class Other(nn.Linear):
    """A critic that does as it is told."""

    def __init__(self, forward: Callable[[nn.Linear, Tensor], Any]) -> None:
        super().__init__(2, 1)
        self._forward = forward

    def forward(self, x: Tensor) -> Any:
        return self._forward(self, x)


def critic(forward: Callable[[nn.Linear, Tensor], Any]) -> dict[str, Any]:
    return {"critic": lambda _: Other(forward)}


def frozen(_: object) -> nn.Module:
    module = nn.Linear(2, 1)
    module.bias.requires_grad = False
    return module


SHARED = nn.Linear(2, 1)
WRONG: dict[str, dict[str, Any]] = {
    r"must turn \(2, 3\) into \(2, 2\), and gives \(2, 5\)": {"generator": lambda n, _: nn.Linear(n, 5)},
    r"must turn \(2, 2\) into \(2,\) or \(2, 1\), and gives \(2, 4\)": {"critic": lambda _: nn.Linear(2, 4)},
    r"and gives tuple": critic(lambda _, x: (x, x)),
    r"must be a torch.nn.Module, and is None": {"critic": lambda _: None},
    r"has no parameters to train": {"critic": lambda _: nn.Flatten(0)},
    r"must be a new module each time": {"critic": lambda _: SHARED},
    r"bias takes no gradient; a constant must be a buffer": {"critic": frozen},
    r"weight is of torch.float64, not torch.float32": {"critic": lambda _: nn.Linear(2, 1).double()},
    r"must give torch.float32, and gives torch.float64": critic(lambda _, x: x[:, 0].double()),
    r"gives what no gradient can go through": critic(lambda _, x: x[:, 0]),
    r"gives what does not depend on its parameters": {
        "penalty": True,
        **critic(lambda _, x: x.square().sum(1)),
    },
    r"critic of mine can't be called with \(2, 2\): ZeroDivisionError: .*test_ordinary.py:\d+\)": critic(
        lambda _, x: x / (0 // 0)
    ),
    r"critic of mine can't be built for samples .*: TypeError": {"critic": lambda: nn.Linear(2, 1)},
    r"generator of mine can't be built for samples .*: AttributeError: .*test_ordinary.py:\d+\)": {
        "generator": lambda n, _: nn.Linear(n, 2).no_such_thing
    },
    r"has batch norm \(BatchNorm1d\), which mixes samples": {"penalty": True, "critic": own.normed_critic},
}


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_network_is_told_what_was_expected_and_found(said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        check_networks(model(**WRONG[said]), LATENT, POINT)
    assert "\n" not in str(told.value)


def test_a_look_says_how_members_are_computed_and_touches_no_generator() -> None:
    before = torch.get_rng_state()
    said = check_networks(model(generator=own.mlp_generator, critic=own.dropout_critic), LATENT, POINT)
    assert said == [
        "the generator of mine: members are computed at once, by torch.func",
        "the critic of mine: members are computed one after another",
    ]
    assert torch.equal(torch.get_rng_state(), before)
