"""Metrics of images, with a stand-in classifier where figures must be known, and digits' real one."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from study.data import dataset_named
from study.data.arrays import Arrays
from study.metrics import METRICS, metrics_for
from study.metrics.frechet import frechet_distance
from study.metrics.judge import classifier as classifier_module
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.evaluator import Evaluator
from study.metrics.judge.judge import load_judge
from study.metrics.manifold import in_balls, typical
from study.metrics.modes import modes_of_images
from study.networks.initial import LAWS
from study.training.pack import Pack
from tests.packs import CPU
from tests.studies import trial_plan

PIXELS = 4  # a 2x2 image; its features are its pixels, its class the brightest one


@pytest.fixture
def stand_in() -> Classifier:
    last = nn.Linear(PIXELS, PIXELS, bias=False)
    with torch.no_grad():
        last.weight.copy_(torch.eye(PIXELS))
    return Classifier(nn.Sequential(nn.Flatten(), last), accuracy=1.0)


def images_of(*classes: int) -> Tensor:
    """2x2 images whose pixel number `class` is the brightest."""
    return torch.eye(PIXELS)[list(classes)].view(-1, 1, 2, 2)


@pytest.fixture
def toy() -> Arrays:
    """Half the training images are of class 0, a quarter of class 1, an eighth each of 2 and 3."""
    classes = [0, 0, 0, 0, 1, 1, 2, 3]
    return Arrays(
        train=images_of(*classes),
        held_out=images_of(*classes, 0, 1),
        labels=torch.tensor(classes),
        held_out_labels=torch.tensor([*classes, 0, 1]),
    )


def figures_of(toy: Arrays, classifier: Classifier, images: Tensor) -> dict[str, float]:
    assert toy.labels is not None
    features, logits = classifier(images)
    modes = modes_of_images(logits, torch.ones(len(images), dtype=torch.bool), toy.labels)
    names = ("modes_covered", "mode_coverage", "mode_kl")
    figures = {name: METRICS[name].compute(modes) for name in names}
    return {**figures, "fd": METRICS["fd"].compute(features, classifier(toy.held_out)[0])}


def test_samples_as_the_training_images_have_no_divergence(toy: Arrays, stand_in: Classifier) -> None:
    figures = figures_of(toy, stand_in, images_of(*[0] * 8, *[1] * 4, 2, 2, 3, 3))
    assert figures["mode_kl"] == pytest.approx(0, abs=1e-9)
    assert (figures["modes_covered"], figures["mode_coverage"]) == (4, 1.0)


def test_divergence_is_against_the_shares_of_the_training_images(toy: Arrays, stand_in: Classifier) -> None:
    # Halves of classes 1 and 2, whose shares are 1/4 and 1/8: 1/2 log 2 + 1/2 log 4.
    figures = figures_of(toy, stand_in, images_of(1, 2, 1, 2))
    assert figures["mode_kl"] == pytest.approx(1.5 * math.log(2), rel=1e-6)
    assert (figures["modes_covered"], figures["mode_coverage"]) == (2, 0.5)


def test_fd_is_the_frechet_distance_of_features_to_the_held_out_images(
    toy: Arrays, stand_in: Classifier
) -> None:
    samples = torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = frechet_distance(toy.held_out.flatten(1), samples[:10].flatten(1))  # as many as held out
    assert figures_of(toy, stand_in, samples)["fd"] == pytest.approx(expected, rel=1e-9)


def test_fd_of_the_held_out_images_is_zero(toy: Arrays, stand_in: Classifier) -> None:
    assert figures_of(toy, stand_in, toy.held_out)["fd"] == pytest.approx(0, abs=1e-9)


def test_the_digits_classifier_is_right_on_held_out_digits(digits: Arrays, classifier: Classifier) -> None:
    _, logits = classifier(digits.held_out)
    assert digits.held_out_labels is not None
    right = int(logits.argmax(1).eq(digits.held_out_labels).sum())
    assert classifier.accuracy == right / 450
    assert classifier.accuracy >= 0.96


def test_a_classifiers_features_are_what_its_classes_are_read_from(
    digits: Arrays, classifier: Classifier
) -> None:
    features, logits = classifier(digits.train)
    assert features.shape == (len(digits.train), 64)
    assert logits.shape == (len(digits.train), 10)
    assert isinstance(classifier.network, nn.Sequential)
    torch.testing.assert_close(classifier.network[-1](features), logits)


def test_batches_of_a_classifier_do_not_show(digits: Arrays, classifier: Classifier) -> None:
    whole, _ = classifier(digits.train)
    torch.testing.assert_close(whole[1100:1103], classifier(digits.train[1100:1103])[0])


def judged(arrays: Arrays, folder: Path | None = None) -> tuple[Classifier, str]:
    judge, sha256 = load_judge(dataset_named("digits"), arrays, folder)
    assert isinstance(judge, Classifier)
    return judge, sha256


def test_a_second_load_reads_the_cache_and_leaves_the_global_generator_alone(
    digits: Arrays, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_module, "make", lambda *_: pytest.fail("it was trained again"))
    before = torch.get_rng_state()
    again, _ = judged(digits)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.accuracy == classifier.accuracy
    for a, b in zip(again.network.parameters(), classifier.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_other_data_and_another_recipe_have_a_classifier_of_their_own(
    digits: Arrays, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"network": classifier.network.state_dict(), "accuracy": 0.5}
    monkeypatch.setattr(classifier_module, "make", lambda *_: other)
    assert judged(replace(digits, train=digits.train.flip(3)))[0].accuracy == 0.5
    assert judged(digits)[0].accuracy == classifier.accuracy
    monkeypatch.setattr(classifier_module, "RECIPE", -1)
    assert judged(digits)[0].accuracy == 0.5


def test_a_study_keeps_its_judge_whatever_the_machine_has(
    digits: Arrays, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = judged(digits, tmp_path)
    (kept,) = tmp_path.glob("*.pt")
    assert first == hashlib.sha256(kept.read_bytes()).hexdigest()
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(classifier_module, "make", lambda *_: pytest.fail("it was trained again"))
    again, second = judged(digits, tmp_path)
    assert second == first
    assert again.accuracy == classifier.accuracy


def test_training_a_classifier_is_repeatable_and_leaves_the_global_generator_alone(
    digits: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_module, "MOST_STEPS", 20)
    results = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            state = torch.get_rng_state()
            results.append(classifier_module.make(dataset_named("digits"), digits))
            assert torch.equal(torch.get_rng_state(), state)
    a, b = results
    assert a["accuracy"] == b["accuracy"]
    assert all(torch.equal(a["network"][name], b["network"][name]) for name in a["network"])


def test_a_classifier_sends_no_gradient_to_its_weights(classifier: Classifier) -> None:
    assert not any(p.requires_grad for p in classifier.network.parameters())


@pytest.fixture
def evaluator(digits: Arrays, classifier: Classifier) -> Evaluator:
    del classifier  # trained by now
    return Evaluator(dataset_named("digits"), digits)


def test_an_image_off_the_manifold_counts_for_no_class(toy: Arrays, stand_in: Classifier) -> None:
    assert toy.labels is not None
    _, logits = stand_in(images_of(0, 0, 0, 1, 1, 2))
    modes = modes_of_images(logits, torch.tensor([1, 1, 0, 0, 0, 1]).bool(), toy.labels)
    assert modes.counts.tolist() == [2, 0, 1, 0]
    assert modes.covered.tolist() == [True, False, True, False]
    # Of 1,000, less than a twentieth of the 125 that real images would have of class 3.
    _, logits = stand_in(images_of(*[0] * 994, *[3] * 6))
    modes = modes_of_images(logits, torch.ones(1000, dtype=torch.bool), toy.labels)
    assert modes.covered.tolist() == [True, False, False, False]


def test_images_that_are_all_off_the_manifold_are_as_bad_as_the_rarest_class(
    toy: Arrays, stand_in: Classifier
) -> None:
    assert toy.labels is not None
    _, logits = stand_in(images_of(0, 1, 2, 3))
    modes = modes_of_images(logits, torch.zeros(4, dtype=torch.bool), toy.labels)
    figures = [METRICS[name].compute(modes) for name in ("modes_covered", "mode_coverage", "mode_kl")]
    assert figures == [0, 0.0, pytest.approx(math.log(8))]


@pytest.mark.parametrize("init", LAWS)
def test_an_untrained_generator_covers_no_class(init: str, evaluator: Evaluator) -> None:
    """From `he` and torch's law up to one sample in fourteen is in the ball of an outlier."""
    plan = trial_plan(init=init, dataset="digits", metric="fd", width=32, seeds=tuple(range(8)))
    pack = Pack([plan.config] * 8, plan.seeds, 0, (1, 16, 16), CPU, "fp32")
    for samples in pack.sample(1000):
        assert evaluator(samples)["modes_covered"] == 0


