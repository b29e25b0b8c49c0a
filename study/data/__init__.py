"""The datasets. A new one is a new file here, which declares it; each lives on the device as one tensor."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.data.declaration import KINDS, Dataset, DatasetFamily, Fingerprint
from study.errors import UserError, last_line, not_one_of
from study.registry import Registry

if TYPE_CHECKING:
    import torch

    from study.data.arrays import Arrays

DATASETS: Registry[Dataset | DatasetFamily] = Registry("dataset", Dataset, DatasetFamily)
DATASETS.collect_package(__name__)
PART_NAMES = {
    "train": "for training",
    "held_out": "for selection",
    "test": "for a test that no search sees",
}


def dataset_names() -> list[str]:
    """What a user may write: 'digits', or 'folder:<path>' for a family."""
    return [
        name if isinstance(declared, Dataset) else f"{name}:<{declared.argument}>"
        for name, declared in DATASETS.items()
        if ":" not in name
    ]


def dataset_named(name: str) -> Dataset:
    """The dataset of a name, or of a family's name and an argument. Raises UserError."""
    name = str(name)
    declared = DATASETS.get(name)
    return declared if isinstance(declared, Dataset) else _of_family(name, {})


def prepare(name: str, **options: Any) -> Dataset:
    """The dataset of a name, made ready to be loaded, with what a user says of it beside (None: nothing).

    It is known by its full name from now on, in which a path is absolute. Raises UserError.
    """
    given = {option: value for option, value in options.items() if value is not None}
    if ":" in name:
        return _of_family(name, given)
    dataset = dataset_named(name)
    for option in given:
        raise UserError(f"--{option.replace('_', '-')} is not for {name}")
    if dataset.prepare is not None:
        dataset.prepare()
    return dataset


def facts(dataset: Dataset) -> tuple[Fingerprint, list[str]]:
    """The fingerprint of a dataset that is prepared, and lines that tell of the data."""
    kept = _loaded_facts(dataset.name) if dataset.prepare is None else dataset.prepare().facts
    parts = ", ".join(f"{number:,} {PART_NAMES[part]}" for part, number in kept["number"].items())
    shape = "x".join(map(str, dataset.sample_shape))
    memory = sum(kept["bytes"].values()) / 1e6
    shared = "" if dataset.prepare is None else ", which a machine's processes share"
    lines = [f"data: {parts}; each {shape}; {memory:,.3g} MB in all{shared}"]
    fingerprint = Fingerprint(
        kind=dataset.kind,
        sample_shape=list(dataset.sample_shape),
        number=kept["number"],
        sha256=kept["sha256"],
    )
    return fingerprint, lines + [f"  {note}" for note in kept.get("notes", [])]


def _loaded_facts(name: str) -> dict[str, Any]:
    """As `Stored.facts`, of data that the cache does not keep. Raises UserError: they can't be loaded."""
    import torch

    try:
        arrays = load(name, torch.device("cpu"))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the dataset {name} can't be loaded: {last_line(error)}") from error
    sizes = {"train": arrays.train.nbytes, "held_out": arrays.held_out.nbytes}
    return {"number": arrays.number, "sha256": arrays.fingerprint, "bytes": sizes}


def _of_family(name: str, options: Mapping[str, Any]) -> Dataset:
    stem, _, argument = name.partition(":")
    family = DATASETS.get(stem)
    if not isinstance(family, DatasetFamily) or not argument:
        try:
            own = "folder" if Path(name).is_dir() else "array" if Path(name).is_file() else ""
        except OSError:  # no path at all
            own = ""
        meant = f"; did you mean {own}:{name}?" if own else ""
        raise UserError(not_one_of("dataset", name, dataset_names()) + meant)
    for option in options:
        if option not in family.options:
            raise UserError(f"--{option.replace('_', '-')} is not for {stem}:<{family.argument}>")
    dataset = family.of(argument, **options)
    DATASETS.recall(dataset)
    return dataset


def check_contents(name: str, fingerprint: Fingerprint) -> None:
    """Raise UserError where a dataset's contents are not those of a fingerprint (if there is one)."""
    options = dataset_named(name).options if ":" in name else {}
    found, _ = facts(prepare(name, **options))
    if fingerprint and found["sha256"] != fingerprint.get("sha256"):
        raise UserError(
            f"the data of {name} have changed since they were first used here: training can't go on with them"
        )


def file_name(dataset: str) -> str:
    """A dataset's name as part of a file's: of an argument that is a path, the last part."""
    stem, colon, argument = dataset.partition(":")
    return re.sub(r"[^\w.-]+", "-", stem + colon + Path(argument).name)


@cache
def load(name: str, device: "torch.device") -> "Arrays":
    """The arrays of a dataset on `device`, loaded once per process.

    Raises:
        ValueError: they are not what the dataset declares.
        UserError: they are gone.
    """
    dataset = dataset_named(name)
    arrays = dataset.load(**dataset.options)
    arrays.check(dataset)
    return arrays.to(device)


__all__ = [
    "DATASETS",
    "KINDS",
    "Dataset",
    "DatasetFamily",
    "Fingerprint",
    "check_contents",
    "dataset_named",
    "dataset_names",
    "facts",
    "file_name",
    "load",
    "prepare",
]
