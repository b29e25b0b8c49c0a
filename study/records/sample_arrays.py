"""What a trial's pictures show, as arrays for figures: samples/<evaluation>.npz beside each .png.

samples       images, uint8 (M, n, C, H, W): the picture's; or points, float32 (M, n, 2): all of the
              evaluation's, in their first two coordinates (M, n, 1 of points on a line)
centres, std  the modes of a mixture of points, (K, 2) and ()
real          held-out points (r, 2), where the modes of points aren't known
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from study.machine.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from study.data.arrays import Arrays

IMAGES_PER_SEED = 32
REAL_POINTS = 500
PLANE = 2  # coordinates of points that are kept

SampleArrays = dict[str, np.ndarray]


def save_arrays(samples: "Tensor", arrays: "Arrays", path: Path) -> None:
    """Write the samples of M members, (M, n, C, H, W) or (M, n, D), over the modes of their data."""
    kept = _images(samples) if samples.dim() == 5 else _points(samples, arrays)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # to a path, numpy would add a suffix
            np.savez_compressed(file, **kept)  # type: ignore[arg-type]

    write_whole(path, write)


def load_arrays(path: Path) -> SampleArrays | None:
    """The arrays of one evaluation; None where there are none. Nothing is unpickled.

    Raises ValueError: the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            found = {name: content[name] for name in content} if isinstance(content, Mapping) else {}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if "samples" not in found or found["samples"].ndim not in (3, 5):
        raise ValueError(f"{path} holds no samples")
    return found


def _images(samples: "Tensor") -> SampleArrays:
    """Pixels in [-1, 1] as bytes; those that are not finite are black, as in the picture."""
    shown = samples[:, :IMAGES_PER_SEED].float().cpu().numpy()
    pixels = np.where(np.isfinite(shown), shown, -1.0).clip(-1, 1)
    return {"samples": ((pixels + 1) / 2 * 255).round().astype(np.uint8)}


def _points(samples: "Tensor", arrays: "Arrays") -> SampleArrays:
    kept = {"samples": _plane(samples)}
    if arrays.centres is None:
        return kept | {"real": _plane(arrays.held_out[:REAL_POINTS])}
    return kept | {"centres": _plane(arrays.centres), "std": np.array(arrays.std, dtype=np.float32)}


def _plane(points: "Tensor") -> np.ndarray:
    return points[..., :PLANE].float().cpu().numpy()
