"""What a trial, and a whole study, is to do. Both survive a round trip through JSON."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from study.config import TrialConfig
from study.data import Fingerprint
from study.declared import remember
from study.errors import ConfigError, not_one_of, shown
from study.machine.precision import PRECISIONS
from study.machine.typed import check_fields
from study.metrics import check_metric
from study.models import MODELS
from study.resources import Resources

# Generator updates before which no trial is stopped: tests/benchmarks/README.md, "How early a rung tells".
MIN_UPDATES = 10
TRIALS_OF_A_MAP = 64  # which hyperparameters matter is told from 32 on, better of more
RETRIES = 3  # of a trial whose process is lost
EVALUATIONS = 9  # after the one at kimg 0, where the user does not say
AGGREGATES = ("mean", "median", "cvar")
NAME_BYTES = 255
MOST_COUNT = 1_000_000  # of whatever a study counts: more is a slip of the hand
SAMPLERS = ("tpe", "random", "qmc", "grid")
SCHEDULERS = ("asha", "hyperband", "fifo")
PACKS = ("trial", "auto")
DEVICES = ("cpu", "cuda", "")  # the last: not known
WANDB_MODES = ("auto", "online", "offline", "disabled")
DEFAULT, STARTUP, SAMPLER, GIVEN = "default", "startup", "sampler", "given"  # a configuration's origin


class RecordedPlugin(TypedDict):
    """What a study's files say of a plugin."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """A trial, ready to run anywhere.

    Attributes:
        seeds: member seeds; a trial trains one member per seed.
        study_seed: every random stream derives from (study_seed, member seed, purpose).
        kimg: thousands of real images shown to each member's critic before the trial ends.
        eval_kimg: kimg between evaluations.
        metric: the metric that each member's score is read from.
        aggregate: how the seeds' scores become the objective: mean, median or cvar.
        precision: what networks compute in, fp32 or bf16.
        fingerprint: of the data (`study.data.facts`).
        declared: what the package does not have of what the plan names (`study.declared`).
        keep_best: whether the networks of the best evaluation are kept beside the last checkpoint.
        plugins: path and SHA-256 of the files with the user's code (`study.plugins`).
        origin: who proposed the configuration: DEFAULT, the paper; STARTUP, chance, while the sampler knew
            too little; SAMPLER; or GIVEN by a user.
        threads, device: of the process that is to train it, on which its bits depend; None and '' where an
            earlier version did not say.
        companions: trials handed out before it that were to train in its pack. Later ones name it.
    """

    study: str
    space: str
    trial_id: str
    config: TrialConfig
    seeds: tuple[int, ...]
    study_seed: int
    kimg: float
    eval_kimg: float
    metric: str
    aggregate: str
    precision: str = "fp32"
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    declared: dict[str, Any] = field(default_factory=dict)
    keep_best: bool = True
    plugins: list[RecordedPlugin] = field(default_factory=list)
    origin: str = GIVEN
    threads: int | None = None
    device: str = ""
    companions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError where a plan read from config.json makes no sense."""
        check_fields(self)
        for name in (self.study, self.space, self.trial_id):
            check_study_name(name)
        _check_budget(self.kimg, self.eval_kimg)
        _check_place(self.threads, self.device)
        check_metric(self.metric, self.config.dataset)
        _check_precision(self.precision, self.config.model)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds = {shown(self.seeds)}: it must be one or more different seeds")
        if self.aggregate not in AGGREGATES:
            raise ConfigError(f"aggregate = {shown(self.aggregate)} is not one of {', '.join(AGGREGATES)}")

    def to_dict(self) -> dict[str, Any]:
        lists = {name: list(getattr(self, name)) for name in ("seeds", "companions")}
        return {**vars(self), "config": self.config.to_dict(), **lists}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrialPlan":
        known = dict(values)
        remember(known.get("declared", {}))
        known["config"] = TrialConfig.from_dict(known["config"])
        known["seeds"] = tuple(known["seeds"])
        known["companions"] = tuple(known.get("companions", ()))
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """A study: its spaces, its budget, and how its trials are run.

    Attributes:
        spaces: each space's YAML document by its name, as read.
        samplers, schedulers, trials: by space; what proposes its trials, what stops them early, and
            how many there are.
        seeds: members per trial.
        precision: by model, fp32 or bf16; a model that is not named computes in fp32.
        keep_best: see `TrialPlan`.
        concurrency, cpus_per_trial, gpus_per_trial, pack: see `Resources`.
        fingerprint, declared, plugins: as of each trial.
        min_updates: generator updates before which ASHA stops no trial.
        retries: how often a trial goes on after its process was lost.
        mirror: the URL that the study is copied to (`study.records.mirror`), if any.
    """

    name: str
    spaces: dict[str, Any]
    dataset: str
    metric: str
    aggregate: str
    samplers: dict[str, str]
    schedulers: dict[str, str]
    trials: dict[str, int]
    seeds: int
    kimg: float
    eval_kimg: float
    seed: int
    concurrency: int
    cpus_per_trial: float
    gpus_per_trial: float
    wandb: str
    wandb_project: str
    address: str | None
    precision: dict[str, str] = field(default_factory=dict)
    pack: int | str = "trial"
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    declared: dict[str, Any] = field(default_factory=dict)
    keep_best: bool = True
    plugins: list[RecordedPlugin] = field(default_factory=list)
    min_updates: int = MIN_UPDATES
    retries: int = RETRIES
    mirror: str | None = None

    def __post_init__(self) -> None:
        """Raises ConfigError where a plan read from study.json makes no sense."""
        check_fields(self)
        for name in ("spaces", "samplers", "schedulers", "trials"):
            by_space = getattr(self, name)
            if by_space.keys() != self.spaces.keys():
                raise ConfigError(f"{name} = {shown(by_space)}: it must have one entry for each space")
        for name, known in (("samplers", SAMPLERS), ("schedulers", SCHEDULERS)):
            for value in getattr(self, name).values():
                if value not in known:
                    raise ConfigError(f"{name}: {shown(value)} is not one of {', '.join(known)}")
        for name in (self.name, *self.spaces):
            check_study_name(name)  # of files inside the study's folder
        counts = [(space, number, 1) for space, number in self.trials.items()]  # of any name
        counts += [(name, getattr(self, name), 1) for name in ("seeds", "min_updates", "concurrency")]
        for name, number, least in (*counts, ("retries", self.retries, 0)):
            if not least <= number <= MOST_COUNT:
                raise ConfigError(
                    f"{name} = {shown(number)} must be a whole number from {least} to {MOST_COUNT:,}"
                )
        for name, share, fewest in (("cpus", self.cpus_per_trial, 1e-4), ("gpus", self.gpus_per_trial, 0.0)):
            if not fewest <= share <= MOST_COUNT:
                raise ConfigError(
                    f"{name}_per_trial = {shown(share)} must be a number from {fewest:g} to {MOST_COUNT:,}"
                )
        check_metric(self.metric, self.dataset)
        for name, known in (("aggregate", AGGREGATES), ("wandb", WANDB_MODES)):
            if getattr(self, name) not in known:
                raise ConfigError(not_one_of(name, getattr(self, name), known))
        for model, precision in self.precision.items():
            _check_precision(precision, model)
        if self.pack not in PACKS and not (isinstance(self.pack, int) and self.pack >= self.seeds):
            raise ConfigError(
                f"pack = {shown(self.pack)} is not {' or '.join(PACKS)} or a number of at least the "
                f"{self.seeds} members of a trial"
            )
        _check_budget(self.kimg, self.eval_kimg)

    @property
    def resources(self) -> Resources:
        return Resources(self.concurrency, self.cpus_per_trial, self.gpus_per_trial, self.pack)

    @property
    def evaluations(self) -> int:
        """How many a trial has, after the one at kimg 0."""
        return math.ceil(round(self.kimg / self.eval_kimg, 9))

    @property
    def total_trials(self) -> int:
        return sum(self.trials.values())

    def trial(
        self, space: str, number: int, hyperparameters: Mapping[str, Any], origin: str = GIVEN
    ) -> TrialPlan:
        """The plan of one trial of a space."""
        config = TrialConfig.from_dict({**hyperparameters, "dataset": self.dataset})
        return TrialPlan(
            study=self.name,
            space=space,
            trial_id=trial_id(space, number),
            config=config,
            seeds=tuple(range(self.seeds)),
            study_seed=self.seed,
            kimg=self.kimg,
            eval_kimg=self.eval_kimg,
            metric=self.metric,
            aggregate=self.aggregate,
            precision=self.precision.get(config.model, "fp32"),
            fingerprint=self.fingerprint,
            declared=self.declared,
            keep_best=self.keep_best,
            plugins=self.plugins,
            origin=origin,
        )

    def maps(self, space: str) -> bool:
        """Whether a space is mapped: every trial goes to its end, wherever the others did well.

        Else the study looks for the best, where importances and maps of regions are mostly noise.
        """
        return self.schedulers[space] == "fifo" and self.samplers[space] != "tpe"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StudyPlan":
        remember(values.get("declared", {}))
        return cls(**values)


