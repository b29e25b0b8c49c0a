"""A pack: M members of one shape, their networks, losses, optimisers and streams in stacked tensors.

Hyperparameters that change no shape are tensors (M,), so the members of a pack need not share them.
Training many small GANs as one program follows HFTA (Wang et al., MLSys 2021).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from study.config import TrialConfig
from study.machine.arithmetic import settle
from study.models import LOSSES, GradientPenalty, WeightClipping
from study.networks import build_critic, build_generator, initialise
from study.networks.layers import record_statistics
from study.networks.parts import build_in_parts
from study.training import METERS
from study.training.divergence import EXPLODED_RMS, DivergenceWatch
from study.training.meter import Meter
from study.training.optimisers import OPTIMISERS, Optimiser
from study.training.player import Player
from study.training.streams import Streams, generator_for

EVALUATION_BATCH = 256
PART_BYTES = 8 << 20  # of the weights that a CPU's convolutions go through for every image
COUNTERS = ("critic_updates", "generator_updates", "next_evaluation", "train_seconds")


class Pack:
    """M members, one per (configuration, seed), on one device.

    Attributes:
        critic_updates, generator_updates: per member; all members are at the same count.
    """

    def __init__(
        self,
        configs: Sequence[TrialConfig],
        seeds: Sequence[int],
        study_seed: int,
        sample_shape: tuple[int, ...],
        device: torch.device,
        precision: str = "fp32",
        drawn: bool = True,
    ) -> None:
        """`drawn` False leaves the initial weights undefined, for a pack that will load its state.

        Raises ValueError when the configurations differ in their shape key, KeyError for an unknown
        precision.
        """
        if len({config.shape_key for config in configs}) != 1 or len(configs) != len(seeds):
            raise ValueError("a pack needs one seed per configuration, and one shape key for all")
        self.configs, self.seeds, self.study_seed = tuple(configs), tuple(seeds), study_seed
        self.sample_shape, self.device, self.precision = sample_shape, device, precision
        config, members = self.config, len(seeds)
        settle(device)
        compute_type = {"fp32": torch.get_default_dtype(), "bf16": torch.bfloat16}[precision]
        # On a CPU. Products of matrices, which points need alone, go from member to member by themselves.
        whole = device.type != "cpu" or len(sample_shape) == 1
        part_values = math.inf if whole else PART_BYTES / compute_type.itemsize
        generator = build_in_parts(
            partial(build_generator, sample_shape, config.latent_dim, config.width), members, part_values
        )
        # A critic with a per-sample penalty must not mix samples (Gulrajani et al. 2017, section 4).
        batch_norm = config.model != "wgan_gp"
        critic = build_in_parts(
            partial(build_critic, sample_shape, config.width, batch_norm=batch_norm), members, part_values
        )
        if drawn:
            initialise(generator, [generator_for(study_seed, seed, "initial generator") for seed in seeds])
            initialise(critic, [generator_for(study_seed, seed, "initial critic") for seed in seeds])
        self.generator = Player(generator, device, compute_type)
        self.critic = Player(critic, device, compute_type)

        def per_member(name: str) -> Tensor:
            values = torch.tensor([getattr(c, name) for c in configs], dtype=torch.float64)
            return values.to(device)

        self.loss = LOSSES[config.model]
        self.penalty = GradientPenalty(per_member("lambda_gp")) if config.lambda_gp is not None else None
        self.clipping = WeightClipping(per_member("clip_value")) if config.clip_value is not None else None
        optimiser = OPTIMISERS[config.optimizer]
        beta1, beta2 = per_member("beta1"), per_member("beta2")
        self.generator_optimiser: Optimiser = optimiser(
            self.generator.values, per_member("lr_g"), beta1, beta2
        )
        self.critic_optimiser: Optimiser = optimiser(self.critic.values, per_member("lr_d"), beta1, beta2)
        self.streams = Streams(
            study_seed, seeds, config.n_critic, config.batch_size, config.latent_dim, device
        )
        self.watch = DivergenceWatch(members, device)
        self.meters = {name: Meter(members, device) for name in METERS}
        self.critic_updates = 0
        self.generator_updates = 0
        self.next_evaluation = 0
        self.train_seconds = 0.0

    @property
    def config(self) -> TrialConfig:
        """A configuration that stands for all where they agree: the shape key."""
        return self.configs[0]

    @property
    def images(self) -> int:
        """Real images (or points) shown to each member's critic."""
        return self.critic_updates * self.config.batch_size

    @property
    def kimg(self) -> float:
        """Thousands of `images`."""
        return self.images / 1000

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """(M, n, ...) samples from each member's fixed evaluation latents.

        Batch norm uses statistics re-estimated on fresh noise. Training streams are not touched.
        A member that yields a non-finite sample is marked as diverged.
        """
        evaluation = [generator_for(self.study_seed, seed, "evaluation", self.device) for seed in self.seeds]

        def latents(count: int) -> Tensor:
            shape = (count, self.config.latent_dim)
            return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in evaluation])

        fixed = latents(n)
        self.generator.refresh()
        network = self.generator.network.eval()
        record_statistics(network, latents(n))
        samples = torch.cat([network(z) for z in fixed.split(EVALUATION_BATCH, dim=1)], 1)
        network.train()
        self.watch.check(samples.isfinite().flatten(1).all(1), "non-finite sample")
        return samples

    @torch.no_grad()
    def check_parameters(self) -> None:
        """Mark members that hold a non-finite parameter, or whose parameters have exploded."""
        for player, name in ((self.critic, "critic"), (self.generator, "generator")):
            # In float64 no sum of squares of finite float32 numbers overflows.
            norm = torch.linalg.vector_norm(player.values, dim=1, dtype=torch.float64)
            self.watch.check(norm.isfinite(), f"non-finite {name} parameter")
            rms = norm / math.sqrt(player.values.shape[1])
            self.watch.check(rms <= EXPLODED_RMS, f"exploded {name} parameters")

    def count_iteration(self) -> None:
        """An iteration was made: n_critic critic updates and one of the generator."""
        self.critic_updates += self.config.n_critic
        self.generator_updates += 1

    def member_state(self, rows: slice = slice(None)) -> dict[str, Any]:
        """What training from here depends on of the members in `rows`: tensors (M, ...), lists of M."""
        meters = {name: meter.state_dict() for name, meter in self.meters.items()}
        return {
            "generator": self.generator.values[rows],
            "critic": self.critic.values[rows],
            "generator_optimiser": _rows(self.generator_optimiser.state_dict(), rows),
            "critic_optimiser": _rows(self.critic_optimiser.state_dict(), rows),
            "streams": self.streams.state_dict(rows),
            "watch": _rows(self.watch.state_dict(), rows),
            "meters": {name: _rows(state, rows) for name, state in meters.items()},
        }

    @torch.no_grad()
    def load_member_state(self, state: dict[str, Any]) -> None:
        """Raises ValueError, before anything is changed, when `state` is of a pack of another shape."""
        players = ((self.generator, "generator"), (self.critic, "critic"))
        for player, key in players:
            if player.values.shape != state[key].shape:
                raise ValueError(f"the {key} has another shape")
        for player, key in players:
            player.values.copy_(state[key])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.streams.load_state_dict(state["streams"])
        self.watch.load_state_dict(state["watch"])
        for name, meter in self.meters.items():
            meter.load_state_dict(state["meters"][name])

    def state_dict(self) -> dict[str, Any]:
        """Everything that training from here depends on; loads with torch.load(weights_only=True)."""
        return {**self.member_state(), **{name: getattr(self, name) for name in COUNTERS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError, before anything is changed, when `state` is of a pack of another shape."""
        counters = {name: state[name] for name in COUNTERS}
        self.load_member_state(state)
        for name, value in counters.items():
            setattr(self, name, value)


def _rows(state: dict[str, Tensor], rows: slice) -> dict[str, Tensor]:
    return {key: values[rows] for key, values in state.items()}
