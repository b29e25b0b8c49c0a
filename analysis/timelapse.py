"""A trial's pictures as a film.

python -m analysis.timelapse results/<study>/trials/<trial>
"""

if __name__ == "__main__":  # before all that takes its time to be imported
    from study.signals import end_at_once

    end_at_once()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from analysis.film import captioned, encode
from study.command import Parser, run_command
from study.data import dataset_named
from study.errors import UserError
from study.machine.files import write_whole
from study.plan import TrialPlan
from study.records.trial_folder import TrialFolder
from study.signals import raise_interrupt


def parser() -> argparse.ArgumentParser:
    """The command line of analysis.timelapse."""
    p = Parser(
        prog="python -m analysis.timelapse",
        description="Make a GIF of the pictures that a trial drew of its samples, one an evaluation.",
        examples=(
            "python -m analysis.timelapse results/<study>/trials/<trial>",
            "python -m analysis.timelapse results/<study>/trials/<trial> --seed 1 --out film.gif",
        ),
    )
    p.add_argument("trial", type=Path, help="the trial's folder, results/<study>/trials/<trial>")
    p.add_argument("--seed", type=int, metavar="K", help="one of the trial's seeds alone (default: all)")
    p.add_argument(
        "--out", type=Path, metavar="FILE.gif", help="file to write (default: the trial's name, here)"
    )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the film, and say what it holds and what it cost."""
    options: Any = parser().parse_args(arguments)
    folder = TrialFolder(options.trial)
    plan = _plan(folder)
    if options.seed is not None and options.seed not in plan.seeds:
        known = ", ".join(map(str, plan.seeds))
        raise UserError(f"{plan.trial_id} has no seed {options.seed}; its seeds are {known}")
    seed = "" if options.seed is None else f"-seed{options.seed}"
    out: Path = options.out or Path(f"{plan.trial_id}{seed}.gif")
    if out.suffix.lower() != ".gif":
        raise UserError(f"{out} can't be written: a film is a .gif")
    pictures = _pictures(folder)
    cut = [_cut(picture, plan, options.seed) for _, picture in pictures]
    content, reduced = encode(captioned(cut, [_caption(plan, kimg, options.seed) for kimg, _ in pictures]))

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    raise_interrupt()
    try:
        write_whole(out, write)
    except OSError as error:
        raise UserError(f"{out} can't be written: {error.strerror}") from error
    span = f"kimg {pictures[0][0]:.4g} to {pictures[-1][0]:.4g}"
    print(f"{out}: {len(pictures)} pictures, {span}, {len(content) / 1e6:.2g} MB{reduced}")
    return 0


def _plan(folder: TrialFolder) -> TrialPlan:
    if (folder.path / "study.json").is_file():
        raise UserError(f"{folder.path} is a study: give one of its trials, {folder.path / 'trials'}/<trial>")
    if not folder.exists():
        raise UserError(f"{folder.path} is not a trial's folder: it has no config.json")
    try:
        return folder.plan()
    except ValueError as error:
        raise UserError(str(error)) from error


def _pictures(folder: TrialFolder) -> list[tuple[float, Image.Image]]:
    """The pictures of all evaluations that are on record, with their kimg."""
    try:
        kimg = {row["evaluation"]: row["kimg"] for row in folder.rows()}
    except ValueError as error:
        raise UserError(str(error)) from error
    files = [(at, folder.samples / f"{evaluation:04d}.png") for evaluation, at in sorted(kimg.items())]
    found = []
    for at, path in files:
        try:
            with Image.open(path) as image:
                found.append((at, image.convert("RGB")))
        except FileNotFoundError:
            continue
        except (UnidentifiedImageError, OSError) as error:
            raise UserError(f"{path} is not a readable picture") from error
    if not found:
        raise UserError(f"{folder.path} has no pictures{' yet' if folder.ending() is None else ''}")
    return found


def _cut(picture: Image.Image, plan: TrialPlan, seed: int | None) -> Image.Image:
    """One seed's part of a picture (`study.reporting.pictures`): a band of images, or a panel of points.

    Bands share the line between them, which the cut lies in.
    """
    if seed is None:
        return picture
    place, seeds = plan.seeds.index(seed), len(plan.seeds)
    width, height = picture.size
    if _are_images(plan):
        return picture.crop((0, height * place // seeds, width, height * (place + 1) // seeds))
    return picture.crop((width * place // seeds, 0, width * (place + 1) // seeds, height))


def _are_images(plan: TrialPlan) -> bool:
    kind = plan.fingerprint.get("kind") or dataset_named(plan.config.dataset).kind
    return bool(kind == "images")


def _caption(plan: TrialPlan, kimg: float, seed: int | None) -> str:
    order = "top to bottom" if _are_images(plan) else "left to right"
    if seed is not None or len(plan.seeds) == 1:
        whose = f"seed {plan.seeds[0] if seed is None else seed}"
    else:
        whose = f"seeds {', '.join(map(str, plan.seeds))}, {order}"
    return f"kimg {kimg:.4g} of {plan.kimg:.4g}   {plan.trial_id}, {whose}"


if __name__ == "__main__":
    sys.exit(run_command(main))
