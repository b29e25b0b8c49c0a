"""Each member's random streams: one generator per member and purpose, saved and restored exactly.

A member draws the same numbers whatever pack it is in, and the same data order in every trial. All that
an iteration needs is drawn before it, into buffers that stay where they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from study.seeds import derive_seed

PURPOSES = ("data", "critic noise", "generator noise", "penalty")


def generator_for(
    study_seed: int, seed: int, purpose: str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The random generator of one (study seed, member seed, purpose)."""
    return torch.Generator(device).manual_seed(derive_seed(study_seed, seed, purpose))


@dataclass(frozen=True)
class Draws:
    """The random numbers of one iteration, by update.

    Attributes:
        indices: (M, C, B) int64 indices of real samples, drawn with replacement, for C critic updates.
        critic_noise: (M, C, B, latent_dim) standard normal.
        epsilon: (M, C, B) uniform in [0, 1): where the penalty's points lie.
        generator_noise: (M, G, B, latent_dim) standard normal, for G generator updates.
    """

    indices: Tensor
    critic_noise: Tensor
    epsilon: Tensor
    generator_noise: Tensor


class Streams:
    """The training streams of a pack's M members, on one device."""

    def __init__(
        self,
        study_seed: int,
        seeds: Sequence[int],
        critic_updates: int,
        generator_updates: int,
        batch_size: int,
        latent_dim: int,
        device: torch.device,
    ) -> None:
        """The two numbers of updates are those of an iteration."""
        self._generators = {
            purpose: [generator_for(study_seed, seed, purpose, device) for seed in seeds]
            for purpose in PURPOSES
        }
        members = len(seeds)
        updates = (members, critic_updates, batch_size)
        self._draws = Draws(
            indices=torch.zeros(updates, dtype=torch.int64, device=device),
            critic_noise=torch.zeros(*updates, latent_dim, device=device),
            epsilon=torch.zeros(updates, device=device),
            generator_noise=torch.zeros(members, generator_updates, batch_size, latent_dim, device=device),
        )

    def draw(self, n: int) -> Draws:
        """The next iteration's numbers, for a training set of `n`; the last ones are overwritten."""
        draws = self._draws
        for k, generator in enumerate(self._generators["data"]):
            # Update by update: the data order must not depend on how many an iteration has.
            for indices in draws.indices[k]:
                indices.random_(0, n, generator=generator)
        for k, generator in enumerate(self._generators["critic noise"]):
            draws.critic_noise[k].normal_(generator=generator)
        for k, generator in enumerate(self._generators["penalty"]):
            draws.epsilon[k].uniform_(generator=generator)
        for k, generator in enumerate(self._generators["generator noise"]):
            draws.generator_noise[k].normal_(generator=generator)
        return draws

    def state_dict(self, rows: slice = slice(None)) -> dict[str, list[Tensor]]:
        """By purpose, the states of the members in `rows`."""
        return {k: [g.get_state() for g in gs[rows]] for k, gs in self._generators.items()}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for purpose, generators in self._generators.items():
            for generator, saved in zip(generators, state[purpose], strict=True):
                generator.set_state(saved.cpu())
