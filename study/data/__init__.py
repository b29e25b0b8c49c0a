"""The datasets. A new one is a new file here, which declares it; each lives on the device as one tensor."""

import re
from functools import cache
from typing import TYPE_CHECKING

from study.data.declaration import KINDS, Dataset, DatasetFamily
from study.errors import UserError
from study.registry import Registry

if TYPE_CHECKING:
    import torch

    from study.data.arrays import Arrays

DATASETS: Registry[Dataset | DatasetFamily] = Registry("dataset", Dataset, DatasetFamily)
DATASETS.collect_package(__name__)


def dataset_names() -> list[str]:
    """What a user may write: 'digits', or 'folder:<path>' for a family."""
    return [
        name if isinstance(declared, Dataset) else f"{name}:<{declared.argument}>"
        for name, declared in DATASETS.items()
    ]


def dataset_named(name: str) -> Dataset:
    """The dataset of a name, or of a family's name and an argument. Raises UserError."""
    stem, colon, argument = str(name).partition(":")
    declared = DATASETS[stem]
    if isinstance(declared, Dataset) and not colon:
        return declared
    if isinstance(declared, DatasetFamily) and argument:
        return declared.of(argument)
    raise UserError(f"unknown dataset {name!r}; there are: {', '.join(dataset_names())}")


def file_name(dataset: str) -> str:
    """A dataset's name as part of a file's: an argument may be a path."""
    return re.sub(r"[^\w.-]+", "-", dataset)


@cache
def load(name: str, device: "torch.device") -> "Arrays":
    """The arrays of a dataset on `device`, loaded once per process.

    Raises:
        ValueError: they are not what the dataset declares.
    """
    dataset = dataset_named(name)
    arrays = dataset.load()
    arrays.check(dataset)
    return arrays.to(device)


__all__ = [
    "DATASETS",
    "KINDS",
    "Dataset",
    "DatasetFamily",
    "dataset_named",
    "dataset_names",
    "file_name",
    "load",
]
