"""study.load: a trial's networks as an evaluation used them, in torch's own layers, or one clear sentence."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import study
from study.data import load as load_data
from study.data.arrays import Arrays
from study.errors import UserError
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.evaluator import evaluator_for
from study.plan import TrialPlan
from study.records.objective import objectives
from study.records.schema import Row
from study.records.trial_folder import TrialFolder
from study.training import checkpoint
from study.training.pack import Pack
from study.training.streams import generator_for
from study.trial.evaluation import Evaluation
from study.trial.run import run
from tests.packs import CPU
from tests.studies import trial_plan
from tests.training.test_checkpoint import Trap

SEEDS = (0, 3, 5)
POINTS = trial_plan(seeds=SEEDS, lr_g=0.05, lr_d=0.05, kimg=1.28, init="torch")  # best in the middle
IMAGES = trial_plan(model="dcgan", dataset="digits", width=2, seeds=SEEDS, metric="fd", kimg=0.384)


@dataclass
class Trained:
    """A trial that was trained; `drawn`: the samples (M, n, ...) of each evaluation."""

    plan: TrialPlan
    folder: TrialFolder
    drawn: list[Tensor]

    @property
    def path(self) -> Path:
        return self.folder.path

    def number(self, evaluation: str) -> int:
        """Which evaluation a word stands for."""
        curve = objectives(self.plan, self.folder.rows())
        return min(curve, key=lambda point: point[1])[0] if evaluation == "best" else curve[-1][0]


@contextmanager
def training(plan: TrialPlan, path: Path) -> Iterator[tuple[Trained, Iterator[Evaluation]]]:
    """A trial from where it stands, an evaluation at a time."""
    trained = Trained(plan, TrialFolder(path), [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("study.trial.run.save_samples", lambda samples, *_: trained.drawn.append(samples))
        evaluations = run(plan, trained.folder, CPU)
        yield trained, evaluations
        evaluations.close()


def train(plan: TrialPlan, path: Path) -> Trained:
    """A trial to its end."""
    with training(plan, path) as (trained, evaluations):
        list(evaluations)
    return trained


@pytest.fixture(scope="module")
def points(cheap_transport: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    del cheap_transport
    return train(POINTS, tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="module")
def images(digits: Arrays, classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    del digits, classifier  # asked for so that it is trained once for all test files
    return train(IMAGES, tmp_path_factory.mktemp("images"))


@pytest.fixture
def copy(points: Trained, tmp_path: Path) -> TrialFolder:
    """A copy of the trial on points, to change."""
    return TrialFolder(Path(shutil.copytree(points.path, tmp_path / "copy")))


def latents(plan: TrialPlan, seed: int, n: int) -> Tensor:
    stream = generator_for(plan.study_seed, seed, "evaluation")
    return torch.randn(n, plan.config.latent_dim, generator=stream)


def check_samples(network: nn.Module, trained: Trained, number: int, seed: int, digits: float = 1e-5) -> None:
    """`network` draws what this seed drew at an evaluation."""
    samples = trained.drawn[number][trained.plan.seeds.index(seed)]
    drawn = network(latents(trained.plan, seed, len(samples)))
    torch.testing.assert_close(drawn, samples.float(), rtol=digits, atol=digits)


def same(one: nn.Module, other: nn.Module) -> bool:
    others = other.state_dict()
    return all(torch.equal(tensor, others[name]) for name, tensor in one.state_dict().items())


# What is loaded


@pytest.mark.parametrize("evaluation", ["best", "last"])
@pytest.mark.parametrize("trial", ["points", "images"])
def test_a_generator_draws_what_the_evaluation_drew(
    trial: str, evaluation: str, request: pytest.FixtureRequest
) -> None:
    trained: Trained = request.getfixturevalue(trial)
    for seed in SEEDS:
        network = study.load(trained.path, seed, evaluation)
        check_samples(network, trained, trained.number(evaluation), seed)


def test_the_best_evaluation_is_meant_where_nobody_names_one(points: Trained) -> None:
    assert points.number("best") != points.number("last")
    assert same(study.load(points.path, 3), study.load(points.path, 3, "best"))
    assert not same(study.load(points.path, 3), study.load(points.path, 3, "last"))


def test_so_does_one_trained_in_bf16(images: Trained, tmp_path: Path) -> None:
    trained = train(replace(images.plan, precision="bf16"), tmp_path / "bf16")
    for seed in SEEDS:
        check_samples(study.load(trained.path, seed, "last"), trained, -1, seed)


@pytest.mark.parametrize("trial", ["points", "images"])
def test_a_critic_scores_as_the_trials_own_with_statistics_of_real_data(
    trial: str, request: pytest.FixtureRequest
) -> None:
    trained: Trained = request.getfixturevalue(trial)
    plan = trained.plan
    real = load_data(plan.config.dataset, CPU).held_out[:100]
    pack = Pack([plan.config] * 3, SEEDS, plan.study_seed, tuple(real.shape[1:]), CPU)
    checkpoint.load(pack, trained.folder.checkpoint)
    pack.critic.refresh()
    pack.record_critic_statistics(lambda: evaluator_for(plan.config.dataset, CPU).real())
    scores = pack.critic.network.eval()(real.expand(3, *real.shape)).detach()
    for own, seed in zip(scores, SEEDS, strict=True):
        critic = study.load(str(trained.path), seed, "last", critic=True)
        torch.testing.assert_close(critic(real), own, rtol=1e-4, atol=1e-6)
        assert float(own.std()) > 1e-4


def test_a_trial_is_loaded_while_it_trains(tmp_path: Path) -> None:
    with training(POINTS, tmp_path / "trial") as (trained, evaluations):
        for number, _ in zip(range(3), evaluations, strict=False):
            check_samples(study.load(trained.path, 5, "last"), trained, number, 5)


def test_a_resumed_trial_is_the_uninterrupted_one(points: Trained, tmp_path: Path) -> None:
    with training(POINTS, tmp_path / "trial") as (resumed, evaluations):
        next(evaluations)
        next(evaluations)
    train(POINTS, resumed.path)
    for evaluation in ("best", "last"):
        assert same(study.load(resumed.path, 3, evaluation), study.load(points.path, 3, evaluation))


def test_it_is_ready_for_use_and_took_no_random_number(points: Trained) -> None:
    before = torch.get_rng_state()
    network = study.load(points.path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not network.training
    for parameter in network.parameters():
        assert (type(parameter), parameter.dtype) == (nn.Parameter, torch.float32)
        assert (parameter.device.type, parameter.requires_grad) == ("cpu", False)


# Which seed


def score(folder: TrialFolder, number: int, scores: list[float], diverged: list[bool]) -> None:
    """Rewrite the scores of one evaluation."""

    def changed(row: Row) -> Row:
        k = SEEDS.index(row["seed"])
        at = {"score": scores[k], "diverged": diverged[k]}
        return row | (at if row["evaluation"] == number else {})

    keep_rows(folder, changed)


def keep_rows(folder: TrialFolder, change: Callable[[Row], Row | None]) -> None:
    rows = [row for row in map(change, folder.rows()) if row is not None]
    (folder.path / "curves.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def configure(folder: TrialFolder, **changes: Any) -> None:
    """Change config.json."""
    path = folder.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("evaluation", ["best", "last"])
@pytest.mark.parametrize(("metric", "scores", "best"), [("w1", [3, 2, 1], 3), ("hq", [0.1, 0.2, 0.3], 3)])
def test_the_best_seed_has_the_best_score_then_and_had_not_diverged(
    evaluation: str, metric: str, scores: list[float], best: int, points: Trained, copy: TrialFolder
) -> None:
    configure(copy, metric=metric)
    score(copy, points.number(evaluation), scores, [False, False, True])
    assert same(study.load(copy.path, "best", evaluation), study.load(points.path, best, evaluation))


def test_a_seed_that_diverged_can_be_asked_for(points: Trained, copy: TrialFolder) -> None:
    score(copy, points.number("last"), [1, 1, 1], [True, True, True])
    assert same(study.load(copy.path, 0, "last"), study.load(points.path, 0, "last"))


# What can't be loaded


def diverge(folder: TrialFolder) -> None:
    keep_rows(folder, lambda row: {**row, "diverged": True})


def drop_rows(folder: TrialFolder) -> None:
    keep_rows(folder, lambda row: row if row["evaluation"] == 0 else None)


def without_statistics(folder: TrialFolder) -> None:
    state = torch.load(folder.best, weights_only=True)
    torch.save({name: own for name, own in state.items() if "buffers" not in name}, folder.best)


def spring(folder: TrialFolder) -> None:
    torch.save({"generator": Trap(folder.path / "sprung")}, folder.best)


def nothing(_: TrialFolder) -> None:
    pass


WRONG: dict[str, tuple[Callable[[TrialFolder], object], dict[str, Any], str]] = {
    "no folder": (lambda f: shutil.rmtree(f.path), {}, r"copy is not the folder of a trial: .*is missing"),
    "no plan": (lambda f: (f.path / "config.json").write_text("{"), {}, "is not the folder of a trial"),
    "seed": (nothing, {"seed": 7}, "copy has no seed 7: there are 0, 3, 5, and 'best'"),
    "word": (nothing, {"evaluation": "first"}, "evaluation = 'first' is not one of best, last"),
    "plugins": (nothing, {"plugins": ["mine.py"]}, r"--plugin mine\.py can't be read"),
    "no checkpoint": (lambda f: shutil.rmtree(f.best.parent), {}, "copy has no checkpoint yet"),
    "no best": (lambda f: f.best.unlink(), {}, "--no-keep-best .*: evaluation='last' loads the last ones"),
    "damaged": (lambda f: f.best.write_bytes(b"?"), {}, r"best\.pt is damaged, or is not a checkpoint"),
    "code": (spring, {}, r"best\.pt is damaged, or is not a checkpoint"),
    "diverged": (diverge, {}, r"all seeds of .*copy had diverged at evaluation \d+: name a seed"),
    "rows": (drop_rows, {}, r"copy is making evaluation \d+ again after a kill: name a seed"),
    "damaged rows": (
        lambda f: (f.path / "curves.jsonl").write_text("?\n"),
        {},
        "line 1 is not a row of a curve",
    ),
    "model": (
        lambda f: configure(f, config={"model": "mine"}),
        {},
        "model = 'mine' is not one of .*; if a plugin declares it, name the file in `plugins`",
    ),
    "width": (
        lambda f: configure(f, config={"dataset": "ring8", "width": 9}),
        {},
        "the checkpoint of .*copy holds another generator than its config.json tells of",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(wrong: str, copy: TrialFolder) -> None:
    spoil, choice, said = WRONG[wrong]
    spoil(copy)
    with pytest.raises(UserError, match=said) as caught:
        study.load(copy.path, **choice)
    assert "\n" not in str(caught.value)
    assert not (copy.path / "sprung").exists()


@pytest.mark.parametrize("critic", [False, True])
def test_batch_norm_without_statistics_is_refused(critic: bool, images: Trained, tmp_path: Path) -> None:
    old = TrialFolder(Path(shutil.copytree(images.path, tmp_path / "old")))
    without_statistics(old)
    with pytest.raises(UserError, match="made by an earlier version, which kept no batch-norm statistics"):
        study.load(old.path, critic=critic)


def test_without_batch_norm_no_statistics_are_needed(points: Trained, copy: TrialFolder) -> None:
    without_statistics(copy)
    assert same(study.load(copy.path, 3), study.load(points.path, 3))
