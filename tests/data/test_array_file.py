"""An array of one's own: points and images, labels, padding, and files that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.data import facts, load, prepare
from study.errors import UserError
from tests.packs import CPU

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(200, 5)) * 10
PIXELS = RNG.integers(0, 256, (200, 3, 16, 16), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "cache"))


def saved(folder: Path, array: Any, **more: Any) -> str:
    if more:
        np.savez(folder / "mine.npz", data=array, **more)
        return f"array:{folder / 'mine.npz'}"
    np.save(folder / "mine.npy", array)
    return f"array:{folder / 'mine.npy'}"


def test_points_of_any_dimension_and_scale(tmp_path: Path) -> None:
    dataset = prepare(saved(tmp_path, POINTS))
    assert (dataset.kind, dataset.sample_shape, dataset.labels) == ("points", (5,), False)
    arrays = load(dataset.name, CPU)
    assert arrays.test is not None
    found = np.concatenate([part.numpy() for part in (arrays.train, arrays.held_out, arrays.test)])
    assert {row.tobytes() for row in found} == {row.tobytes() for row in POINTS.astype(np.float32)}


@pytest.mark.parametrize("shape", [(200, 28, 28), (200, 1, 28, 28), (200, 3, 30, 30)])
def test_images_are_padded_to_a_power_of_two(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    dataset = prepare(saved(tmp_path, pixels))
    assert dataset.sample_shape == ((shape[1] if len(shape) == 4 else 1), 32, 32)
    train = load(dataset.name, CPU).train.numpy()
    assert train.dtype == np.uint8
    margin = (32 - shape[-1]) // 2
    inner = {image.tobytes() for image in pixels.reshape(200, -1, *shape[-2:])}
    assert all(image[:, margin:-margin, margin:-margin].tobytes() in inner for image in train)
    assert (train[:, :, 0] == train[:, :, margin]).all()  # the border is repeated
    assert any(f"padded from {shape[-1]}x{shape[-1]} to 32x32" in line for line in facts(dataset)[1])


def test_floats_are_kept_as_they_are(tmp_path: Path) -> None:
    images = RNG.uniform(-1, 1, (200, 4, 8, 8))
    train = load(prepare(saved(tmp_path, images)).name, CPU).train.numpy()
    assert train.dtype == np.float32
    assert {image.tobytes() for image in train} <= {image.tobytes() for image in images.astype(np.float32)}


@pytest.mark.parametrize("labels", [np.arange(200) % 4 * 10 - 3, np.array(["cat", "dog"] * 100)])
def test_labels_may_be_numbers_or_words(labels: np.ndarray, tmp_path: Path) -> None:
    dataset = prepare(saved(tmp_path, PIXELS, labels=labels))
    assert (dataset.labels, dataset.modes) == (True, len(set(labels.tolist())))
    arrays = load(dataset.name, CPU)
    assert arrays.labels is not None
    by_image = {image.tobytes(): label for image, label in zip(PIXELS, labels.tolist(), strict=True)}
    names = sorted(set(labels.tolist()))
    for image, label in zip(arrays.train.numpy(), arrays.labels.tolist(), strict=True):
        assert by_image[image.tobytes()] == names[label]


@pytest.mark.parametrize(
    ("array", "labels", "words"),
    [
        (POINTS[:99], None, "99 items: a study needs at least 100"),
        (np.where(POINTS[3, 2] == POINTS, np.nan, POINTS), None, "not finite in 1 items: 3"),
        (np.where(POINTS > 15, np.inf, POINTS), None, "not finite"),
        (np.array([[1, "a"]] * 100, dtype=object), None, "holds objects"),
        (np.arange(400).reshape(200, 2), None, "holds int64: it must be uint8, or floats"),
        (POINTS > 0, None, "holds bool"),
        (np.zeros((500, 5)), None, "holds the same item 500 times"),
        (POINTS[:, 0], None, "has the shape (200,)"),
        (PIXELS[..., None], None, "has the shape"),
        (PIXELS.transpose(0, 2, 3, 1), None, "channels last"),
        (PIXELS[:, :, :8], None, "images of 8x16 pixels: they must be square"),
        (PIXELS / 255 * 2, None, "pixels from 0 to 2"),
        (PIXELS, np.arange(199), "not int64 of shape (199,)"),
        (PIXELS, np.zeros(200, dtype=int), "all labels are"),
        (PIXELS, np.full(200, 0.5), "not float64 of shape"),
    ],
)
def test_arrays_that_are_refused(array: Any, labels: Any, words: str, tmp_path: Path) -> None:
    name = saved(tmp_path, array, **({} if labels is None else {"labels": labels}))
    with pytest.raises(UserError) as refusal:
        prepare(name)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list((tmp_path / "cache").glob("data/array-*/*"))


def test_files_that_are_refused(tmp_path: Path) -> None:
    for name, words in (("absent.npy", "can't be read"), ("text.npy", "not a readable NumPy file")):
        if name == "text.npy":
            (tmp_path / name).write_text("1, 2, 3")
        with pytest.raises(UserError, match=words):
            prepare(f"array:{tmp_path / name}")
    with pytest.raises(
        UserError, match="must hold one array, and labels if there are any; it has data, more"
    ):
        prepare(saved(tmp_path, POINTS, more=POINTS))
    with pytest.raises(UserError, match="--side is not for array:<file>"):
        prepare(saved(tmp_path, POINTS), side=16)
