"""The datasets hold what they say, split once and the same bytes each time."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as read_digits
from torch import Tensor

from study.data import dataset_named, load
from study.data.arrays import Arrays

CPU = torch.device("cpu")


def test_ring8_has_eight_modes_at_eighths_of_a_turn() -> None:
    dataset = dataset_named("ring8").load()
    assert dataset.centres is not None
    expected = [(math.cos(2 * math.pi * i / 8), math.sin(2 * math.pi * i / 8)) for i in range(8)]
    torch.testing.assert_close(dataset.centres, torch.tensor(expected), rtol=0, atol=1e-6)
    # Neighbours on the unit circle are 2 sin(pi / 8) apart, so no two of the eight coincide.
    gaps = torch.pdist(dataset.centres)
    assert float(gaps.min()) == pytest.approx(2 * math.sin(math.pi / 8), abs=1e-6)


def test_grid25_is_five_by_five_with_spacing_two() -> None:
    dataset = dataset_named("grid25").load()
    assert dataset.centres is not None
    expected = {(float(x), float(y)) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {(float(x), float(y)) for x, y in dataset.centres} == expected
    assert len(dataset.centres) == 25


@pytest.mark.parametrize(("name", "std"), [("ring8", 0.01), ("grid25", 0.05)])
def test_mixtures_have_equal_modes_of_the_stated_spread(name: str, std: float) -> None:
    dataset = dataset_named(name).load()
    assert dataset.centres is not None
    assert dataset.std == std
    for points in (dataset.train, dataset.held_out):
        nearest = torch.cdist(points, dataset.centres).argmin(1)
        residual = (points - dataset.centres[nearest]).double()
        n = residual.numel()
        # Of n normal numbers the mean has standard error std/sqrt(n), the spread std/sqrt(2n).
        assert abs(float(residual.mean())) < 5 * std / math.sqrt(n)
        assert abs(float(residual.std()) - std) < 5 * std / math.sqrt(2 * n)
        counts = torch.bincount(nearest, minlength=len(dataset.centres))
        share = 1 / len(dataset.centres)
        error = math.sqrt(len(points) * share * (1 - share))
        assert float((counts - len(points) * share).abs().max()) < 5 * error


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_held_out_points_are_no_training_points(name: str) -> None:
    dataset = dataset_named(name).load()
    assert not set(map(tuple, dataset.train.tolist())) & set(map(tuple, dataset.held_out.tolist()))


@pytest.mark.parametrize(("name", "each"), [("ring8", 125), ("grid25", 40)])
def test_the_first_held_out_points_hold_all_modes_equally(name: str, each: int) -> None:
    dataset = dataset_named(name).load()
    assert dataset.centres is not None
    nearest = torch.cdist(dataset.held_out[:1000], dataset.centres).argmin(1)
    assert nearest.bincount().tolist() == [each] * len(dataset.centres)


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_held_out_points_are_drawn_on_their_own(name: str) -> None:
    dataset = dataset_named(name).load()
    assert dataset.centres is not None
    n = len(dataset.held_out)
    first, second = (
        torch.cdist(points[:n], dataset.centres).argmin(1) for points in (dataset.train, dataset.held_out)
    )
    # The modes of two independent draws agree by chance alone, once in K.
    share = 1 / len(dataset.centres)
    agreeing = float((first == second).double().mean())
    assert agreeing == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))


def doubled(image: np.ndarray) -> np.ndarray:
    """Bilinear doubling by hand: pixel 2i mixes neighbours i-1, i as 1:3; pixel 2i+1 mixes i, i+1 as 3:1."""
    for axis in (0, 1):
        moved = np.moveaxis(image, axis, 0)
        before, after = np.vstack([moved[:1], moved[:-1]]), np.vstack([moved[1:], moved[-1:]])
        both = np.stack([0.25 * before + 0.75 * moved, 0.75 * moved + 0.25 * after], axis=1)
        image = np.moveaxis(both.reshape(-1, *moved.shape[1:]), 0, axis)
    return image


def test_digits_are_all_of_scikit_learns_once(digits: Arrays) -> None:
    pixels, labels = read_digits(return_X_y=True)
    assert digits.labels is not None
    assert digits.held_out_labels is not None
    ours = torch.cat([digits.train, digits.held_out]), torch.cat([digits.labels, digits.held_out_labels])
    assert len(ours[0]) == 1797
    expected = np.stack([doubled(p.reshape(8, 8)) / 8 - 1 for p in pixels])

    def key(image: np.ndarray, label: int) -> tuple[bytes, int]:
        return np.round(image * 128).astype(np.int16).tobytes(), int(label)

    assert Counter(map(key, ours[0][:, 0].numpy(), ours[1].tolist())) == Counter(map(key, expected, labels))


def test_digits_are_grey_16_by_16_between_minus_one_and_one(digits: Arrays) -> None:
    assert digits.sample_shape == (1, 16, 16)
    for images in (digits.train, digits.held_out):
        assert images.dtype == torch.float32
        assert float(images.min()) == -1
        assert float(images.max()) == 1


def test_held_out_digits_are_no_training_digits(digits: Arrays) -> None:
    train = {image.numpy().tobytes() for image in digits.train}
    assert not train & {image.numpy().tobytes() for image in digits.held_out}


def test_digits_are_split_evenly_by_class(digits: Arrays) -> None:
    assert digits.labels is not None
    assert digits.held_out_labels is not None
    train = torch.bincount(digits.labels, minlength=10)
    held_out = torch.bincount(digits.held_out_labels, minlength=10)
    assert int(held_out.sum()) == 450
    # A stratified split holds out each class's share to the nearest image or two.
    exact = (train + held_out) * 450 / 1797
    assert float((held_out - exact).abs().max()) < 2


@pytest.mark.parametrize("name", ["digits", "ring8", "grid25"])
def test_every_load_gives_the_same_bytes(name: str) -> None:
    first, second = dataset_named(name).load(), dataset_named(name).load()
    assert first.train.numpy().tobytes() == second.train.numpy().tobytes()
    assert first.held_out.numpy().tobytes() == second.held_out.numpy().tobytes()
    assert first.fingerprint == second.fingerprint


def numpy_state() -> list[int]:
    state: list[int] = np.random.get_state(legacy=False)["state"]["key"].tolist()
    return state


@pytest.mark.parametrize("name", ["digits", "ring8", "grid25"])
def test_loading_leaves_the_global_generators_alone(name: str) -> None:
    before = torch.get_rng_state(), numpy_state()
    dataset_named(name).load()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]


def test_a_dataset_is_loaded_once_per_process() -> None:
    assert load("ring8", CPU) is load("ring8", CPU)


def test_moving_a_dataset_moves_every_tensor() -> None:
    moved = dataset_named("digits").load().to(torch.device("meta"))
    assert moved.labels is not None
    assert moved.held_out_labels is not None
    tensors = (moved.train, moved.held_out, moved.labels, moved.held_out_labels)
    assert all(t.device.type == "meta" for t in tensors)
    centres = dataset_named("ring8").load().to(torch.device("meta")).centres
    assert centres is not None
    assert centres.device.type == "meta"


def nudged(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    other = tensor.clone()
    other.view(-1)[-1] += 1
    return other


@pytest.mark.parametrize("part", ["train", "held_out", "labels", "held_out_labels"])
def test_one_changed_number_changes_the_fingerprint(digits: Arrays, part: str) -> None:
    values: dict[str, Any] = {part: nudged(getattr(digits, part))}
    changed = replace(digits, **values)
    assert changed.fingerprint != digits.fingerprint


def test_the_fingerprint_sees_the_shape(digits: Arrays) -> None:
    transposed = replace(digits, train=digits.train.reshape(-1, 1, 8, 32))
    assert transposed.fingerprint != digits.fingerprint


@pytest.mark.parametrize("damaged", [None, "train.npy", "facts.json", "its header", "its facts"])
def test_digits_are_kept_as_they_are_used(
    damaged: str | None, digits: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first call keeps them, a second one reads what was kept, and a file cut off is made again."""
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path))
    first = dataset_named("digits").load()
    if damaged is None:
        monkeypatch.setattr("study.data.digits._digits", lambda: pytest.fail("read again"))
    elif damaged == "its header":
        (kept,) = (tmp_path / "data").glob("*/train.npy")
        kept.write_bytes(b"\x93NUMPY\x01\x00?" + kept.read_bytes()[9:])
    elif damaged == "its facts":
        (kept,) = (tmp_path / "data").glob("*/facts.json")
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"number": 3}))
    else:
        (kept,) = (tmp_path / "data").glob(f"*/{damaged}")
        kept.write_bytes(kept.read_bytes()[:-2])
    for again in (first, dataset_named("digits").load()):
        assert again.fingerprint == digits.fingerprint
        assert again.labels is not None
        assert digits.labels is not None
        assert torch.equal(again.labels, digits.labels)
