"""What the players minimise. Every value is per member, (M,): the training step sums and differentiates."""

from study.models.clipping import WeightClipping
from study.models.gradient_penalty import GradientPenalty
from study.models.nonsaturating import NonSaturatingLoss
from study.models.wasserstein import WassersteinLoss

LOSSES: dict[str, NonSaturatingLoss | WassersteinLoss] = {
    "dcgan": NonSaturatingLoss(),
    "wgan_cp": WassersteinLoss(),
    "wgan_gp": WassersteinLoss(),
}

__all__ = ["LOSSES", "GradientPenalty", "NonSaturatingLoss", "WassersteinLoss", "WeightClipping"]
