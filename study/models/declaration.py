"""What a model declares. Its functions get and return values per member: the training step sums them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from study.models.hyperparameter import GIVEN_BY_DATA, GIVEN_BY_MODEL, INIT, Hyperparameter

if TYPE_CHECKING:
    from torch import Tensor, nn

CRITIC, GENERATOR = "critic", "generator"  # the players, as they take turns

# A configuration's hyperparameters by name, as attributes: those that members may differ in as tensors (M,)
# on the pack's device, of torch's default type; the others as plain values.
Values = Any


class HasInputGradient(Protocol):
    """A critic that gives the gradients of its scores as a function of its weights."""

    def input_gradient(self, samples: "Tensor") -> "Tensor":
        """Samples (M, B, ...) -> each score's gradient with respect to its own sample, (M, B, ...)."""
        ...


def critic_first(n_critic: int) -> Sequence[str]:
    """An iteration of the papers: `n_critic` critic updates, then one of the generator."""
    return (CRITIC,) * n_critic + (GENERATOR,)


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is trained: what the players minimise, under which constraint, with which defaults.

    Attributes:
        title: the model's full name; `source`: the paper, and where in it.
        critic_loss: (real scores (M, B), fake scores (M, B), values) -> (M,), minimised by the critic.
        generator_loss: (fake scores (M, B), values) -> (M,), minimised by the generator.
        defaults: one for each hyperparameter in GIVEN_BY_MODEL that has none yet; a dataset's go before.
        own: hyperparameters that the model brings, each with its default.
        penalty: (critic, real (M, B, ...), fake, epsilon (M, B) in [0, 1), values) -> (M,), added to the
            critic's loss; None for no penalty.
        clip: (critic parameters (M, P), alive (M,) bool, values), clamps the parameters of living members
            in place after each critic update; None for no clipping.
        critic_batch_norm: whether the package's image critic has batch norm; none that is penalised may mix
            samples.
        turns: n_critic -> the players' updates of one iteration, in order.
        hyperparameters: all that the model has, by name; none is `init` where it brings both networks.
        generator: (latent_dim, sample_shape) -> a new module, (B, latent_dim) -> (B, *sample_shape), with
            weights drawn from torch's global generator; None for the package's.
        critic: (sample_shape) -> a new module, (B, *sample_shape) -> (B,) or (B, 1), likewise.
        bf16_kinds: kinds of data on which `auto` may compute in bfloat16: no difference in final metrics was
            found that eight pairs of seeds could have found (python -m tests.benchmarks.precision).

    Raises:
        ValueError: the declaration is incomplete, or says something twice.
    """

    name: str
    title: str
    source: str
    critic_loss: Callable[["Tensor", "Tensor", Values], "Tensor"]
    generator_loss: Callable[["Tensor", Values], "Tensor"]
    defaults: Mapping[str, Any]
    own: tuple[Hyperparameter, ...] = ()
    penalty: "Callable[[HasInputGradient, Tensor, Tensor, Tensor, Values], Tensor] | None" = None
    clip: "Callable[[Tensor, Tensor, Values], None] | None" = None
    critic_batch_norm: bool = True
    turns: Callable[[int], Sequence[str]] = critic_first
    generator: "Callable[[int, tuple[int, ...]], nn.Module] | None" = None
    critic: "Callable[[tuple[int, ...]], nn.Module] | None" = None
    bf16_kinds: tuple[str, ...] = ()
    is_default: bool = False
    hyperparameters: dict[str, Hyperparameter] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        known: dict[str, Hyperparameter] = {}
        own_weights = self.generator is not None and self.critic is not None
        by_model = [h for h in GIVEN_BY_MODEL if not (own_weights and h is INIT)]
        for hyperparameter in (*by_model, *self.own, *GIVEN_BY_DATA):
            if hyperparameter.name in known:
                raise ValueError(f"the model {self.name} declares {hyperparameter.name} a second time")
            known[hyperparameter.name] = hyperparameter
        given = [hyperparameter.name for hyperparameter in GIVEN_BY_MODEL]
        for name in self.defaults:
            if name not in given:
                raise ValueError(
                    f"the model {self.name} declares a default of {name}, which is not its to give"
                )
        for hyperparameter in (*by_model, *self.own):
            default = self.defaults.get(hyperparameter.name, hyperparameter.default)
            if default is None:
                raise ValueError(f"the model {self.name} declares no default of {hyperparameter.name}")
            known[hyperparameter.name] = replace(hyperparameter, default=hyperparameter.checked(default))
        if self.penalty is not None and self.critic is None and self.critic_batch_norm:
            raise ValueError(f"the model {self.name} has a penalty: its critic may not have batch norm")
        if {*self.turns(self.defaults["n_critic"])} != {CRITIC, GENERATOR}:
            raise ValueError(f"the model {self.name}: the turns must be the critic's and the generator's")
        if self.has_own_networks and self.bf16_kinds:
            raise ValueError(f"the model {self.name} brings networks: those compute in fp32 alone")
        object.__setattr__(self, "hyperparameters", known)

    @property
    def has_own_networks(self) -> bool:
        """Whether it brings a generator or a critic."""
        return self.generator is not None or self.critic is not None
