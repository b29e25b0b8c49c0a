"""The optimisers are torch's, with numbers per member; a dead member is not moved."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from study.training.optimisers import Adam, RMSProp

LR = [1e-4, 1e-2, 1.0]
BETA1 = [0.0, 0.5, 0.9]
BETA2 = [0.9, 0.999, 0.99]
P = 118
ALL_ALIVE = torch.ones(3, dtype=torch.bool)
SECOND_DEAD = torch.tensor([True, False, True])

Step = Callable[[Any, Tensor, Tensor], None]
KINDS = [Adam, RMSProp]
# Each has a step for CPUs, member by member, and one for GPUs, all members at once.
WAYS: dict[str, tuple[Any, Step]] = {
    "Adam": (Adam, Adam.step),
    "Adam, all at once": (Adam, Adam.step_all),
    "RMSProp": (RMSProp, RMSProp.step),
    "RMSProp, all at once": (RMSProp, RMSProp.step_all),
}
each_way = pytest.mark.parametrize(("kind", "step"), WAYS.values(), ids=WAYS)
each_type = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def drawn(seed: int, dtype: torch.dtype) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(3, P, generator=stream, dtype=torch.float64).to(dtype)


def gradient_at(step: int, dtype: torch.dtype) -> Tensor:
    """Gradients whose size changes over six orders of magnitude as training goes on."""
    return drawn(100 + step, dtype) * 10 ** (step % 7 - 4)


def ours(kind: Any, parameters: Tensor) -> Any:
    return kind(parameters, *(torch.tensor(v, dtype=torch.float64) for v in (LR, BETA1, BETA2)))


def theirs(kind: Any, parameter: Tensor, k: int) -> torch.optim.Optimizer:
    if kind is Adam:
        return torch.optim.Adam([parameter], lr=LR[k], betas=(BETA1[k], BETA2[k]))
    return torch.optim.RMSprop([parameter], lr=LR[k], momentum=BETA1[k], alpha=BETA2[k])


def bits(optimiser: Any, *members: int) -> list[bytes]:
    """Of these members' parameters and state."""
    tensors = [optimiser.parameters, *optimiser.state_dict().values()]
    return [t[list(members)].numpy().tobytes() for t in tensors]


def assert_same_way(parameters: Tensor, expected: Tensor, start: Tensor, length: Tensor) -> None:
    """Equal but for rounding: of a hundred sums of parameter and move, and of the moves themselves.

    A move is a dozen roundings, and what it is made of (means of gradients over some hundred steps)
    has tens of its own: 50 eps of the way's length.
    """
    eps = torch.finfo(parameters.dtype).eps
    allowed = 50 * eps * length + 100 * eps * (start.abs() + length)
    assert bool(((parameters - expected).abs() <= allowed).all())
    assert bool((length > 1e-3).all())


@each_type
@each_way
def test_a_hundred_steps_are_torchs(kind: Any, step: Step, dtype: torch.dtype) -> None:
    start = drawn(0, dtype)
    optimiser = ours(kind, start.clone())
    alone = [start[k].clone().requires_grad_() for k in range(3)]
    references = [theirs(kind, own, k) for k, own in enumerate(alone)]
    length = torch.zeros_like(start)  # of the way, not of its end from its start
    for i in range(100):
        gradient, before = gradient_at(i, dtype), optimiser.parameters.clone()
        step(optimiser, gradient, ALL_ALIVE)
        length += (optimiser.parameters - before).abs()
        for own, reference, part in zip(alone, references, gradient, strict=True):
            own.grad = part.clone()
            reference.step()
    assert_same_way(optimiser.parameters, torch.stack(alone).detach(), start, length)


