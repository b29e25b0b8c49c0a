"""Tune GANs and measure how stable they are: search spaces in, results tables out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def load(
    trial: str | Path,
    seed: int | str = "best",
    evaluation: str = "best",
    plugins: str | Path | Sequence[str | Path] = (),
    critic: bool = False,
) -> "nn.Module":
    """A trial's generator as a plain torch.nn.Sequential, on the CPU, in float32 and in evaluation mode.

    Of a model that brings networks of its own it is the user's module.

    It maps latents (B, latent_dim) to samples (B, *sample_shape). Of the evaluation's latents it makes the
    evaluation's samples, to 1e-5, whatever precision the trial was trained in. The trial may still be
    training.

    Args:
        trial: the trial's folder, results/<study>/trials/<id>.
        seed: one of the trial's seeds, also one that diverged; 'best' is the one with the best score at that
            evaluation among those that had not diverged.
        evaluation: 'best', the one at which the trial's objective was best so far, or 'last'.
        plugins: files that declare what the trial uses and the package does not have.
        critic: the critic instead, samples (B, *sample_shape) to scores (B,). Its batch norm, if any,
            uses statistics of real training images.

    Raises:
        study.errors.UserError: the folder, the seed or the evaluation is not there, or can't be read.
    """
    from study.loading import load as load_network

    return load_network(trial, seed, evaluation, plugins, critic)
