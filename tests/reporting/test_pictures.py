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
from study.data.arrays import Arrays
from study.reporting.pictures import IMAGES_PER_ROW, IMAGES_PER_SEED, POINTS_SIDE, save_samples

CPU = torch.device("cpu")


def drawn(samples: Tensor, dataset: Arrays, folder: Path) -> np.ndarray:
    path = folder / "0000.png"
    save_samples(samples, dataset, path)
    assert [p.name for p in folder.iterdir()] == [path.name]  # nothing temporary is left
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def tiles(picture: np.ndarray, side: int) -> np.ndarray:
    """The images of a grid, (rows, columns, side, side, 3): each had a frame of one pixel, shared."""
    scale = picture.shape[1] // (IMAGES_PER_ROW * (side + 1) + 1)
    small = picture[::scale, ::scale]
    rows, columns = ((n - 1) // (side + 1) for n in small.shape[:2])
    return small[1:, 1:].reshape(rows, side + 1, columns, side + 1, 3).swapaxes(1, 2)[:, :, :side, :side]


def images(dataset: Arrays, members: int) -> Tensor:
    return dataset.train[: members * IMAGES_PER_SEED].reshape(members, IMAGES_PER_SEED, *dataset.sample_shape)


@pytest.mark.parametrize("members", [1, 3])
def test_every_seed_has_its_band_of_images(members: int, digits: Arrays, tmp_path: Path) -> None:
    samples = images(digits, members)
    found = tiles(drawn(samples, digits, tmp_path), side=16)
    rows = members * IMAGES_PER_SEED // IMAGES_PER_ROW
    assert found.shape == (rows, IMAGES_PER_ROW, 16, 16, 3)
    expected = samples.reshape(rows, IMAGES_PER_ROW, 16, 16, 1).numpy()
    assert np.abs(found / 255 * 2 - 1 - expected).max() <= 1.01 / 255  # half a step of 8 bits


def test_of_many_images_the_first_are_shown(digits: Arrays, tmp_path: Path) -> None:
    samples = torch.zeros(2, 100, 1, 16, 16)
    samples[:, :IMAGES_PER_SEED] = images(digits, 2)
    assert (tiles(drawn(samples, digits, tmp_path), 16) != 128).any(axis=(2, 3, 4)).all()


@pytest.mark.parametrize("side", [16, 32, 64])
def test_colour_images_keep_their_colours(side: int, digits: Arrays, tmp_path: Path) -> None:
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(1, IMAGES_PER_SEED, 3, side, side)
    assert (tiles(drawn(red, digits, tmp_path), side) == (255, 0, 0)).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_pixel_that_is_not_finite_is_black(value: float, digits: Arrays, tmp_path: Path) -> None:
    samples = images(digits, 2).clone()
    samples[1] = value
    found = tiles(drawn(samples, digits, tmp_path), 16)
    assert (found[2:] == 0).all()
    assert (found[:2] > 0).any()


def test_values_beyond_the_range_are_cut(digits: Arrays, tmp_path: Path) -> None:
    samples = torch.tensor([9.0, -9.0])[:, None, None, None, None].expand(2, 32, 1, 16, 16)
    picture = drawn(samples, digits, tmp_path)
    assert (tiles(picture, 16)[:2] == 255).all()
    assert (tiles(picture, 16)[2:] == 0).all()


BLUE, GREY = (31, 86, 170), (200, 200, 200)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=2).any())


@pytest.fixture
def ring8() -> Arrays:
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
    ring8: Arrays,
    tmp_path: Path,
) -> None:
    picture = drawn(torch.tensor(point).expand(1, 5, 2), ring8, tmp_path)
    (at,) = np.argwhere((picture == BLUE).all(axis=2))
    assert rows[0] <= at[0] < rows[1]
    assert columns[0] <= at[1] < columns[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_points_that_are_nowhere_leave_the_modes_alone(value: float, ring8: Arrays, tmp_path: Path) -> None:
    picture = drawn(torch.full((1, 10, 2), value), ring8, tmp_path)
    assert not has(picture, BLUE)
    assert has(picture, GREY)


def test_every_mode_is_marked(ring8: Arrays, tmp_path: Path) -> None:
    # Alone on the ring, each centre marks a disjoint square of 7 x 7 pixels.
    nobody = torch.full((1, 1, 2), math.nan)
    picture = drawn(nobody, ring8, tmp_path)
    assert (picture == GREY).all(axis=2).sum() == 8 * 49
    assert ring8.centres is not None
    top = drawn(nobody, replace(ring8, centres=torch.tensor([[0.0, 1.0], [-1.0, 0.0]])), tmp_path)
    rows, columns = np.nonzero((top == GREY).all(axis=2))
    assert len(rows) == 2 * 49
    assert max(rows) < 150  # y points up: nothing is drawn below the middle
    assert max(columns) < 150  # nor to the right of it
