"""The floor: what real data score that are judged as if they were generated, as a perfect generator would.

Each of the draws is independent of the held-out data. Draws of a mixture are independent of each other, too;
those of other data are made of the same training part and overlap where it is not much larger than a draw (of
digits 1,000 of 1,347), which makes their standard deviation too small: by a factor of sqrt(1 - 1,000/1,347),
0.5, for a mean over samples. They are judged once per machine, and a study keeps what came of it beside its
judge. Importing this is cheap.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from filelock import FileLock

from study.data import file_name
from study.errors import UserError
from study.machine.files import read_json, write_json
from study.machine.typed import misfit
from study.metrics.declaration import Metric
from study.metrics.judge.kept import kept, stem

DRAWS = 20
RECIPE = 2  # counts changes of the draws, or of what a metric of the package computes: part of the cache key


class Spread(TypedDict):
    """A metric of the draws: its mean, and its standard deviation from one draw to another.

    The latter is 0 where a metric takes all training data, of which there is one draw.
    """

    mean: float
    std: float


class Floor(TypedDict):
    """A file: of which data, and the floor of each metric, null where real data have no value."""

    dataset: str
    sha256: str
    floor: dict[str, Spread | None]


def floors(folder: Path, dataset: str, fingerprint: str = "") -> dict[str, Spread]:
    """The floor of each metric of a dataset, from a study's folder of judges; empty where none is kept.

    `fingerprint`: SHA-256 of the data; without it, none where the folder knows several data of that name.

    Raises ValueError: a file is damaged.
    """
    files = [_read(path) for path in sorted(folder.glob(f"{file_name(dataset)}-*.json"))]
    found = [f for f in files if f["dataset"] == dataset and fingerprint in ("", f["sha256"])]
    return _known(found[0]["floor"]) if len(found) == 1 else {}


def check_floors(folder: Path) -> None:
    """Raise UserError where a file of a study's floors is damaged."""
    for path in folder.glob("*.json"):
        try:
            _read(path)
        except ValueError as error:
            raise UserError(f"{error}; delete it, and it is made again when the study goes on") from error


def load_floor(
    dataset: str,
    fingerprint: str,
    judge_sha256: str,
    metrics: Sequence[Metric],
    judged: Callable[[int], Mapping[str, float | None]],
    folder: Path | None,
) -> dict[str, Spread]:
    """The floor of each of `metrics` that has one, as `folder`, the study's, or the machine keeps it.

    `judged`: number of a draw -> its metrics by name, called where nobody has judged them yet.
    """
    name = stem(dataset, fingerprint)
    # A plugin's module is called by the hash of its source.
    computed = [(m.name, m.compute.__module__, m.compute.__qualname__, dict(m.samples)) for m in metrics]
    key = hashlib.sha256(json.dumps([RECIPE, judge_sha256, computed]).encode()).hexdigest()[:16]

    def make(path: Path) -> None:
        draws = [judged(number) for number in range(DRAWS)]
        floor = {m.name: _spread([draw[m.name] for draw in draws]) for m in metrics}
        write_json(path, {"dataset": dataset, "sha256": fingerprint, "draws": DRAWS, "floor": floor})

    own = None if folder is None else folder / f"{name}.json"
    path = kept(f"{name}-{key}.json", make, _read, own)
    content = _read(path)
    if own is not None and not {m.name for m in metrics} <= content["floor"].keys():
        # Of a metric that came later, as a plugin's to an older study.
        later = _read(kept(f"{name}-{key}.json", make, _read, None))["floor"]
        with FileLock(own.with_name(f".{own.name}.lock")):
            content = _read(own)
            content["floor"] = {**later, **content["floor"]}
            write_json(own, content)
    return _known(content["floor"])


def _read(path: Path) -> Floor:
    """Raises ValueError: the file is damaged."""
    floor: Floor = read_json(path)
    if wrong := misfit("its content", floor, Floor):
        raise ValueError(f"{path} is not a floor: {wrong}")
    return floor


def _known(floor: Mapping[str, Spread | None]) -> dict[str, Spread]:
    return {name: spread for name, spread in floor.items() if spread is not None}


def _spread(values: Sequence[float | None]) -> Spread | None:
    """Of the draws that have a value; None where fewer than two have."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    return {"mean": statistics.fmean(known), "std": statistics.stdev(known)}
