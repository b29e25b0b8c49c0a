"""The arrays beside a trial's pictures: what was drawn, in few bytes, read without unpickling."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from study.data import load
from study.data.arrays import Arrays
from study.records.sample_arrays import IMAGES_PER_SEED, REAL_POINTS, SampleArrays, load_arrays, save_arrays

CPU = torch.device("cpu")


def kept(samples: Tensor, arrays: Arrays, folder: Path) -> SampleArrays:
    path = folder / "0003.npz"
    save_arrays(samples, arrays, path)
    assert [p.name for p in folder.iterdir()] == [path.name]  # nothing temporary is left
    found = load_arrays(path)
    assert found is not None
    return found


def test_images_are_kept_as_the_pictures_bytes(digits: Arrays, tmp_path: Path) -> None:
    samples = torch.tensor([-1.0, 0.0, 0.5, 1.0, 9.0, math.nan])[:, None, None, None].expand(3, 6, 1, 16, 16)
    found = kept(samples, digits, tmp_path)
    assert found.keys() == {"samples"}
    assert (found["samples"].dtype, found["samples"].shape) == (np.uint8, (3, 6, 1, 16, 16))
    # (x + 1) / 2 * 255, halves to even; beyond the range it is cut, and what is not finite is black.
    assert found["samples"][1, :, 0, 0, 0].tolist() == [0, 128, 191, 255, 255, 0]


def test_of_many_images_the_pictures_are_kept(digits: Arrays, tmp_path: Path) -> None:
    samples = digits.train[:100].reshape(2, 50, 1, 16, 16)
    assert kept(samples, digits, tmp_path)["samples"].shape == (2, IMAGES_PER_SEED, 1, 16, 16)


def test_points_are_kept_over_their_modes(tmp_path: Path) -> None:
    ring8 = load("ring8", CPU)
    samples = ring8.train[:30].reshape(3, 10, 2)
    found = kept(samples, ring8, tmp_path)
    assert found.keys() == {"samples", "centres", "std"}
    np.testing.assert_array_equal(found["samples"], samples.numpy())
    angles = 2 * np.pi * np.arange(8) / 8
    np.testing.assert_allclose(found["centres"], np.stack([np.cos(angles), np.sin(angles)], 1), atol=1e-6)
    assert found["std"] == pytest.approx(0.01)


def test_points_without_known_modes_are_kept_over_real_ones(tmp_path: Path) -> None:
    real = torch.randn(900, 5)
    found = kept(real[None, :20], Arrays(train=real, held_out=real), tmp_path)
    np.testing.assert_array_equal(found["real"], real[:REAL_POINTS, :2].numpy())
    assert found["samples"].shape == (1, 20, 2)  # the first two of five coordinates


def test_points_on_a_line_keep_their_coordinate(tmp_path: Path) -> None:
    real = torch.randn(50, 1)
    assert kept(real[None], Arrays(train=real, held_out=real), tmp_path)["samples"].shape == (1, 50, 1)


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    ring8 = load("ring8", CPU)
    for name in ("a.npz", "b.npz"):
        save_arrays(ring8.train[:40].reshape(1, 40, 2), ring8, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_where_nothing_was_kept_there_is_nothing(tmp_path: Path) -> None:
    assert load_arrays(tmp_path / "0000.npz") is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x93NUMPY"])
def test_what_is_damaged_is_said(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "0000.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        load_arrays(path)


def test_an_array_alone_is_no_sample(tmp_path: Path) -> None:
    with (tmp_path / "0000.npz").open("wb") as file:
        np.save(file, np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="holds no samples"):
        load_arrays(tmp_path / "0000.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "0000.npz", samples=np.array([[[print]]]))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_arrays(tmp_path / "0000.npz")
