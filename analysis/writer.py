"""Writes a report: one page that opens offline, its figures, and the numbers behind each."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from analysis import page, verdicts
from analysis.chart import Chart
from analysis.checks import checks
from analysis.sections import budget, comparison, coverage, hyperparameters, stability
from analysis.tables import SpaceResults, load
from study.errors import UserError
from study.machine.clock import now
from study.reporting.first_words import purpose

QUESTION = (
    "Which hyperparameters train stably, which cover all the modes, how sure are we, and what did it cost?"
)
DPI = 150
MOST_MARKS = 3000  # of one kind in an SVG: more are a picture in it


class Section(Protocol):
    """A module of analysis/sections."""

    def charts(self, several: Sequence[SpaceResults], /) -> Iterator[Chart]: ...


SECTIONS: Mapping[str, Section] = {
    "stability": stability,
    "coverage": coverage,
    "hyperparameters": hyperparameters,
    "comparison": comparison,
    "budget": budget,
}


# Of the page's first screen.
ANSWERS = (verdicts.tuned, verdicts.stability, verdicts.coverage, verdicts.hyperparameters)


@dataclass
class Drawn:
    """A section of the page: its figures as PNG, and what could not be drawn."""

    name: str
    charts: list[tuple[Chart, str]] = field(default_factory=list)
    problem: str = ""


def write_report(
    studies: Sequence[Path], out: Path | None = None, only: Sequence[str] | None = None
) -> tuple[Path, list[str]]:
    """Write report.html and figures/ into a folder, by default report/ in the first study's.

    Returns:
        The page, and what could not be drawn, which the page says too.

    Raises:
        UserError: a folder is not that of a study, or can't be written.
    """
    several = load(*studies)
    if not several:
        raise UserError(f"{studies[0]} names no search space")
    out = out or studies[0] / "report"
    figures, page_file = out / "figures", out / "report.html"
    try:
        figures.mkdir(parents=True, exist_ok=True)
        drawn = [_draw(name, SECTIONS[name], several, figures) for name in only or SECTIONS]
        page_file.write_text(_render(several, drawn), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out} can't be written: {error.strerror}") from error
    return page_file, [f"{section.name}: {section.problem}" for section in drawn if section.problem]


def _draw(name: str, section: Section, several: Sequence[SpaceResults], folder: Path) -> Drawn:
    """A section's figures. One that fails must not take the rest of the report along, nor go unsaid."""
    drawn = Drawn(name)
    try:
        for chart in section.charts(several):
            drawn.charts.append((chart, _save(chart, folder)))
    except OSError:
        raise
    except Exception as error:
        drawn.problem = f"a figure could not be drawn ({type(error).__name__}: {error})"
    return drawn


def _save(chart: Chart, folder: Path) -> str:
    """Write a chart's three files; returns the PNG as a data URI, in at most 256 colours."""
    from PIL import Image

    for artist in chart.figure.findobj(lambda artist: _marks(artist) > MOST_MARKS):
        artist.set_rasterized(True)
    raw, small = io.BytesIO(), io.BytesIO()
    chart.figure.savefig(raw, format="png", dpi=DPI, facecolor="white")
    Image.open(raw).convert("RGB").quantize(128).save(small, format="png", optimize=True)
    chart.figure.set_layout_engine("none")  # as it is laid out now
    chart.figure.savefig(folder / f"{chart.name}.svg", dpi=DPI, facecolor="white")
    (folder / f"{chart.name}.png").write_bytes(small.getvalue())
    chart.numbers.to_csv(folder / f"{chart.name}.csv", index=False)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()


def _marks(artist: Any) -> int:
    """How many marks an artist draws."""
    if hasattr(artist, "get_offsets"):
        return max(len(artist.get_offsets()), len(getattr(artist, "get_paths", list)()))
    return len(artist.get_xdata()) if hasattr(artist, "get_xdata") else 0


def _render(several: Sequence[SpaceResults], drawn: Sequence[Drawn]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    head, rows = page.trial_table(several)
    return environment.get_template("report.html.j2").render(
        question=QUESTION,
        made=now()[:16].replace("T", " "),
        spaces=[
            {
                "label": results.label,
                "heading": page.heading(results),
                "purpose": purpose(results.plan, results.space.name),
                "answers": [say(results) for say in ANSWERS],
                "checks": list(checks(results)),
                "best": list(page.best_configurations(results)),
                "facts": list(page.facts(results)),
                "failures": list(page.failures(results)),
                "limits": list(page.limits(results)),
            }
            for results in several
        ],
        sections=drawn,
        head=head,
        rows=rows,
    )
