"""A trial's film: every picture, its kimg, one seed or all, and never too large."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis import film
from analysis.timelapse import main
from study.command import run_command
from study.records.trial_folder import TrialFolder
from tests.records.written import Add, ended, rows

RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)
IMAGES, POINTS = {"kind": "images"}, {"kind": "points"}


def picture(*bands: tuple[int, int, int], axis: int) -> Image.Image:
    """A band of 60 pixels a seed, one below the other (axis 0) or side by side, and 360 pixels long."""
    shape = (60, 360, 3) if axis == 0 else (360, 60, 3)
    return Image.fromarray(np.concatenate([np.full(shape, band, dtype=np.uint8) for band in bands], axis))


def trial(add: Add, fingerprint: dict[str, str], pictures: int = 3) -> TrialFolder:
    """Three evaluations of two seeds, red and green; the first picture is blue."""
    folder = add(
        "a-00000", rows([1.0, 0.9, 0.8], [1.0, 0.7, 0.6]), ended("completed"), fingerprint=fingerprint
    )
    axis = 0 if fingerprint["kind"] == "images" else 1
    for number in range(pictures):
        bands = (BLUE, BLUE) if number == 0 else (RED, GREEN)
        picture(*bands, axis=axis).save(folder.samples / f"{number:04d}.png")
    return folder


def frames(path: Path) -> tuple[list[Image.Image], list[int]]:
    found, durations = [], []
    with Image.open(path) as gif:
        for number in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(number)
            found.append(gif.convert("RGB"))
            durations.append(gif.info["duration"])
    return found, durations


def near(frame: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.array(frame.getpixel(at)) - colour).max() < 20)


def test_it_has_every_picture_in_order_and_holds_the_last(add: Add, tmp_path: Path) -> None:
    assert main([str(trial(add, IMAGES).path), "--out", str(tmp_path / "film.gif")]) == 0
    found, durations = frames(tmp_path / "film.gif")
    assert [near(frame, (100, 30), BLUE) for frame in found] == [True, False, False]
    assert durations == [600, 600, 2000]


def test_a_caption_stands_below_the_picture(add: Add, tmp_path: Path) -> None:
    main([str(trial(add, IMAGES).path), "--out", str(tmp_path / "film.gif")])
    found, _ = frames(tmp_path / "film.gif")
    assert found[0].height > 120
    first, last = (np.asarray(frame)[120:] for frame in (found[0], found[2]))
    assert (first < 100).any()
    assert (first != last).any()  # another kimg


@pytest.mark.parametrize("fingerprint", [IMAGES, POINTS])
def test_a_seed_alone_is_its_band_or_panel(fingerprint: dict[str, str], add: Add, tmp_path: Path) -> None:
    folder = trial(add, fingerprint)
    for seed, colour in enumerate((RED, GREEN)):
        main([str(folder.path), "--seed", str(seed), "--out", str(tmp_path / "film.gif")])
        frame = frames(tmp_path / "film.gif")[0][2]
        middle = (frame.width - 60) // 2
        corners = [(0, 0), (359, 59)] if fingerprint == IMAGES else [(middle, 0), (middle + 59, 359)]
        assert all(near(frame, corner, colour) for corner in corners)


def test_without_a_name_it_is_the_trials(add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trial(add, IMAGES)
    monkeypatch.chdir(tmp_path)
    main([str(folder.path), "--seed", "1"])
    assert [path.name for path in tmp_path.glob("*.gif")] == ["a-00000-seed1.gif"]


def wrong(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a wrong command ends with."""
    assert run_command(lambda: main([str(argument) for argument in arguments])) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_no_trial_no_pictures_no_seed_are_said(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trial(add, IMAGES, pictures=0)
    assert wrong([folder.path], capsys) == f"error: {folder.path} has no pictures"
    absent = folder.path.with_name("a-00009")
    assert wrong([absent], capsys) == f"error: {absent} is not a trial's folder: it has no config.json"
    assert wrong([folder.path, "--seed", 7], capsys) == "error: a-00000 has no seed 7; its seeds are 0, 1"
    study = folder.path.parent.parent
    assert "is a study: give one of its trials" in wrong([study], capsys)


def test_a_damaged_picture_is_named(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trial(add, IMAGES)
    path = folder.samples / "0001.png"
    path.write_bytes(b"no picture")
    assert wrong([folder.path], capsys) == f"error: {path} is not a readable picture"


def test_nothing_but_a_gif_is_written(add: Add, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a film is a .gif" in wrong([trial(add, IMAGES).path, "--out", tmp_path / "film.mp4"], capsys)
    assert not list(tmp_path.glob("film*"))


def noise(number: int) -> list[Image.Image]:
    stream = np.random.default_rng(0)
    return [Image.fromarray(stream.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(number)]


def test_what_fits_is_not_reduced() -> None:
    content, told = film.encode(noise(3))
    assert told == ""
    with Image.open(io.BytesIO(content)) as gif:
        assert (gif.size, gif.n_frames) == ((64, 64), 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("most", "told"),
    [
        (16_000, "64 colours"),  # 3 x 64 x 64 pixels of noise are 6 bits each at least, and bytes before
        (3_500, "of the size"),
        (800, "of 9 pictures"),
    ],
)
def test_what_is_too_large_is_reduced_and_says_so(most: int, told: str) -> None:
    content, words = film.encode(noise(9 if "pictures" in told else 3), most)
    assert len(content) <= most
    assert told in words


def test_the_first_and_the_last_picture_stay() -> None:
    attempts = list(film.attempts(10))
    assert all(kept[0] == 0 and kept[-1] == 9 for kept, _, _ in attempts)
    assert attempts[-1][0] == [0, 9]
