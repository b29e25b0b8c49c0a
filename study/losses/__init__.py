"""What the players minimise. Every value is per member, (M,): the training step sums and differentiates."""

from study.losses.clipping import WeightClipping
from study.losses.gradient_penalty import GradientPenalty
from study.losses.nonsaturating import NonSaturatingLoss
from study.losses.wasserstein import WassersteinLoss

LOSSES: dict[str, NonSaturatingLoss | WassersteinLoss] = {
    "dcgan": NonSaturatingLoss(),
    "wgan_cp": WassersteinLoss(),
    "wgan_gp": WassersteinLoss(),
}

__all__ = ["LOSSES", "GradientPenalty", "NonSaturatingLoss", "WassersteinLoss", "WeightClipping"]
