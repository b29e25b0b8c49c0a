"""Pictures of samples: the right band or panel for each seed, whatever the samples hold."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from study.data import load
from study.data.dataset import Dataset
from study.samples import IMAGES_PER_ROW, IMAGES_PER_SEED, POINTS_SIDE, save_samples

CPU = torch.device("cpu")


def drawn(samples: Tensor, dataset: Dataset, folder: Path) -> np.ndarray:
    path = folder / "0000.png"
    save_samples(samples, dataset, path)
    assert [p.name for p in folder.iterdir()] == [path.name]  # nothing temporary is left
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def images(dataset: Dataset, members: int) -> Tensor:
    return dataset.train[: members * IMAGES_PER_SEED].reshape(members, IMAGES_PER_SEED, *dataset.sample_shape)


@pytest.mark.parametrize("members", [1, 3])
def test_every_seed_has_its_band_of_images(members: int, digits: Dataset, tmp_path: Path) -> None:
    # Seed k's images are all of one grey, k of members; bands of equal height must show them in order.
    greys = torch.linspace(-1, 1, members) if members > 1 else torch.zeros(1)
    samples = greys[:, None, None, None, None].expand(members, 40, 1, 16, 16)
    picture = drawn(samples, digits, tmp_path)
    rows_per_seed = IMAGES_PER_SEED // IMAGES_PER_ROW
    expected = np.repeat(((greys + 1) / 2 * 255).round().numpy(), rows_per_seed)
    height, width, _ = picture.shape
    tile = height / (members * rows_per_seed)
    assert width / tile == pytest.approx(IMAGES_PER_ROW, rel=0.02)
    centres = [picture[int((row + 0.5) * tile), width // 32, 0] for row in range(len(expected))]
    assert centres == pytest.approx(expected.tolist(), abs=1)


def test_a_picture_shows_the_images_themselves(digits: Dataset, tmp_path: Path) -> None:
    picture = drawn(images(digits, 1), digits, tmp_path)
    scale = picture.shape[0] // (2 * 17 + 1)  # two rows of 16 pixels, one pixel around each
    first = picture[scale : 17 * scale : scale, scale : 17 * scale : scale, 0] / 255 * 2 - 1
    assert np.abs(first - digits.train[0, 0].numpy()).max() <= 1 / 255


def test_colour_images_keep_their_colours(digits: Dataset, tmp_path: Path) -> None:
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(1, 4, 3, 32, 32)
    picture = drawn(red, digits, tmp_path)
    assert picture[picture.shape[0] // 2, picture.shape[1] // 8].tolist() == [255, 0, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_pixel_that_is_not_finite_is_black(value: float, digits: Dataset, tmp_path: Path) -> None:
    samples = images(digits, 2).clone()
    samples[1] = value
    picture = drawn(samples, digits, tmp_path)
    assert picture[-picture.shape[0] // 4, picture.shape[1] // 32].tolist() == [0, 0, 0]


def test_values_beyond_the_range_are_cut(digits: Dataset, tmp_path: Path) -> None:
    samples = torch.tensor([9.0, -9.0])[:, None, None, None, None].expand(2, 32, 1, 16, 16)
    picture = drawn(samples, digits, tmp_path)
    assert set(np.unique(picture)) == {0, 128, 255}  # black, the frame's grey, white


BLUE, GREY = (31, 86, 170), (200, 200, 200)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=2).any())


@pytest.fixture
def ring8() -> Dataset:
    return load("ring8", CPU)


@pytest.mark.parametrize("name", ["ring8", "grid25"])
@pytest.mark.parametrize("members", [1, 3])
def test_every_seed_has_its_panel_of_points(name: str, members: int, tmp_path: Path) -> None:
    dataset = load(name, CPU)
    picture = drawn(dataset.held_out[: members * 100].reshape(members, 100, 2), dataset, tmp_path)
    assert picture.shape == (POINTS_SIDE, members * POINTS_SIDE, 3)
    for panel in np.split(picture, members, axis=1):
        assert has(panel, BLUE)


@pytest.mark.parametrize(
    ("point", "rows", "columns"),
    [
        ((1.0, 0.0), (112, 144), (200, 256)),  # to the right, half way up
        ((0.0, 1.0), (0, 56), (112, 144)),  # y points up
        ((-0.7071, -0.7071), (180, 220), (40, 80)),
    ],
)
def test_a_point_is_drawn_where_it_is(
    point: tuple[float, float],
    rows: tuple[int, int],
    columns: tuple[int, int],
    ring8: Dataset,
    tmp_path: Path,
) -> None:
    picture = drawn(torch.tensor(point).expand(1, 5, 2), ring8, tmp_path)
    (at,) = np.argwhere((picture == BLUE).all(axis=2))
    assert rows[0] <= at[0] < rows[1]
    assert columns[0] <= at[1] < columns[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_points_that_are_nowhere_leave_the_modes_alone(value: float, ring8: Dataset, tmp_path: Path) -> None:
    picture = drawn(torch.full((1, 10, 2), value), ring8, tmp_path)
    assert not has(picture, BLUE)
    assert has(picture, GREY)


def test_every_mode_is_marked(ring8: Dataset, tmp_path: Path) -> None:
    # Alone on the ring, each centre marks a disjoint square of 7 x 7 pixels.
    nobody = torch.full((1, 1, 2), math.nan)
    picture = drawn(nobody, ring8, tmp_path)
    assert (picture == GREY).all(axis=2).sum() == 8 * 49
    assert ring8.centres is not None
    first = drawn(nobody, replace(ring8, centres=ring8.centres[:1]), tmp_path)
    assert (first == GREY).all(axis=2).sum() == 49