@pytest.mark.parametrize("step", [Adam.step, Adam.step_all])
def test_adam_counts_the_steps_of_the_living(step: Step) -> None:
    optimiser = ours(Adam, drawn(0, torch.float32))
    for i in range(5):
        step(optimiser, gradient_at(i, torch.float32), torch.tensor([True, i < 3, False]))
    assert optimiser.state_dict()["steps"].tolist() == [5, 3, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_can_go_from_one_step_to_the_other(kind: Any) -> None:
    start = drawn(0, torch.float64)
    mixed, plain = ours(kind, start.clone()), ours(kind, start.clone())
    length = torch.zeros_like(start)
    for i in range(100):
        gradient, before = gradient_at(i, torch.float64), plain.parameters.clone()
        (mixed.step if i // 10 % 2 else mixed.step_all)(gradient, ALL_ALIVE)
        plain.step(gradient, ALL_ALIVE)
        length += (plain.parameters - before).abs()
    assert_same_way(mixed.parameters, plain.parameters, start, length)


@each_way
def test_the_first_step_in_closed_form(kind: Any, step: Step) -> None:
    # Adam: m/(1-b1) = g, v/(1-b2) = g^2, so it moves lr g/(|g| + eps), about lr sign(g).
    # RMSProp: v = (1-b2) g^2, so it moves lr g/(sqrt(1-b2) |g| + eps).
    optimiser = ours(kind, torch.zeros(3, 1, dtype=torch.float64))
    step(optimiser, torch.tensor([[2.0], [-3.0], [0.5]], dtype=torch.float64), ALL_ALIVE)
    expected = [
        -lr * g / ((1 if kind is Adam else math.sqrt(1 - beta2)) * abs(g) + 1e-8)
        for lr, beta2, g in zip(LR, BETA2, (2.0, -3.0, 0.5), strict=True)
    ]
    assert optimiser.parameters.flatten().tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step", [Adam.step, Adam.step_all])
def test_hyperparameters_keep_their_digits_in_float32(step: Step) -> None:
    # 1 - 1e-9 rounds to 1 in float32. A first step of Adam is lr sign(g), whatever the betas.
    parameters = torch.zeros(3, P)
    hyperparameters = ([1e-3] * 3, [0.0, 0.5, 1 - 1e-9], [1 - 1e-9, 1 - 1e-8, 1 - 1e-9])
    optimiser = Adam(parameters, *(torch.tensor(v, dtype=torch.float64) for v in hyperparameters))
    gradient = drawn(0, torch.float32)
    step(optimiser, gradient, ALL_ALIVE)
    torch.testing.assert_close(parameters, -1e-3 * gradient.sign(), rtol=1e-4, atol=0)


@each_way
@each_type
@pytest.mark.parametrize("gradient", [math.nan, math.inf, 1.0])
def test_a_dead_member_keeps_its_bits(kind: Any, step: Step, dtype: torch.dtype, gradient: float) -> None:
    start = drawn(0, dtype)
    optimiser = ours(kind, start.clone())
    for i in range(5):
        given = gradient_at(i, dtype)
        given[1] = gradient
        step(optimiser, given, SECOND_DEAD)
    assert optimiser.parameters[1].numpy().tobytes() == start[1].numpy().tobytes()
    assert bool((optimiser.parameters[[0, 2]] != start[[0, 2]]).all())


@each_way
@each_type
@pytest.mark.parametrize("alive", [True, False])
def test_what_befalls_a_member_leaves_the_others_bits(
    kind: Any, step: Step, dtype: torch.dtype, alive: bool
) -> None:
    start = drawn(0, dtype)
    clean, spoiled = ours(kind, start.clone()), ours(kind, start.clone())
    for i in range(5):
        gradient = gradient_at(i, dtype)
        step(clean, gradient, ALL_ALIVE)
        gradient[1] = math.nan
        step(spoiled, gradient, ALL_ALIVE if alive else SECOND_DEAD)
    assert bits(clean, 0, 2) == bits(spoiled, 0, 2)
    assert bool(spoiled.parameters[1].isnan().all()) == alive


@each_way
@each_type
def test_a_member_moves_as_it_does_alone(kind: Any, step: Step, dtype: torch.dtype) -> None:
    packed = ours(kind, drawn(0, dtype))
    own = [torch.tensor([v[1]], dtype=torch.float64) for v in (LR, BETA1, BETA2)]
    alone = kind(drawn(0, dtype)[1:2].clone(), *own)
    for i in range(5):
        step(packed, gradient_at(i, dtype), ALL_ALIVE)
        step(alone, gradient_at(i, dtype)[1:2], torch.tensor([True]))
    assert bits(packed, 1) == bits(alone, 0)


@each_way
def test_a_step_does_not_change_its_gradient(kind: Any, step: Step) -> None:
    gradient = gradient_at(0, torch.float32)
    before = gradient.clone()
    step(ours(kind, drawn(0, torch.float32)), gradient, ALL_ALIVE)
    assert torch.equal(gradient, before)


@each_way
@each_type
def test_a_restored_optimiser_goes_on_bit_for_bit(kind: Any, step: Step, dtype: torch.dtype) -> None:
    optimiser = ours(kind, drawn(0, dtype))
    for i in range(3):
        step(optimiser, gradient_at(i, dtype), ALL_ALIVE)
    restored = ours(kind, optimiser.parameters.clone())
    restored.load_state_dict(optimiser.state_dict())
    for i in range(3, 6):
        step(optimiser, gradient_at(i, dtype), ALL_ALIVE)
        step(restored, gradient_at(i, dtype), ALL_ALIVE)
    assert bits(restored, 0, 1, 2) == bits(optimiser, 0, 1, 2)


@each_way
def test_all_that_changes_stays_where_it_is(kind: Any, step: Step) -> None:
    # A captured graph goes on reading and writing the same tensors.
    optimiser = ours(kind, drawn(0, torch.float32))

    def places() -> list[int]:
        return [t.data_ptr() for t in [optimiser.parameters, *optimiser.state_dict().values()]]

    before = places()
    step(optimiser, gradient_at(0, torch.float32), SECOND_DEAD)
    optimiser.load_state_dict(ours(kind, drawn(1, torch.float32)).state_dict())
    assert places() == before
