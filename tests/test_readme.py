"""The README's tables are those of the declarations, and its Python runs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study import results, train
from study.data import DATASETS, KINDS, DatasetFamily
from study.data.arrays import Arrays
from study.metrics import METRICS
from study.metrics.judge.classifier import Classifier
from study.models import MODELS
from study.records.schema import TABLES, columns, of_hyperparameters, of_metric

README = (Path(__file__).parents[1] / "README.md").read_text()


def table(*rows: Iterable[object]) -> str:
    """Markdown; the first row is the head."""
    head, *rest = ([str(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rest))


def code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def models() -> Iterator[Iterable[object]]:
    yield "model", "", "by default", "source"
    for name, model in MODELS.items():
        defaults = {**model.defaults, **{own.name: own.default for own in model.own}}
        yield code(name), model.title, ", ".join(f"{k} {v}" for k, v in defaults.items()), model.source


def datasets() -> Iterator[Iterable[object]]:
    yield "dataset", "", "samples", "modes", "kimg by default"
    budgets = ", ".join(f"{kind.kimg:g} for {name}" for name, kind in KINDS.items())
    for name, dataset in DATASETS.items():
        if isinstance(dataset, DatasetFamily):
            yield (
                code(f"{name}:<{dataset.argument}>"),
                dataset.meaning,
                "its own",
                "classes of images",
                budgets,
            )
            continue
        shape = "x".join(map(str, dataset.sample_shape))
        yield code(name), dataset.meaning, f"{dataset.kind}, {shape}", dataset.modes, f"{dataset.kimg:g}"


def metrics() -> Iterator[Iterable[object]]:
    yield "metric", "of", "samples", "better", "meaning"
    for name, metric in METRICS.items():
        numbers = " or ".join(f"{n:,}" for n in metric.samples.values())
        better = "higher" if metric.higher_is_better else "lower"
        yield code(name), " and ".join(metric.samples), numbers, better, metric.meaning


def tables() -> Iterator[Iterable[object]]:
    yield "column", "tables", "meaning"
    declared = {column.name: column for name in TABLES for column in columns(name, [])}
    apart = {column.name for column in of_hyperparameters()}
    for name, column in declared.items():
        if name not in apart:
            unit = f" ({column.unit})" if column.unit else ""
            yield code(name), ", ".join(column.tables), column.meaning + unit
    yield "each hyperparameter", ", ".join(of_hyperparameters()[0].tables), "`--help` explains each"
    metric = next(iter(METRICS))
    for column in of_metric(metric):
        name = column.name.replace(metric, "<metric>")
        meaning = "its value; of a trial, the aggregate over its seeds, null where one diverged"
        yield code(name), ", ".join(column.tables), column.meaning if name != "<metric>" else meaning


@pytest.mark.parametrize("made", [models, datasets, metrics, tables])
def test_a_table_is_made_from_the_declarations(made: object) -> None:
    expected = table(*made())  # type: ignore[operator]
    assert expected in README, f"put this into README.md:\n{expected}"


def test_its_python_draws_the_best_trials_samples(
    digits: Arrays,
    classifier: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del digits, classifier  # asked for so that it is trained once for all test files
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "study.load" in block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("study.train.terminate_as_interrupt", lambda: None)
    sizes = ["--width", "2", "--batch-size", "16", "--kimg", "0.32", "--eval-kimg", "0.16"]
    for lr in ("1e-4", "1e-2"):
        assert train.main(["--name", "tiny", *sizes, "--lr-g", lr, "--lr-d", lr]) == 0
    assert results.main(["results/tiny"]) == 0
    capsys.readouterr()
    exec(code.replace("<study>", "tiny"), {})
    assert "objective" in capsys.readouterr().out
    picture = np.asarray(Image.open("samples.png"))
    assert picture.shape == (8 * (16 + 2) + 2,) * 2 + (3,)  # images with a frame of two pixels
    assert picture[2:, 2:].std() > 1
