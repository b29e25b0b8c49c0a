"""A pack: M members of one shape, their networks, losses, optimisers and streams in stacked tensors.

Hyperparameters that change no shape are tensors (M,), so the members of a pack need not share them.
Training many small GANs as one program follows HFTA (Wang et al., MLSys 2021).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from study.config import TrialConfig
from study.machine.arithmetic import settle
from study.models import CRITIC, GENERATOR, MODELS
from study.networks import build_critic, build_generator, initialise
from study.networks.layers import batch_norms, record_statistics
from study.networks.ordinary import Ordinary, blueprint, stacks
from study.networks.parts import build_in_parts
from study.seeds import derive_seed
from study.training.divergence import EXPLODED_RMS, DivergenceWatch
from study.training.meter import Meter
from study.training.optimisers import OPTIMISERS, Optimiser
from study.training.player import Player
from study.training.streams import Streams, generator_for

EVALUATION_BATCH = 256
PART_BYTES = 8 << 20  # of the weights that a CPU's convolutions go through for every image
METERS = ("loss_d", "loss_g", "grad_norm_d", "grad_norm_g")


class Pack:
    """M members, one per (configuration, seed), on one device.

    Attributes:
        critic_updates, generator_updates: per member; all members are at the same count.
        hyperparameters: as the model's functions get them (study.models.Values).
        turns: the players' updates of one iteration, in order.
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
        self.model = MODELS[config.model]
        self.turns = tuple(self.model.turns(config.n_critic))
        settle(device)
        compute_type = {"fp32": torch.get_default_dtype(), "bf16": torch.bfloat16}[precision]
        # On a CPU. Products of matrices, which points need alone, go from member to member by themselves.
        whole = device.type != "cpu" or len(sample_shape) == 1
        part_values = math.inf if whole else PART_BYTES / compute_type.itemsize
        builders: dict[str, Callable[[int], nn.Module]] = {
            GENERATOR: partial(build_generator, sample_shape, config.latent_dim, config.width),
            CRITIC: partial(
                build_critic, sample_shape, config.width, batch_norm=self.model.critic_batch_norm
            ),
        }

        def player(name: str) -> Player[Any]:
            own = blueprint(self.model, name, config.latent_dim, sample_shape)
            purpose = f"initial {name}"
            if own is not None:
                drawn_from = [derive_seed(study_seed, seed, purpose) for seed in seeds]
                return Player(Ordinary(own, drawn_from, stacks(own)), device, compute_type)
            network = build_in_parts(builders[name], members, part_values)
            if drawn:
                generators = [generator_for(study_seed, seed, purpose) for seed in seeds]
                initialise(network, generators, config.init)
            return Player(network, device, compute_type)

        self.generator, self.critic = player(GENERATOR), player(CRITIC)

        exact = {  # what depends on the hyperparameters alone is computed in float64
            name: torch.tensor([getattr(c, name) for c in configs], dtype=torch.float64, device=device)
            for name in config.per_member
        }
        own = {name: numbers.to(torch.get_default_dtype()) for name, numbers in exact.items()}
        self.hyperparameters = SimpleNamespace(**{**config.to_dict(), **own})
        optimiser = OPTIMISERS[config.optimizer]
        betas = exact["beta1"], exact["beta2"]
        self.generator_optimiser: Optimiser = optimiser(self.generator.values, exact["lr_g"], *betas)
        self.critic_optimiser: Optimiser = optimiser(self.critic.values, exact["lr_d"], *betas)
        updates = (self.turns.count(CRITIC), self.turns.count(GENERATOR))
        self.streams = Streams(study_seed, seeds, *updates, config.batch_size, config.latent_dim, device)
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

        They are computed in float32, whatever the precision of training. Batch norm uses statistics
        re-estimated on fresh noise. Training streams are not touched.
        A member that yields a non-finite sample is marked as diverged.
        """
        evaluation = [generator_for(self.study_seed, seed, "evaluation", self.device) for seed in self.seeds]

        def latents(count: int) -> Tensor:
            shape = (count, self.config.latent_dim)
            return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in evaluation])

        fixed = latents(n)
        with self.generator.exact() as network:
            record_statistics(network, latents(n))
            samples = torch.cat([network(z) for z in fixed.split(EVALUATION_BATCH, dim=1)], 1)
        self.watch.check(samples.isfinite().flatten(1).all(1), "non-finite sample")
        return samples

    @torch.no_grad()
    def record_critic_statistics(self, real: Callable[[], Tensor]) -> None:
        """Store the batch-norm statistics of `real()` (N, ...) in each critic that has batch norm.

        They are for whoever loads a critic later: in training and in metrics a critic normalises every
        batch with the batch's own statistics.
        """
        if batch_norms(self.critic.network):
            samples = real()
            with self.critic.exact() as network:
                record_statistics(network, samples.expand(len(self.seeds), *samples.shape))

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
        """An iteration was made."""
        self.critic_updates += self.turns.count(CRITIC)
        self.generator_updates += self.turns.count(GENERATOR)
