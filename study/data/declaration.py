"""What a dataset declares. Importing this is cheap: its loader is called where the data are used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from study.data.arrays import Arrays
    from study.data.store import Stored


class Fingerprint(TypedDict, total=False):
    """Of data: what they are, how many items each part has, and the contents' SHA-256."""

    kind: str
    sample_shape: list[int]
    number: dict[str, int]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What datasets of one kind have in common; each may say otherwise.

    Attributes:
        kimg: default budget. Chosen so that the README's first command ends within five minutes on two cores.
        defaults: of the hyperparameters in GIVEN_BY_DATA, and of `init` where one law suits every model.
    """

    kimg: float
    defaults: Mapping[str, Any]


# The architecture follows the kind: DCGAN for images, an MLP for points. The papers' laws of initial weights
# are of image networks; an MLP starts from `he` with every model (tests/benchmarks/README.md).
KINDS = {
    "images": Kind(kimg=30.0, defaults={"batch_size": 64, "width": 32, "latent_dim": 100}),
    "points": Kind(kimg=600.0, defaults={"batch_size": 256, "width": 128, "latent_dim": 2, "init": "he"}),
}


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Real data that a name stands for.

    Attributes:
        meaning: in a few words, with the source.
        kind: 'images' or 'points'.
        sample_shape: (C, side, side) of an image, (D,) of a point.
        load: called once per process, with the `options`; it imports what it needs. Not needed beside
            `prepare`.
        modes: number of classes (images) or mixture components (points); None where they aren't known.
        labels: whether every sample has a class; a classifier then gives features and modes of images.
        kimg, defaults: instead of the kind's.
        options: by name, what a user said of the data beside their name.
        prepare: what is kept of the data in the cache, made if need be: a command calls it before it creates
            anything. Raises UserError where it can't be made. None: the data are loaded to be looked at.

    Raises:
        ValueError: the declaration makes no sense.
    """

    name: str
    meaning: str
    kind: str
    sample_shape: tuple[int, ...]
    load: "Callable[..., Arrays]" = None  # type: ignore[assignment]
    modes: int | None = None
    labels: bool = False
    kimg: float = 0.0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    prepare: "Callable[[], Stored] | None" = None
    is_default: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"dataset {self.name}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if len(self.sample_shape) != (3 if self.kind == "images" else 1):
            raise ValueError(
                f"dataset {self.name}: {self.sample_shape} is not a shape of {self.kind}: (C, side, side) of "
                "an image, (D,) of a point"
            )
        if self.load is None:
            if self.prepare is None:
                raise ValueError(f"dataset {self.name}: neither load nor prepare is declared")
            kept = self.prepare
            object.__setattr__(self, "load", lambda **_: kept().load())
        side = self.sample_shape[-1]
        if self.kind == "images" and (self.sample_shape[1] != side or side < 8 or side & (side - 1)):
            raise ValueError(f"dataset {self.name}: images must be square, of side 8, 16, 32, ...")
        if self.is_classified and not self.modes:
            raise ValueError(f"the dataset {self.name} declares labels, but not its number of modes")
        kind = KINDS[self.kind]
        for name in self.defaults:
            if name not in kind.defaults:
                raise ValueError(f"the dataset {self.name} declares a default of {name}, not its to give")
        if self.kimg < 0:
            raise ValueError(f"dataset {self.name}: kimg = {self.kimg!r} must be above 0")
        object.__setattr__(self, "kimg", self.kimg or kind.kimg)
        object.__setattr__(self, "defaults", {**kind.defaults, **self.defaults})

    @property
    def is_classified(self) -> bool:
        """Whether a classifier, trained on these data, judges samples: of images with labels."""
        return self.kind == "images" and self.labels


@dataclass(frozen=True, kw_only=True)
class DatasetFamily:
    """Datasets called `name:<argument>`.

    Attributes:
        argument: what follows the colon, in a word.
        of: (argument, **options) -> the dataset of that full name, ready to be loaded. Raises UserError where
            there is none.
        options: names of what a user may say beside the argument.
    """

    name: str
    meaning: str
    argument: str
    of: Callable[..., Dataset]
    options: tuple[str, ...] = ()
    is_default: bool = False
