"""A folder of images: what becomes of each kind of file, the split, and folders that are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.data import facts, load, prepare
from study.data.arrays import Arrays
from study.errors import UserError
from tests.packs import CPU

Draw = Callable[[int], Image.Image]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "cache"))


def noise(mode: str = "RGB", width: int = 20, height: int = 16) -> Draw:
    channels = len(Image.new(mode, (1, 1)).getbands())

    def draw(seed: int) -> Image.Image:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
        return Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)

    return draw


def fill(folder: Path, draw: Draw, n: int = 100, suffix: str = ".png", first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + n):
        draw(seed).save(folder / f"{seed:04d}{suffix}")
    return folder


def loaded(folder: Path, **options: int) -> tuple[Arrays, list[str]]:
    dataset = prepare(f"folder:{folder}", **options)
    return load(dataset.name, CPU), facts(dataset)[1]


def pixels_of(arrays: Arrays) -> np.ndarray:
    assert arrays.test is not None
    return np.concatenate([part.numpy() for part in (arrays.train, arrays.held_out, arrays.test)])


def test_every_image_is_in_one_part_as_its_pixels_are(tmp_path: Path) -> None:
    draw = noise(width=16)
    arrays, _ = loaded(fill(tmp_path / "images", draw))
    assert arrays.number == {"train": 70, "held_out": 15, "test": 15}
    expected = {np.asarray(draw(seed)).transpose(2, 0, 1).tobytes() for seed in range(100)}
    assert {image.tobytes() for image in pixels_of(arrays)} == expected


@pytest.mark.parametrize(
    ("width", "height", "side"), [(48, 40, 32), (16, 16, 16), (20, 63, 16), (200, 150, 64), (5, 9, 8)]
)
def test_the_side_is_the_largest_power_of_two_under_the_shorter_one(
    width: int, height: int, side: int, tmp_path: Path
) -> None:
    arrays, lines = loaded(fill(tmp_path / "images", noise("L", width, height)))
    assert arrays.sample_shape == (1, side, side)
    assert any(f"resized from {width}x{height} to {side}x{side}" in line for line in lines) == (
        (width, height) != (side, side)
    )


def test_the_centre_is_what_is_kept(tmp_path: Path) -> None:
    def striped(_: int) -> Image.Image:
        pixels = np.zeros((16, 32), dtype=np.uint8)
        pixels[:, 8:24] = 255
        return Image.fromarray(pixels)

    arrays, _ = loaded(fill(tmp_path / "images", striped), side=16)
    assert (pixels_of(arrays) == 255).all()


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("I;16", 1), ("RGB", 3), ("P", 3), ("CMYK", 3)]
)
def test_a_folder_is_grey_or_in_colour(mode: str, channels: int, tmp_path: Path) -> None:
    def draw(seed: int) -> Image.Image:
        if mode == "I;16":
            return Image.fromarray(np.full((16, 16), 0x8080, dtype=np.uint16))
        source = noise("L" if mode == "1" else "RGB", 16)(seed)
        return source.convert(mode)

    arrays, _ = loaded(fill(tmp_path / "images", draw, suffix=".jpg" if mode == "CMYK" else ".png"))
    assert arrays.sample_shape == (channels, 16, 16)
    if mode == "I;16":
        assert (pixels_of(arrays) == 128).all()


def test_one_colour_image_makes_a_folder_of_colour(tmp_path: Path) -> None:
    folder = fill(tmp_path / "images", noise("L", 16), n=99)
    arrays, _ = loaded(fill(folder, noise("RGB", 16), n=1, first=99))
    assert arrays.sample_shape == (3, 16, 16)


def test_transparent_pixels_are_blended_with_white_and_said(tmp_path: Path) -> None:
    arrays, lines = loaded(
        fill(tmp_path / "images", lambda _: Image.new("RGBA", (16, 16), (0, 0, 0, 51))), side=16
    )
    assert (pixels_of(arrays) == 204).all()  # a fifth of black over white
    assert any("transparent pixels, which are blended with white" in line for line in lines)


@pytest.mark.parametrize("suffix", [".png", ".jpeg", ".webp", ".JPG"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    arrays, _ = loaded(fill(tmp_path / "images", noise(), suffix=suffix))
    assert arrays.sample_shape == (3, 16, 16)


def test_subfolders_are_classes_split_alike(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        fill(tmp_path / "images" / name, noise("L", 16), n=100 * (k + 1))
    (tmp_path / "images" / ".hidden").mkdir()
    dataset = prepare(f"folder:{tmp_path / 'images'}")
    assert (dataset.labels, dataset.modes) == (True, 2)
    arrays = load(dataset.name, CPU)
    for labels, share in ((arrays.labels, 0.7), (arrays.held_out_labels, 0.15), (arrays.test_labels, 0.15)):
        assert labels is not None
        assert labels.bincount().tolist() == [round(100 * share), round(200 * share)]


def test_one_subfolder_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "all", noise("L", 16))
    assert not prepare(f"folder:{tmp_path / 'images'}").labels


def test_up_to_one_in_a_hundred_may_be_corrupt_and_is_counted(tmp_path: Path) -> None:
    folder = fill(tmp_path / "images", noise(), n=200)
    (folder / "0000.png").write_bytes(b"no image")
    whole = (folder / "0001.png").read_bytes()
    (folder / "0001.png").write_bytes(whole[: len(whole) // 2])
    arrays, lines = loaded(folder)
    assert sum(arrays.number.values()) == 198
    assert "  2 can't be read and are left out: 0000.png, 0001.png" in lines


def test_the_same_folder_is_decoded_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "images", noise())
    first = facts(prepare(f"folder:{folder}"))[0]["sha256"]
    with monkeypatch.context() as patch:
        patch.setattr("study.data.image_folder._decode", lambda *_, **__: pytest.fail("decoded again"))
        assert facts(prepare(f"folder:{folder}"))[0]["sha256"] == first
    os.utime(folder / "0000.png")  # touched: the same contents
    assert facts(prepare(f"folder:{folder}"))[0]["sha256"] == first
    noise()(1000).save(folder / "0000.png")
    assert facts(prepare(f"folder:{folder}"))[0]["sha256"] != first


def refused(folder: Path, **options: int) -> str:
    with pytest.raises(UserError) as refusal:
        prepare(f"folder:{folder}", **options)
    message = str(refusal.value)
    assert "\n" not in message
    assert not list((folder.parent / "cache").glob("data/folder-*/*"))
    return message


def test_folders_that_are_refused(tmp_path: Path) -> None:
    assert "there is no folder" in refused(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refused(tmp_path / "empty")
    assert "holds 99 images: a study needs at least 100" in refused(fill(tmp_path / "few", noise(), n=99))
    folder = fill(tmp_path / "images", noise(), n=100)
    assert "--side 24 must be a power of two" in refused(folder, side=24)
    for name in ("0000.png", "0001.png", "0002.png", "0003.png"):
        (folder / name).write_bytes(b"no image")
    assert "4 of the 100 images" in (message := refused(folder))
    assert "0000.png, 0001.png, 0002.png, 0003.png" in message
    mixed = fill(tmp_path / "mixed" / "a", noise()).parent
    fill(mixed / "b", noise())
    fill(mixed, noise(), n=1)
    assert "beside them, 1 images: 0000.png" in refused(mixed)