def test_balls_of_outliers_hold_nothing() -> None:
    # Of 1 to 8 the third quartile is 6.25.
    radii = torch.arange(1.0, 9.0)
    assert typical(radii).tolist() == [1, 2, 3, 4, 5, 6, -1, -1]
    assert in_balls(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([-1.0])).tolist() == [False]


def test_noise_covers_no_class(evaluator: Evaluator) -> None:
    figures = evaluator(torch.rand(1000, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    assert figures["modes_covered"] == 0
    assert figures["improved_precision"] == pytest.approx(0, abs=0.05)


def test_real_images_cover_every_class(digits: Arrays, evaluator: Evaluator) -> None:
    figures = evaluator(digits.train)
    assert (figures["modes_covered"], figures["mode_coverage"]) == (10, 1)
    # Those held out lie in balls of their own.
    assert evaluator(digits.held_out)["improved_precision"] == 1


def test_the_floor_of_digits_is_that_of_random_training_images(digits: Arrays, evaluator: Evaluator) -> None:
    assert list(evaluator.floor) == metrics_for("digits")
    assert evaluator.floor["modes_covered"] == {"mean": 10, "std": 0}
    # The same of other draws: numpy's moments, scipy's root, and a loop over balls.
    rng = np.random.default_rng(0)
    judge = evaluator.judge
    assert isinstance(judge, Classifier)
    train, real = (judge.features(images).double().numpy() for images in (digits.train, digits.held_out))
    kept = real.std(0) > 0
    radii = [np.sort(np.linalg.norm(real - one, axis=1))[5] for one in real]
    distances, shares = [], []
    for _ in range(10):
        drawn = train[rng.permutation(len(train))]
        (m1, s1), (m2, s2) = ((x.mean(0), np.cov(x.T)) for x in (real[:, kept], drawn[:450, kept]))
        roots = np.sqrt(np.abs(scipy.linalg.eigvals(s1 @ s2).real)).sum()
        distances.append(((m1 - m2) ** 2).sum() + np.trace(s1 + s2) - 2 * roots)
        inside = [(np.linalg.norm(real - one, axis=1) <= radii).any() for one in drawn[:1000]]
        shares.append(np.mean(inside))
    for name, own in (("fd", distances), ("improved_precision", shares)):
        spread = evaluator.floor[name]
        error = spread["std"] * math.sqrt(1 / 20 + 1 / 10)
        assert spread["mean"] == pytest.approx(np.mean(own), abs=4 * error)
    assert evaluator.facts()["fd"] == {"images": 450, "dimension": int(kept.sum()), "features": 64}


def test_the_floor_of_digits_is_far_below_noise(digits: Arrays, evaluator: Evaluator) -> None:
    noise = torch.rand(1000, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    of_noise = evaluator(noise)["fd"]
    assert of_noise is not None
    assert evaluator.floor["fd"]["mean"] < 0.2 * of_noise
    held_out = evaluator(digits.held_out)
    # Features are float32: moments of some 1e3 in sum, rounded at 1e-7 of themselves.
    assert held_out["fd"] == pytest.approx(0, abs=1e-3)


def test_one_repeated_digit_is_one_mode(digits: Arrays, evaluator: Evaluator) -> None:
    figures = evaluator(digits.held_out[:1].repeat(100, 1, 1, 1))
    assert figures["modes_covered"] == 1
    assert figures["mode_kl"] == pytest.approx(math.log(10), abs=0.1)


def test_the_evaluator_tells_how_good_its_classifier_is(evaluator: Evaluator, classifier: Classifier) -> None:
    assert evaluator.facts()["classifier_accuracy"] == classifier.accuracy
