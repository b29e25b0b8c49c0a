"""Losses in closed form, per member."""

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from study.models import MODELS, dcgan, wasserstein
from study.models.wgan_cp import clip_weights
from study.models.wgan_gp import gradient_penalty
from study.networks import build_critic, initialise

NONE = SimpleNamespace()  # the losses of the papers ask for no hyperparameter


def normal(*shape: int, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=stream, dtype=torch.float64)


class Critic(nn.Module):
    """Gives its input gradients by autograd, create_graph: the textbook's way."""

    def input_gradient(self, samples: Tensor) -> Tensor:
        x = samples.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self(x).sum(), x, create_graph=True)
        return gradient


class LinearCritic(Critic):
    """D_m(x) = w_m . x, whose gradient is w_m everywhere."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("mbi,mi->mb", x.flatten(2), self.w)


class BowlCritic(Critic):
    """D(x) = |x|^2 / 2, whose gradient is x."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).square().sum(2) / 2


class SmoothCritic(Critic):
    """A two-layer tanh network per member: smooth, so finite differences are exact to second order."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.first = nn.Parameter(normal(members, 3, 4, seed=1))
        self.second = nn.Parameter(normal(members, 4, 1, seed=2))

    def forward(self, x: Tensor) -> Tensor:
        return ((x @ self.first).tanh() @ self.second).squeeze(-1)


def test_every_model_has_its_papers_loss() -> None:
    losses = {name: (model.critic_loss, model.generator_loss) for name, model in MODELS.items()}
    assert losses == {
        "dcgan": (dcgan.critic_loss, dcgan.generator_loss),
        "wgan_cp": (wasserstein.critic_loss, wasserstein.generator_loss),
        "wgan_gp": (wasserstein.critic_loss, wasserstein.generator_loss),
    }
    assert {name: (model.penalty, model.clip) for name, model in MODELS.items()} == {
        "dcgan": (None, None),
        "wgan_cp": (None, clip_weights),
        "wgan_gp": (gradient_penalty, None),
    }


def test_nonsaturating_is_binary_cross_entropy_on_logits() -> None:
    real, fake = 5 * normal(3, 7), 5 * normal(3, 7, seed=1)
    one, zero = torch.ones(7, dtype=torch.float64), torch.zeros(7, dtype=torch.float64)
    cross_entropy = binary_cross_entropy_with_logits
    critic = [cross_entropy(r, one) + cross_entropy(f, zero) for r, f in zip(real, fake, strict=True)]
    generator = [cross_entropy(f, one) for f in fake]
    torch.testing.assert_close(dcgan.critic_loss(real, fake, NONE), torch.stack(critic), rtol=1e-12, atol=0)
    torch.testing.assert_close(dcgan.generator_loss(fake, NONE), torch.stack(generator), rtol=1e-12, atol=0)


def test_nonsaturating_at_indifference() -> None:
    # softplus(0) = log 2, once for real and once for fake.
    zero = torch.zeros(2, 5)
    assert dcgan.critic_loss(zero, zero, NONE).tolist() == pytest.approx([2 * math.log(2)] * 2)
    assert dcgan.generator_loss(zero, NONE).tolist() == pytest.approx([math.log(2)] * 2)


def test_nonsaturating_does_not_saturate_nor_overflow() -> None:
    # -d/ds softplus(-s) = sigmoid(-s): nearly 1 where the critic rejects, where log(1 - D) has 0.
    scores = torch.tensor([[-1000.0]], requires_grad=True)
    loss = dcgan.generator_loss(scores, NONE)
    (gradient,) = torch.autograd.grad(loss.sum(), scores)
    assert loss.item() == 1000
    assert gradient.item() == -1


def test_wasserstein_is_a_difference_of_means() -> None:
    real, fake = torch.tensor([[1.0, 3.0], [0.0, 8.0]]), torch.tensor([[5.0, 7.0], [1.0, 1.0]])
    assert wasserstein.critic_loss(real, fake, NONE).tolist() == [6 - 2, 1 - 4]
    assert wasserstein.generator_loss(fake, NONE).tolist() == [-6, -1]


@pytest.mark.parametrize("model", MODELS)
def test_the_critic_wants_real_up_and_fake_down(model: str) -> None:
    real, fake = normal(2, 5).requires_grad_(), normal(2, 5, seed=1).requires_grad_()
    gradients = torch.autograd.grad(MODELS[model].critic_loss(real, fake, NONE).sum(), (real, fake))
    assert bool((gradients[0] < 0).all())
    assert bool((gradients[1] > 0).all())


@pytest.mark.parametrize("model", MODELS)
def test_the_generator_wants_fake_up(model: str) -> None:
    fake = normal(2, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(MODELS[model].generator_loss(fake, NONE).sum(), fake)
    assert bool((gradient < 0).all())


@pytest.mark.parametrize("model", MODELS)
def test_a_members_loss_ignores_the_others(model: str) -> None:
    real, fake = normal(2, 5), normal(2, 5, seed=1)
    spoiled = fake.clone()
    spoiled[1] = math.nan
    loss = MODELS[model]
    assert loss.critic_loss(real, spoiled, NONE)[0] == loss.critic_loss(real, fake, NONE)[0]
    assert loss.generator_loss(spoiled, NONE)[0] == loss.generator_loss(fake, NONE)[0]


def penalty_of(critic: Critic, shape: tuple[int, ...], weights: Sequence[float]) -> Tensor:
    members, batch = shape[:2]
    epsilon = torch.rand(members, batch, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    values = SimpleNamespace(lambda_gp=torch.tensor(weights, dtype=torch.float64))
    return gradient_penalty(critic, normal(*shape, seed=5), normal(*shape, seed=6), epsilon, values)


@pytest.mark.parametrize("sample", [(2,), (3, 4, 4)])
def test_penalty_of_a_linear_critic(sample: tuple[int, ...]) -> None:
    # The gradient of w.x is w at every point: lambda * (|w| - 1)^2, whatever the samples.
    w = normal(3, math.prod(sample))
    weights = [10.0, 1.0, 0.0]
    expected = [c * (float(v.norm()) - 1) ** 2 for c, v in zip(weights, w, strict=True)]
    assert penalty_of(LinearCritic(w), (3, 5, *sample), weights).tolist() == pytest.approx(
        expected, rel=1e-12
    )


def test_penalty_is_zero_for_a_slope_of_one() -> None:
    w = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    assert float(penalty_of(LinearCritic(w), (1, 5, 2), [10.0]).detach()) == pytest.approx(0, abs=1e-25)


def test_penalty_lies_epsilon_of_the_way_from_fake_to_real() -> None:
    # The gradient of |x|^2/2 is x, so sample b counts (|eps_b real_b + (1 - eps_b) fake_b| - 1)^2.
    real, fake = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    epsilon = torch.tensor([[0.0, 1.0, 0.25], [0.5, 0.9, 0.0]], dtype=torch.float64)
    expected = [0.0, 0.0]
    for m in range(2):
        for b in range(3):
            point = epsilon[m, b] * real[m, b] + (1 - epsilon[m, b]) * fake[m, b]
            expected[m] += (math.hypot(*point.tolist()) - 1) ** 2 / 3
    values = SimpleNamespace(lambda_gp=torch.ones(2, dtype=torch.float64))
    assert gradient_penalty(BowlCritic(), real, fake, epsilon, values).tolist() == pytest.approx(
        expected, rel=1e-12
    )


def test_penalty_gradient_agrees_with_finite_differences() -> None:
    critic = SmoothCritic(2)
    parameters = [critic.first, critic.second]
    gradients = torch.autograd.grad(penalty_of(critic, (2, 6, 3), [3.0, 7.0]).sum(), parameters)
    step = 1e-5
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for index in range(parameter.numel()):
            values = []
            for sign in (1, -1):
                parameter.data.view(-1)[index] += sign * step
                values.append(float(penalty_of(critic, (2, 6, 3), [3.0, 7.0]).detach().sum()))
                parameter.data.view(-1)[index] -= sign * step
            slope = (values[0] - values[1]) / (2 * step)
            own = float(gradient.flatten()[index])
            assert own == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_penalty_agrees_with_the_textbook_one_member_and_sample_at_a_time() -> None:
    """The loop everybody writes from Gulrajani et al. 2017, algorithm 1, lines 4 to 7."""
    critic = SmoothCritic(2)
    real, fake = normal(2, 6, 3), normal(2, 6, 3, seed=1)
    epsilon = torch.rand(2, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights = torch.tensor([3.0, 7.0], dtype=torch.float64)
    textbook = []
    for m in range(2):
        total = torch.zeros((), dtype=torch.float64)
        for b in range(6):
            x_hat = (epsilon[m, b] * real[m, b] + (1 - epsilon[m, b]) * fake[m, b]).requires_grad_()
            score = (x_hat @ critic.first[m]).tanh() @ critic.second[m]
            (slope,) = torch.autograd.grad(score, x_hat, create_graph=True)
            total = total + weights[m] * (slope.square().sum().sqrt() - 1) ** 2
        textbook.append(total / 6)
    ours = gradient_penalty(critic, real, fake, epsilon, SimpleNamespace(lambda_gp=weights))
    torch.testing.assert_close(ours, torch.stack(textbook), rtol=1e-12, atol=0)
    parameters = [critic.first, critic.second]
    expected = torch.autograd.grad(torch.stack(textbook).sum(), parameters)
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), parameters), expected)


def test_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    # |grad| = 0 counts (0 - 1)^2 = 1; the derivative of sqrt at 0 must not turn into NaN.
    critic = LinearCritic(torch.zeros(2, 3, dtype=torch.float64))
    value = penalty_of(critic, (2, 4, 3), [2.0, 5.0])
    (gradient,) = torch.autograd.grad(value.sum(), critic.w)
    assert value.tolist() == [2.0, 5.0]
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("sample", [(2,), (1, 8, 8), (3, 16, 16)])
def test_penalty_sends_no_gradient_to_the_samples(sample: tuple[int, ...]) -> None:
    network = build_critic(sample, 4, 1, batch_norm=False)
    critic = initialise(network, [torch.Generator().manual_seed(1)], "he")
    real, fake = (normal(1, 4, *sample, seed=i).float().requires_grad_() for i in (0, 1))
    value = gradient_penalty(
        critic, real, fake, torch.full((1, 4), 0.5), SimpleNamespace(lambda_gp=torch.ones(1))
    )
    wanted = (real, fake, next(critic.parameters()))
    *samples, weights = torch.autograd.grad(value.sum(), wanted, allow_unused=True)
    assert samples == [None, None]
    assert weights is not None
    assert bool(weights.any())


def test_penalty_is_computed_in_the_type_of_the_samples() -> None:
    # |w| is 5 by its bfloat16 components; the square of 5 - 1 times 0.3 has no place in bfloat16.
    class Coarse(LinearCritic):
        def input_gradient(self, samples: Tensor) -> Tensor:
            return super().input_gradient(samples).bfloat16()

    critic = Coarse(torch.tensor([[3.0, 4.0]]))
    samples, epsilon = torch.zeros(1, 2, 2), torch.zeros(1, 2, dtype=torch.bfloat16)
    values = SimpleNamespace(lambda_gp=torch.tensor([0.3], dtype=torch.float64))
    value = gradient_penalty(critic, samples, samples, epsilon, values)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0.3 * 16, rel=1e-6)


def test_penalty_of_a_member_ignores_the_others() -> None:
    clean, spoiled = SmoothCritic(2), SmoothCritic(2)
    with torch.no_grad():
        spoiled.first[1] = math.nan
    a = penalty_of(clean, (2, 6, 3), [3.0, 7.0])
    b = penalty_of(spoiled, (2, 6, 3), [3.0, 7.0])
    (ga,) = torch.autograd.grad(a.sum(), clean.first)
    (gb,) = torch.autograd.grad(b.sum(), spoiled.first)
    assert a[0] == b[0]
    assert b[1].isnan()
    assert torch.equal(ga[0], gb[0])


def test_clipping_clamps_each_member_to_its_own_bound() -> None:
    values = torch.tensor([[-3.0, 0.5, 0.05, 2.0], [-3.0, 0.5, 0.05, -2.0]])
    clip_weights(values, torch.tensor([True, True]), SimpleNamespace(clip_value=torch.tensor([0.1, 1.0])))
    assert torch.equal(values, torch.tensor([[-0.1, 0.1, 0.05, 0.1], [-1.0, 0.5, 0.05, -1.0]]))


def test_clipping_leaves_dead_members_as_they_are() -> None:
    values = torch.tensor([[9.0, 9.0, 9.0], [math.nan, math.inf, -7.0]])
    before = values[1].numpy().tobytes()
    clip_weights(values, torch.tensor([True, False]), SimpleNamespace(clip_value=torch.tensor([0.1, 0.1])))
    assert values[1].numpy().tobytes() == before
    assert values[0].tolist() == pytest.approx([0.1] * 3)


def test_clipping_takes_bounds_of_another_type() -> None:
    values = torch.tensor([[-3.0, 0.05]])
    clip_weights(
        values, torch.tensor([True]), SimpleNamespace(clip_value=torch.tensor([0.1], dtype=torch.float64))
    )
    assert torch.equal(values, torch.tensor([[-0.1, 0.05]]))
