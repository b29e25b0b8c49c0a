"""Writes a report: one page that opens offline, its figures, and the numbers behind each."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis import page, verdicts
from analysis.attempts import Attempts
from analysis.chart import Chart
from analysis.checks import CHECKS, check
from analysis.sections import budget, comparison, coverage, hyperparameters, stability
from analysis.sections.parts import Section, parts
from analysis.tables import SpaceResults, load
from analysis.words import as_html
from study.errors import UserError
from study.machine.clock import now
from study.reporting.first_words import purpose

QUESTION = (
    "Which hyperparameters train stably, which cover all the modes, how sure are we, and what did it cost?"
)
DPI = 150
MOST_MARKS = 3000  # of one kind in an SVG: more are a picture in it


SECTIONS: Mapping[str, Section] = {
    "stability": stability,
    "coverage": coverage,
    "hyperparameters": hyperparameters,
    "comparison": comparison,
    "budget": budget,
}


# Of the page's first screen.
ANSWERS = (verdicts.tuned, verdicts.stability, verdicts.coverage, verdicts.hyperparameters)


@dataclass(frozen=True)
class Drawn:
    """A section of the page: its figures as PNG, and what could not be drawn."""

    name: str
    charts: Sequence[tuple[Chart, str]]
    problems: Sequence[str]


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
        attempts = Attempts()
        spaces = [_told(results, attempts) for results in several]
        problems = [f"{section.name}: {problem}" for section in drawn for problem in section.problems]
        problems += attempts.problems
        page_file.write_text(_render(several, spaces, drawn, problems), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{out} can't be written: {error.strerror}") from error
    return page_file, problems


def _draw(name: str, section: Section, several: Sequence[SpaceResults], folder: Path) -> Drawn:
    """A section's figures."""
    attempts, charts = Attempts(), []

    def draw(part: Iterator[Chart]) -> None:
        for chart in part:
            charts.append((chart, _save(chart, folder)))

    for part in parts(section, several):
        attempts.make("a figure could not be drawn", partial(draw, part), None)
    return Drawn(name, charts, attempts.problems)


def _told(results: SpaceResults, attempts: Attempts) -> dict[str, Any]:
    """What the page says of a space, beside figures."""
    label = results.label

    def listed(what: str, say: Callable[[SpaceResults], Iterator[Any]]) -> list[Any]:
        return attempts.make(f"{label}: {what} could not be told", lambda: [*say(results)], [])

    def said(say: Callable[[SpaceResults], str]) -> str:
        what = f"{label}: the sentence on {say.__name__}"
        return attempts.make(f"{what} could not be made", lambda: say(results), f"{what} is missing.")

    made = [attempts.make(f"{label}: no check of {n}", partial(check, n, results), None) for n in CHECKS]
    return {
        "label": label,
        "heading": said(page.heading),
        "purpose": purpose(results.plan, results.space.name),
        "answers": [said(say) for say in ANSWERS],
        "checks": [one for one in made if one],
        "best": listed("the best configuration", page.best_configurations),
        "facts": listed("what was run", page.facts),
        "failures": listed("what failed", page.failures),
        "limits": listed("what it can't tell", page.limits),
    }


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


def _render(
    several: Sequence[SpaceResults],
    spaces: Sequence[Mapping[str, Any]],
    drawn: Sequence[Drawn],
    problems: Sequence[str],
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = lambda text: Markup(as_html(text))
    head, rows = page.trial_table(several)
    return environment.get_template("report.html.j2").render(
        question=QUESTION,
        made=now()[:16].replace("T", " "),
        spaces=spaces,
        sections=drawn,
        problems=problems,
        reading=page.reading(several),
        head=head,
        rows=rows,
    )
