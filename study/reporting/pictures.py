"""Pictures of samples from fixed latents: one PNG per evaluation, a band per seed."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from study.data.arrays import Arrays
from study.machine.files import write_whole
from study.records.sample_arrays import IMAGES_PER_SEED

IMAGES_PER_ROW = 16
SMALLEST_SIDE = 48  # smaller images are enlarged, pixel by pixel
POINTS_SIDE = 256
REAL_POINTS = 2000
GREY, BLUE, FRAME = 200, (31, 86, 170), 128


def save_samples(samples: Tensor, arrays: Arrays, path: Path) -> None:
    """Draw samples: 2 rows of 16 images per seed (M, n, C, H, W), or a map of points per seed (M, n, D)."""
    picture = _image_grid(samples) if samples.dim() == 5 else _maps(samples, arrays)
    write_whole(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))


def _image_grid(samples: Tensor) -> np.ndarray:
    """uint8 (H, W, 3), a grey line around each image; non-finite pixels are drawn black."""
    shown = samples[:, :IMAGES_PER_SEED].float().cpu()
    missing = -shown.shape[1] % IMAGES_PER_ROW  # so that each seed has whole rows
    images = _in_colour(pad(shown, (0, 0) * 3 + (0, missing)).flatten(0, 1))
    images = torch.where(images.isfinite(), images, -1.0)
    columns, rows = IMAGES_PER_ROW, len(images) // IMAGES_PER_ROW
    grid = pad(images, (1, 0, 1, 0))  # 0 is grey, in [-1, 1]
    grid = grid.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)  # rows, height, columns, width, 3
    grid = grid.flatten(2, 3).flatten(0, 1)
    framed = pad(grid, (0, 0, 0, 1, 0, 1))
    pixels = ((framed.clamp(-1, 1) + 1) / 2 * 255).round().byte().numpy()
    scale = max(1, SMALLEST_SIDE // images.shape[-1])
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def _in_colour(images: Tensor) -> Tensor:
    """(n, C, H, W) -> (n, 3, H', W): three channels as a colour, every other one in grey below."""
    first = 3 if images.shape[1] >= 3 else 1
    rest = images[:, first:].unbind(1)
    return torch.cat(
        [part.expand(-1, 3, -1, -1) for part in (images[:, :first], *(c[:, None] for c in rest))], 2
    )


def _maps(samples: Tensor, arrays: Arrays) -> np.ndarray:
    """uint8 (H, M*W, 3): the first two coordinates of samples in blue over the real modes in grey.

    Real points where the modes aren't known; points on a line are spread out by their order.
    """
    real = arrays.held_out[:REAL_POINTS] if arrays.centres is None else arrays.centres
    behind = _plane(real)
    reach = np.abs(behind).max(axis=0) * 1.5
    bins = [np.linspace(-r, r, POINTS_SIDE + 1) for r in np.where(reach > 0, reach, 1.0)]
    spread = 3 if arrays.centres is not None else 0
    panels = []
    for member in samples:
        panel = np.full((POINTS_SIDE, POINTS_SIDE, 3), 255, dtype=np.uint8)
        columns, rows = (np.digitize(behind[:, axis], bins[axis]) - 1 for axis in (0, 1))
        for dy in range(-spread, spread + 1):
            for dx in range(-spread, spread + 1):
                panel[rows + dy, columns + dx] = GREY
        points = _plane(member)
        counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=(bins[1], bins[0]))
        panel[counts > 0] = BLUE
        panel[[0, -1], :] = panel[:, [0, -1]] = FRAME
        panels.append(panel[::-1])
    return np.concatenate(panels, axis=1)


def _plane(points: Tensor) -> np.ndarray:
    """(n, D) -> the finite ones' first two coordinates (n', 2)."""
    found = points.float().cpu().numpy()
    found = found[np.isfinite(found).all(axis=1)]
    if found.shape[1] == 1:
        found = np.concatenate([found, np.linspace(-1, 1, len(found))[:, None]], axis=1)
    return found[:, :2]
