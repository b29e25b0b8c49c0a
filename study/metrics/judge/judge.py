"""Who judges a dataset's images: a classifier of its labels, or principal components where it has none.

A judge is made once per machine, in the cache folder; a study takes a copy into its own folder, so that
every later evaluation, on any machine, has the same one. The floor lies beside it.
"""

import hashlib
from functools import partial
from pathlib import Path

import torch

from study.data import Dataset
from study.data.arrays import Arrays
from study.errors import UserError
from study.machine.files import write_whole
from study.metrics.judge import classifier, components
from study.metrics.judge.classifier import Classifier
from study.metrics.judge.components import Components
from study.metrics.judge.kept import kept, stem

Judge = Classifier | Components


def load_judge(dataset: Dataset, arrays: Arrays, folder: Path | None = None) -> tuple[Judge, str]:
    """The judge of a dataset of images, on the arrays' device, and its file's SHA-256.

    `folder`: the study's; its own judge is used, or it gets a copy. Else the machine's.

    Raises UserError: the study's is damaged.
    """
    maker = classifier if dataset.is_classified else components

    def make(made: Path) -> None:
        write_whole(made, partial(torch.save, maker.make(dataset, arrays)))

    name = stem(dataset.name, arrays.fingerprint)

    def read(path: Path) -> Judge:
        state = torch.load(path, map_location="cpu", weights_only=True)
        judge: Judge = maker.restore(dataset, state, arrays.train.device)
        return judge

    own = None if folder is None else folder / f"{name}.pt"
    path = kept(f"{name}-{maker.RECIPE}.pt", make, read, own)
    try:
        return read(path), hashlib.sha256(path.read_bytes()).hexdigest()
    except Exception as error:
        raise UserError(f"{path}: the judge is damaged; delete it") from error
