"""Metrics of images, with a stand-in classifier where figures must be known, and digits' real one."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from study.data.dataset import Dataset
from study.metrics import classifier as classifier_module
from study.metrics import metrics_for
from study.metrics.classifier import Classifier, cache_folder, load_classifier
from study.metrics.evaluator import Evaluator
from study.metrics.frechet import FrechetDistance
from study.metrics.images import ImageMetrics

PIXELS = 4  # a 2x2 image; its features are its pixels, its class the brightest one


@pytest.fixture
def stand_in() -> Classifier:
    last = nn.Linear(PIXELS, PIXELS, bias=False)
    with torch.no_grad():
        last.weight.copy_(torch.eye(PIXELS))
    return Classifier(nn.Sequential(nn.Flatten(), last), accuracy=1.0, fingerprint="none")


def images_of(*classes: int) -> Tensor:
    """2x2 images whose pixel number `class` is the brightest."""
    return torch.eye(PIXELS)[list(classes)].view(-1, 1, 2, 2)


@pytest.fixture
def toy() -> Dataset:
    """Half the training images are of class 0, a quarter of class 1, an eighth each of 2 and 3."""
    classes = [0, 0, 0, 0, 1, 1, 2, 3]
    return Dataset(
        name="toy",
        kind="images",
        train=images_of(*classes),
        held_out=images_of(*classes, 0, 1),
        n_modes=4,
        labels=torch.tensor(classes),
        held_out_labels=torch.tensor([*classes, 0, 1]),
    )


def test_samples_as_the_training_images_have_no_divergence(toy: Dataset, stand_in: Classifier) -> None:
    figures = ImageMetrics(toy, stand_in)(images_of(*[0] * 8, *[1] * 4, 2, 2, 3, 3))
    assert figures["mode_kl"] == pytest.approx(0, abs=1e-9)
    assert (figures["modes_covered"], figures["mode_coverage"]) == (4, 1.0)


def test_divergence_is_against_the_shares_of_the_training_images(toy: Dataset, stand_in: Classifier) -> None:
    # Halves of classes 1 and 2, whose shares are 1/4 and 1/8: 1/2 log 2 + 1/2 log 4.
    figures = ImageMetrics(toy, stand_in)(images_of(1, 2, 1, 2))
    assert figures["mode_kl"] == pytest.approx(1.5 * math.log(2), rel=1e-6)
    assert (figures["modes_covered"], figures["mode_coverage"]) == (2, 0.5)


def test_fd_is_the_frechet_distance_of_features_to_the_held_out_images(
    toy: Dataset, stand_in: Classifier
) -> None:
    samples = torch.rand(20, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    expected = FrechetDistance(toy.held_out.flatten(1))(samples.flatten(1))
    assert ImageMetrics(toy, stand_in)(samples)["fd"] == pytest.approx(expected, rel=1e-9)


def test_fd_of_the_held_out_images_is_zero(toy: Dataset, stand_in: Classifier) -> None:
    assert ImageMetrics(toy, stand_in)(toy.held_out)["fd"] == pytest.approx(0, abs=1e-9)


def test_the_digits_classifier_is_right_on_held_out_digits(digits: Dataset, classifier: Classifier) -> None:
    _, logits = classifier(digits.held_out)
    assert digits.held_out_labels is not None
    right = int(logits.argmax(1).eq(digits.held_out_labels).sum())
    assert classifier.accuracy == right / 450
    assert classifier.accuracy >= 0.96


def test_a_classifiers_features_are_what_its_classes_are_read_from(
    digits: Dataset, classifier: Classifier
) -> None:
    features, logits = classifier(digits.train)
    assert features.shape == (len(digits.train), 64)
    assert logits.shape == (len(digits.train), 10)
    assert isinstance(classifier.network, nn.Sequential)
    torch.testing.assert_close(classifier.network[-1](features), logits)


def test_batches_of_a_classifier_do_not_show(digits: Dataset, classifier: Classifier) -> None:
    whole, _ = classifier(digits.train)
    torch.testing.assert_close(whole[1100:1103], classifier(digits.train[1100:1103])[0])


def test_a_second_load_reads_the_cache(
    digits: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_again(*_: object) -> None:
        pytest.fail("the classifier was trained a second time")

    files = {path: path.stat().st_mtime_ns for path in cache_folder().glob("*.pt")}
    monkeypatch.setattr(classifier_module, "_train", train_again)
    again = load_classifier(digits)
    assert {path: path.stat().st_mtime_ns for path in cache_folder().glob("*.pt")} == files
    assert (again.accuracy, again.fingerprint) == (classifier.accuracy, classifier.fingerprint)
    for a, b in zip(again.network.parameters(), classifier.network.parameters(), strict=True):
        assert torch.equal(a, b)


def untrained(trained: list[str]) -> Callable[[Dataset, nn.Sequential], float]:
    """In place of training: notes for which data it was asked."""

    def train(dataset: Dataset, _: nn.Sequential) -> float:
        trained.append(dataset.fingerprint())
        return 0.5

    return train


def test_other_data_has_a_classifier_of_its_own(
    digits: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    monkeypatch.setattr(classifier_module, "_train", untrained(trained))
    other = replace(digits, train=digits.train.flip(3))
    loaded = load_classifier(other)
    assert trained == [other.fingerprint()]
    assert loaded.fingerprint == other.fingerprint() != classifier.fingerprint
    assert loaded.accuracy == 0.5


def test_another_recipe_trains_anew(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    monkeypatch.setattr(classifier_module, "_train", untrained(trained))
    monkeypatch.setattr(classifier_module, "RECIPE", -1)
    load_classifier(digits)
    assert len(trained) == 1


def test_loading_a_classifier_leaves_the_global_generator_alone(
    digits: Dataset, classifier: Classifier
) -> None:
    del classifier  # it is in the cache by now
    before = torch.get_rng_state()
    load_classifier(digits)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_a_classifier_is_repeatable_and_leaves_the_global_generator_alone(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_module, "EPOCHS", 1)
    network = classifier_module._network
    results = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            fresh = network(1, 16, 10)
            state = torch.get_rng_state()
            results.append((fresh, classifier_module._train(digits, fresh)))
            assert torch.equal(torch.get_rng_state(), state)
    (a, accuracy_a), (b, accuracy_b) = results
    assert accuracy_a == accuracy_b
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_a_classifier_sends_no_gradient_to_its_weights(classifier: Classifier) -> None:
    assert not any(p.requires_grad for p in classifier.network.parameters())


@pytest.fixture
def evaluator(digits: Dataset, classifier: Classifier) -> Evaluator:
    del classifier  # trained by now
    return Evaluator(digits)


def test_the_floor_of_digits_is_far_below_noise(evaluator: Evaluator) -> None:
    assert list(evaluator.floor) == metrics_for("images")
    assert evaluator.floor["modes_covered"] == 10
    assert evaluator.floor["mode_kl"] < 0.01
    noise = torch.rand(1000, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert evaluator.floor["fd"] < 0.2 * evaluator(noise)["fd"]


def test_one_repeated_digit_is_one_mode(digits: Dataset, evaluator: Evaluator) -> None:
    figures = evaluator(digits.train[:1].repeat(100, 1, 1, 1))
    assert figures["modes_covered"] == 1
    assert figures["mode_kl"] == pytest.approx(math.log(10), abs=0.1)


def test_the_evaluator_tells_how_good_its_classifier_is(evaluator: Evaluator, classifier: Classifier) -> None:
    assert evaluator.classifier_accuracy == classifier.accuracy
