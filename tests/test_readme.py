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
from study.records.study_folder import StudyFolder
from tests.records.written import ended, rows, tables
from tests.studies import study_plan, trial_plan

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


def columns_of_tables() -> Iterator[Iterable[object]]:
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


@pytest.mark.parametrize("made", [models, datasets, metrics, columns_of_tables])
def test_a_table_is_made_from_the_declarations(made: object) -> None:
    expected = table(*made())  # type: ignore[operator]
    assert expected in README, f"put this into README.md:\n{expected}"


def python(word: str) -> str:
    """The README's Python that has this word."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if word in block)
    return found


@pytest.fixture
def two_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of points and of images, whose tables have different columns."""
    monkeypatch.chdir(tmp_path)
    for dataset, metric in (("ring8", "w1"), ("digits", "fd")):
        study = StudyFolder(Path("results") / dataset)
        study.create(study_plan(name=dataset, dataset=dataset, metric=metric), [], {})
        curves: list[list[float | None]] = [[40.0, 30.0, 20.0], [40.0, 30.0, None]]
        for number, curve in enumerate(curves):
            trial = study.trial(f"a-{number:05d}")
            trial.create(
                trial_plan(study=dataset, dataset=dataset, metric=metric, trial_id=trial.path.name, lr_d=5e-4)
            )
            trial.append(rows(curve, [40.0, 30.0, 20.0], dataset=dataset))
            trial.finish(ended("completed", 20.0 + 10 * number))
        tables(study)


@pytest.mark.usefixtures("two_studies")
def test_its_sql_counts_the_seeds_of_all_studies(capsys: pytest.CaptureFixture[str]) -> None:
    exec(python("duckdb"), {})
    cells = [re.split(r"\s*│\s*", line)[1:-1] for line in capsys.readouterr().out.splitlines()]
    assert ["digits", "space", "2", "4", "1", "0"] in cells
    assert ["ring8", "space", "2", "4", "1", "0"] in cells


@pytest.mark.usefixtures("two_studies")
def test_its_pandas_tells_how_runs_ended(capsys: pytest.CaptureFixture[str]) -> None:
    exec(python("crosstab").replace("<study>", "digits"), {})
    out = capsys.readouterr().out
    assert re.search(r"^end +diverged +survived", out, re.MULTILINE)
    assert re.search(r"\(0.0001, 0.001\] +1 +3$", out, re.MULTILINE)


def test_its_python_draws_the_best_trials_samples(
    digits: Arrays,
    classifier: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del digits, classifier  # asked for so that it is trained once for all test files
    code = python("study.load")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("study.command.raise_interrupt", lambda: None)
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
