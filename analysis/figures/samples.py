"""Samples of a trial as its training went: clouds of points over the modes, or grids of images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from analysis.figures.style import BLUE, GREY, INK, ORANGE, panels
from analysis.frames import Frame

TILES = 4  # images on a side of a grid
REACH = 1.5  # of the outermost mode: what lies beyond is not shown


def over_kimg(rows: Sequence[tuple[str, Sequence[Frame]]]) -> Figure:
    """A row a seed of a trial (with its label), a column an evaluation."""
    columns = max(len(frames) for _, frames in rows)
    figure, grid = panels(columns, len(rows), size=(1.9, 2.1))
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_frame_on(False)
    for line, (label, frames) in zip(grid, rows, strict=True):
        line[0].set_ylabel(label, fontsize="small")
        for axes, frame in zip(line, frames, strict=False):
            (_draw_images if frame.are_images else _draw_points)(axes, frame)
            covered = "" if frame.coverage is None else f"\n{frame.coverage:.0%} of modes"
            axes.set_title(f"kimg {frame.kimg:.4g}{covered}", fontsize="small")
    return figure


def _draw_points(axes: Axes, frame: Frame) -> None:
    centres, real = frame.kept.get("centres"), frame.kept.get("real")
    behind = _plane(centres if centres is not None else real if real is not None else np.zeros((0, 2)))
    axes.set_frame_on(True)
    if centres is not None and "std" in frame.kept:
        circles = [Circle(centre, 3 * float(frame.kept["std"])) for centre in behind]
        marks = PatchCollection(circles, facecolors="none", edgecolors=ORANGE, linewidths=0.7, zorder=3)
        axes.add_collection(marks)
    else:
        axes.plot(*behind.T, ".", color=GREY, markersize=2, rasterized=True)
    samples = _plane(frame.samples[np.isfinite(frame.samples).all(axis=1)])
    axes.plot(*samples.T, ".", color=BLUE, markersize=1.6, markeredgewidth=0, alpha=0.6, rasterized=True)
    reach = REACH * max(1e-9, float(np.abs(behind).max(initial=0.0)))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    outside = float((np.abs(samples) > reach).any(axis=1).mean()) if len(samples) else 0.0
    told = "diverged" if not len(samples) else f"{outside:.0%} outside" if outside > 0.005 else ""
    axes.annotate(told, (0.5, 0.03), xycoords="axes fraction", ha="center", color=INK, fontsize="x-small")


def _plane(points: np.ndarray) -> np.ndarray:
    """(n, 2); points on a line are spread out by their order."""
    if points.shape[1] == 1:
        return np.column_stack([points[:, 0], np.linspace(-1, 1, len(points))])
    return points


def _draw_images(axes: Axes, frame: Frame) -> None:
    """The first images of a seed, TILES on a side, with a line between them."""
    images = frame.samples[: TILES * TILES]
    side = frame.samples.shape[-1]
    grid = np.full((TILES * (side + 1) - 1, TILES * (side + 1) - 1, 3), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top, left = (place * (side + 1) for place in divmod(number, TILES))
        colour = image[:3] if len(image) >= 3 else image[:1].repeat(3, axis=0)
        grid[top : top + side, left : left + side] = colour.transpose(1, 2, 0)
    axes.imshow(grid, interpolation="nearest")
