"""Each member's random streams: one generator per member and purpose, saved and restored exactly.

A member draws the same numbers whatever pack it is in, and the same data order in every trial.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from study.seeds import derive_seed

PURPOSES = ("data", "critic noise", "generator noise", "penalty")


def generator_for(
    study_seed: int, seed: int, purpose: str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The random generator of one (study seed, member seed, purpose)."""
    return torch.Generator(device).manual_seed(derive_seed(study_seed, seed, purpose))


class Streams:
    """The training streams of a pack's M members, on one device."""

    def __init__(self, study_seed: int, seeds: Sequence[int], device: torch.device) -> None:
        self.device = device
        self._generators = {
            purpose: [generator_for(study_seed, seed, purpose, device) for seed in seeds]
            for purpose in PURPOSES
        }

    def indices(self, batch_size: int, n: int) -> Tensor:
        """(M, B) int64 indices into n training samples, drawn with replacement."""
        return torch.stack(
            [
                torch.randint(n, (batch_size,), generator=g, device=self.device)
                for g in self._generators["data"]
            ]
        )

    def latents(self, purpose: str, batch_size: int, latent_dim: int) -> Tensor:
        """(M, B, latent_dim) standard normal."""
        return torch.stack(
            [
                torch.randn(batch_size, latent_dim, generator=g, device=self.device)
                for g in self._generators[purpose]
            ]
        )

    def epsilon(self, batch_size: int) -> Tensor:
        """(M, B) uniform in [0, 1): where the penalty's points lie between real and fake."""
        return torch.stack(
            [torch.rand(batch_size, generator=g, device=self.device) for g in self._generators["penalty"]]
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {k: [g.get_state() for g in gs] for k, gs in self._generators.items()}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for purpose, generators in self._generators.items():
            for generator, saved in zip(generators, state[purpose], strict=True):
                generator.set_state(saved.cpu())
