"""For all tests: one thread, a private cache folder; a study to be written by hand."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from study.data import DATASETS, dataset_named, load
from study.data.arrays import Arrays
from study.metrics import METRICS
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.evaluator import evaluator_for
from study.metrics.judge.judge import load_judge
from study.models import MODELS
from study.records.schema import Row
from study.records.study_folder import StudyFolder
from study.records.trial_folder import Ending, TrialFolder
from study.registry import Registry
from study.signals import SIGNALS
from tests import s3
from tests.commands import Start, starter
from tests.packs import CPU, TINY, Case, training_data
from tests.records.written import Add, write_floor
from tests.studies import study_plan, trial_plan


@pytest.fixture(scope="session", autouse=True)
def _private_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One torch thread (the same bits everywhere), and no test reads or fills the user's cache."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_STUDY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@contextmanager
def settings_kept() -> Iterator[None]:
    """The signal handlers and the environment that a command changes are taken back."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    environment = dict(os.environ)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in {*os.environ} - {*environment}:
        del os.environ[name]
    os.environ.update(environment)


@pytest.fixture(scope="module", autouse=True)
def _settings_of_module() -> Iterator[None]:
    """Fixtures run commands, too."""
    with settings_kept():
        yield


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with settings_kept():
        yield


@pytest.fixture(autouse=True)
def _as_declared() -> Iterator[None]:
    """What a test declares, or reads from a study's files, is forgotten after it."""
    registries: tuple[Registry[Any], ...] = (MODELS, DATASETS, METRICS)
    before = [registry.snapshot() for registry in registries]
    yield
    for registry, snapshot in zip(registries, before, strict=True):
        registry.restore(snapshot)


@pytest.fixture
def double() -> Iterator[None]:
    """Networks and packs are built in float64, where two ways to the same result agree to 1e-10.

    In float32 they part sooner or later: Adam moves a weight by lr sign(g), so rounding that changes
    the sign of a gradient next to zero is a difference of 2 lr.
    """
    for kind in TINY:  # datasets are loaded (and cached) in float32
        training_data(kind)
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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m study.tune` in the test's folder; what still runs after the test is ended."""
    yield from starter(tmp_path)


@pytest.fixture(scope="session")
def digits() -> Arrays:
    return load("digits", CPU)


@pytest.fixture(scope="session")
def classifier(digits: Arrays) -> Classifier:
    """The classifier of digits; its ten seconds of training are spent once per session."""
    judge, _ = load_judge(dataset_named("digits"), digits)
    assert isinstance(judge, Classifier)
    return judge


@pytest.fixture(params=list(product(MODELS, TINY)), ids=lambda case: "-".join(case), scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    """Every (model, kind of data)."""
    model, kind = request.param
    return model, kind


@pytest.fixture(params=["fp32", "bf16"], scope="session")
def precision(request: pytest.FixtureRequest) -> str:
    """What networks compute in; facts about bits hold in both."""
    name: str = request.param
    return name


@pytest.fixture
def data(case: Case) -> Tensor:
    """The training samples of a case."""
    return training_data(case[1])


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint of a real S3 server, for all tests."""
    with s3.server() as endpoint:
        yield endpoint


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3.Proxy]:
    """Through which this process and those it starts see the server. There is a bucket, named 'bucket'."""
    credentials = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in {**credentials, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    found = s3.Proxy(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
    s3.make_bucket(s3_server, "bucket")
    yield found
    found.close()


@pytest.fixture
def bucket(proxy: s3.Proxy, tmp_path: Path) -> str:
    """The URL of an empty folder in a bucket."""
    del proxy
    return f"s3://bucket/{tmp_path.name}"


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    """An empty study."""
    folder = StudyFolder(tmp_path / "results" / "mine")
    folder.create(study_plan(spaces={}, kimg=2.0, eval_kimg=1.0), [], {})
    write_floor(folder)
    return folder


@pytest.fixture
def add(study: StudyFolder) -> Add:
    """Write a trial's folder; without an ending it is unfinished."""

    def write(trial_id: str, history: list[Row], ending: Ending | None = None, **changes: Any) -> TrialFolder:
        folder = study.trial(trial_id)
        known = {"space": trial_id.rpartition("-")[0], "trial_id": trial_id, "lr_g": 3e-4, "kimg": 2.0}
        folder.create(trial_plan(**{**known, "eval_kimg": 1.0, **changes}))
        folder.append(history)
        if ending:
            folder.finish(replace(ending, kimg=history[-1]["kimg"]) if history else ending)
        return folder

    return write
