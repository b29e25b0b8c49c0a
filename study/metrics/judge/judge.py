"""Who judges a dataset's images: a classifier of its labels, or principal components where it has none.

A judge is made once per machine, in the cache folder; a study takes a copy into its own folder, so that
every later evaluation, on any machine, has the same one.
"""

import hashlib
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock

from study.data import Dataset, file_name
from study.data.arrays import Arrays
from study.machine.cache import cache_folder
from study.machine.files import write_whole
from study.metrics.judge import classifier, components
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.components import Components

Judge = Classifier | Components


def load_judge(dataset: Dataset, arrays: Arrays, folder: Path | None = None) -> tuple[Judge, str]:
    """The judge of a dataset of images, on the arrays' device, and its file's SHA-256.

    `folder`: the study's; its own judge is used, or it gets a copy. Else the machine's.

    Raises RuntimeError: the file is damaged.
    """
    maker = classifier if dataset.is_classified else components
    stem = f"{file_name(dataset.name)}-{arrays.fingerprint[:16]}"
    path = None if folder is None else folder / f"{stem}.pt"
    if path is None or not path.exists():
        made = cache_folder() / f"{stem}-{maker.RECIPE}.pt"
        with FileLock(made.with_suffix(".lock")):
            if not made.exists():
                write_whole(made, partial(torch.save, maker.make(dataset, arrays)))
        path = _copied(made, path)
    content = path.read_bytes()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RuntimeError(f"{path}: the judge is damaged; delete it") from error
    judge: Judge = maker.restore(dataset, state, arrays.train.device)
    return judge, hashlib.sha256(content).hexdigest()


def _copied(made: Path, path: Path | None) -> Path:
    """The study's copy of a machine's judge; the first of several processes makes it."""
    if path is None:
        return made
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not path.exists():
            write_whole(path, partial(_copy, made))
    return path


def _copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
