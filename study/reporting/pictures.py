"""Pictures of samples from fixed latents: one PNG per evaluation, a band per seed."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from study.data.dataset import Dataset
from study.machine.files import write_whole

IMAGES_PER_SEED = 32
IMAGES_PER_ROW = 16
SMALLEST_SIDE = 48  # smaller images are enlarged, pixel by pixel
POINTS_SIDE = 256


def save_samples(samples: Tensor, dataset: Dataset, path: Path) -> None:
    """Draw samples (M, n, ...): a grid of 2 rows of 16 images per seed, or a density map per seed."""
    picture = _image_grid(samples) if dataset.kind == "images" else _density(samples, dataset)
    write_whole(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))


def _image_grid(samples: Tensor) -> np.ndarray:
    """uint8 (H, W, 3), a grey line around each image; non-finite pixels are drawn black."""
    images = samples[:, :IMAGES_PER_SEED].flatten(0, 1).float().cpu()
    images = torch.where(images.isfinite(), images, -1.0)
    columns = min(IMAGES_PER_ROW, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[2:]
    grid = torch.zeros(rows * columns, 3, height + 1, width + 1)  # grey, in [-1, 1]
    grid[: len(images), :, 1:, 1:] = images
    grid = grid.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)  # rows, height, columns, width, 3
    grid = grid.flatten(2, 3).flatten(0, 1)
    framed = pad(grid, (0, 0, 0, 1, 0, 1))
    pixels = ((framed.clamp(-1, 1) + 1) / 2 * 255).round().byte().numpy()
    scale = max(1, SMALLEST_SIDE // images.shape[-1])
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def _density(samples: Tensor, dataset: Dataset) -> np.ndarray:
    """uint8 (H, M*W, 3): samples in blue over the mode centres in grey; white is empty."""
    assert dataset.centres is not None
    centres = dataset.centres.cpu().numpy()
    reach = np.abs(centres).max() * 1.5
    bins = np.linspace(-reach, reach, POINTS_SIDE + 1)
    panels = []
    for points in samples.float().cpu().numpy():
        points = points[np.isfinite(points).all(axis=1)]
        panel = np.full((POINTS_SIDE, POINTS_SIDE, 3), 255, dtype=np.uint8)
        rows, columns = (np.digitize(centres[:, axis], bins) - 1 for axis in (1, 0))
        for dy in range(-3, 4):
            for dx in range(-3, 4):
                panel[rows + dy, columns + dx] = 200
        counts, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=(bins, bins))
        panel[counts > 0] = (31, 86, 170)
        panel[[0, -1], :] = panel[:, [0, -1]] = 128
        panels.append(panel[::-1])
    return np.concatenate(panels, axis=1)
