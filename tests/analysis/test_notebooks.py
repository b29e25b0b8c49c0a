"""The notebooks run from end to end on the example study, and are kept without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "analysis" / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def test_there_are_three() -> None:
    assert NAMES == ["compare_models.ipynb", "mode_coverage.ipynb", "stability.ipynb"]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    assert all(
        not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_shows_figures_and_sentences(name: str) -> None:
    book = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "stream"]  # a warning, say
    shown = [output.data for output in outputs if output.output_type == "display_data"]
    assert sum("<figure>" in data.get("text/html", "") for data in shown) >= 3
    assert sum("text/markdown" in data for data in shown) >= 3  # one a space
