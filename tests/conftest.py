"""For all tests: one thread, a private cache folder, and packs tiny enough to train in milliseconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from study.config import TrialConfig
from study.data import dataset_named, load
from study.data.arrays import Arrays
from study.metrics import METRICS
from study.metrics.judge.classifier import Classifier, load_classifier
from study.metrics.judge.evaluator import evaluator_for
from study.models import MODELS
from study.training import checkpoint
from study.training.members import state_of
from study.training.pack import Pack

CPU = torch.device("cpu")
STUDY_SEED = 7
TINY: dict[str, dict[str, Any]] = {
    "images": {"dataset": "digits", "width": 2, "latent_dim": 8, "batch_size": 8},
    "points": {"dataset": "ring8", "width": 16, "latent_dim": 2, "batch_size": 16},
}


@pytest.fixture(scope="session", autouse=True)
def _private_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One torch thread (the same bits everywhere), and no test reads or fills the user's cache."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_STUDY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def double(training_data: Callable[[str], Tensor]) -> Iterator[None]:
    """Networks and packs are built in float64, where two ways to the same result agree to 1e-10.

    In float32 they part sooner or later: Adam moves a weight by lr sign(g), so rounding that changes
    the sign of a gradient next to zero is a difference of 2 lr.
    """
    del training_data  # it is asked for so that datasets are loaded (and cached) in float32
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def cheap_transport() -> Iterator[None]:
    """Optimal transport between 50 points instead of 1,000: the rest of an evaluation is the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "w1", replace(METRICS["w1"], samples={"points": 50}))
        evaluator_for.cache_clear()
        yield
    evaluator_for.cache_clear()


@pytest.fixture(scope="session")
def digits() -> Arrays:
    return load("digits", CPU)


@pytest.fixture(scope="session")
def classifier(digits: Arrays) -> Classifier:
    """The classifier of digits; its ten seconds of training are spent once per session."""
    return load_classifier(dataset_named("digits"), digits)


@pytest.fixture(params=list(product(MODELS, TINY)), ids=lambda case: "-".join(case), scope="session")
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Every (model, kind of data)."""
    model, kind = request.param
    return model, kind


@pytest.fixture(params=["fp32", "bf16"], scope="session")
def precision(request: pytest.FixtureRequest) -> str:
    """What networks compute in; facts about bits hold in both."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def training_data() -> Callable[[str], Tensor]:
    """The training samples of the tiny dataset of a kind, in the default floating type."""
    train = {kind: load(tiny["dataset"], CPU).train for kind, tiny in TINY.items()}
    return lambda kind: train[kind].to(torch.get_default_dtype())


@pytest.fixture(scope="session")
def make_pack(training_data: Callable[[str], Tensor]) -> Callable[..., Pack]:
    """A tiny pack; `per_member` holds each member's own hyperparameters."""

    def make(
        model: str,
        kind: str,
        seeds: Sequence[int] = (0, 1, 2, 3),
        per_member: Sequence[Mapping[str, float]] = (),
        precision: str = "fp32",
        device: torch.device = CPU,
        **overrides: Any,
    ) -> Pack:
        configs = [
            TrialConfig.from_dict({"model": model, **TINY[kind], **overrides, **own})
            for own in (per_member or [{}] * len(seeds))
        ]
        return Pack(configs, seeds, STUDY_SEED, tuple(training_data(kind).shape[1:]), device, precision)

    return make


@pytest.fixture(scope="session")
def member_state() -> Callable[[Pack, int], dict[str, bytes]]:
    """The bits of one member's parameters, optimiser state and meters, by name."""

    def read(pack: Pack, member: int) -> dict[str, bytes]:
        state = state_of(pack)
        bits: dict[str, bytes] = {}

        def collect(name: str, value: Any) -> None:
            if isinstance(value, Tensor):
                bits[name] = value[member].contiguous().cpu().numpy().tobytes()
                return
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, part in items:
                collect(f"{name}.{key}", part)

        for part in ("generator", "critic", "generator_optimiser", "critic_optimiser", "meters"):
            collect(part, state[part])
        return bits

    return read


@pytest.fixture(scope="session")
def everything() -> Callable[[Pack | Mapping[str, Any]], dict[str, object]]:
    """All of a pack but its clock as {path: bytes or number}, so that NaN equals NaN and -0 is not 0."""

    def flat(value: Any, name: str) -> dict[str, object]:
        if isinstance(value, Tensor):
            return {name: (tuple(value.shape), value.contiguous().cpu().numpy().tobytes())}
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            return {k: v for key, part in items for k, v in flat(part, f"{name}/{key}").items()}
        return {name: value}

    def read(pack: Pack | Mapping[str, Any]) -> dict[str, object]:
        state = checkpoint.state_of(pack) if isinstance(pack, Pack) else pack
        return flat({k: v for k, v in state.items() if k != "train_seconds"}, "")

    return read
