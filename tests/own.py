"""What a user may declare outside the package: a model, datasets and metrics, none like the package's own."""

from typing import TYPE_CHECKING

from study.data import Dataset, DatasetFamily
from study.errors import UserError
from study.metrics import metric
from study.models import CRITIC, GENERATOR, Hyperparameter, Model, Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from study.data.arrays import Arrays


def critic_loss(real_scores: "Tensor", fake_scores: "Tensor", values: Values) -> "Tensor":
    """max(0, m - D(x)) + max(0, m + D(G(z))): a hinge whose margin m is each member's own."""
    margin = values.margin[:, None]
    return (margin - real_scores).relu().mean(1) + (margin + fake_scores).relu().mean(1)


def generator_loss(fake_scores: "Tensor", _: Values) -> "Tensor":
    return -fake_scores.mean(1)


HINGE = Model(
    name="hinge",
    title="Hinge loss with a margin",
    source="Lim and Ye 2017",
    critic_loss=critic_loss,
    generator_loss=generator_loss,
    own=(Hyperparameter(name="margin", meaning="of the hinge", default=1.0, above=0, per_member=True),),
    turns=lambda n_critic: (CRITIC,) * n_critic + (GENERATOR, CRITIC, GENERATOR),
    defaults={"lr_g": 1e-3, "lr_d": 1e-3, "beta1": 0.5, "beta2": 0.9, "n_critic": 2, "optimizer": "adam"},
)


def _noise(*shape: int) -> "Arrays":
    """Neither labels nor modes."""
    import torch

    from study.data.arrays import Arrays

    train, held_out = (torch.randn(n, *shape, generator=torch.Generator().manual_seed(n)) for n in (300, 200))
    return Arrays(train=train.tanh(), held_out=held_out.tanh())


CUBE = Dataset(
    name="cube", meaning="noise in space", kind="points", sample_shape=(3,), load=lambda: _noise(3), kimg=1.0
)
DEPTH = Dataset(
    name="depth",
    meaning="noise as images with a fourth channel",
    kind="images",
    sample_shape=(4, 16, 16),
    load=lambda: _noise(4, 16, 16),
    defaults={"width": 2, "batch_size": 8},
)


def noise_of(dimensions: str) -> Dataset:
    if not dimensions.isdigit():
        raise UserError(f"noise:{dimensions} has no whole number of dimensions")
    d = int(dimensions)
    return Dataset(
        name=f"noise:{d}", meaning="noise", kind="points", sample_shape=(d,), load=lambda: _noise(d)
    )


NOISE = DatasetFamily(name="noise", meaning="noise of any dimension", argument="dimensions", of=noise_of)


@metric(
    samples={"points": 100, "images": 50},
    higher_is_better=False,
    meaning="distance between the means of samples and held-out data",
)
def shift(samples: "Tensor", held_out: "Tensor") -> float:
    return float((samples.mean(0) - held_out.mean(0)).norm())


@metric(
    samples={"points": 64},
    higher_is_better=False,
    when="last",
    meaning="how much higher the critic rates training data than samples",
)
def critic_gap(samples: "Tensor", train: "Tensor", critic: "Callable[[Tensor], Tensor]") -> float:
    return float(critic(train[:64]).mean() - critic(samples).mean())


@metric(samples={"points": 10, "images": 10}, higher_is_better=True, worst=0.0, meaning="known of nobody")
def unknown(samples: "Tensor") -> float | None:
    return None if len(samples) else 0.0
