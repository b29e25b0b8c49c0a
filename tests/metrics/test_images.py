"""Metrics of images, with a stand-in classifier where figures must be known, and digits' real one."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import pytest
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
from study.metrics.modes import modes_of_images

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
    modes = modes_of_images(logits, toy.labels)
    figures = {name: METRICS[name].compute(modes) for name in metrics_for("digits") if name != "fd"}
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
    expected = frechet_distance(toy.held_out.flatten(1), samples.flatten(1))
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


def test_the_floor_of_digits_is_far_below_noise(digits: Arrays, evaluator: Evaluator) -> None:
    assert list(evaluator.floor) == metrics_for("digits")
    assert evaluator.floor["modes_covered"] == 10
    assert evaluator.floor["mode_kl"] == pytest.approx(0, abs=0.01)
    noise = torch.rand(1000, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    floor, ceiling = evaluator.floor["fd"], evaluator(noise)["fd"]
    assert floor is not None
    assert ceiling is not None
    assert floor < 0.2 * ceiling
    held_out = evaluator(digits.held_out)
    # Features are float32: moments of some 1e3 in sum, rounded at 1e-7 of themselves.
    assert held_out["fd"] == pytest.approx(0, abs=1e-3)


def test_one_repeated_digit_is_one_mode(digits: Arrays, evaluator: Evaluator) -> None:
    figures = evaluator(digits.train[:1].repeat(100, 1, 1, 1))
    assert figures["modes_covered"] == 1
    assert figures["mode_kl"] == pytest.approx(math.log(10), abs=0.1)


def test_the_evaluator_tells_how_good_its_classifier_is(evaluator: Evaluator, classifier: Classifier) -> None:
    assert evaluator.facts()["classifier_accuracy"] == classifier.accuracy