def _check_place(threads: int | None, device: str) -> None:
    if threads is not None and not 1 <= threads <= MOST_COUNT:
        raise ConfigError(f"threads = {threads!r} must be a whole number from 1 to {MOST_COUNT:,}")
    if device not in DEVICES:
        raise ConfigError(not_one_of("device", device, filter(None, DEVICES)))


def check_study_name(name: str) -> str:
    """A study's name that stays inside the results folder. Raises ConfigError."""
    if name != Path(name).name or name[:1] in ("", ".") or "\\" in name or not name.isprintable():
        raise ConfigError(f"study name {shown(name)} must be a plain folder name, without a path")
    if len(os.fsencode(name)) > NAME_BYTES:
        raise ConfigError(f"study name {shown(name)} is longer than the {NAME_BYTES} bytes of a file name")
    return name


def _check_budget(kimg: float, eval_kimg: float) -> None:
    for name, value in (("kimg", kimg), ("eval_kimg", eval_kimg)):
        if not value > 0:
            raise ConfigError(f"{name} = {shown(value)} is out of range: it must be above 0")
    if kimg / eval_kimg > MOST_COUNT:
        raise ConfigError(
            f"eval_kimg = {eval_kimg:g} makes more than {MOST_COUNT:,} evaluations of {kimg:g} kimg"
        )


def _check_precision(precision: str, model: str) -> None:
    if precision not in PRECISIONS[1:]:
        raise ConfigError(f"precision = {shown(precision)} is not one of {', '.join(PRECISIONS[1:])}")
    if precision == "bf16" and model in MODELS and MODELS[model].has_own_networks:
        raise ConfigError(
            f"precision = {shown(precision)}: the networks that {model} brings compute in fp32 alone"
        )


def trial_id(space: str, number: int) -> str:
    """A trial's name: its space and its number in the space's Optuna study."""
    return f"{space}-{number:05d}"


def trial_number(trial_id: str) -> int:
    """The inverse: 'wgan_gp-00012' -> 12."""
    return int(trial_id.rpartition("-")[2])
