"""The report of studies of every kind: it opens offline, and nothing that can't be drawn goes unsaid."""

import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import checks, verdicts, writer
from analysis.chart import Chart
from analysis.report import main
from analysis.sections import NAMES
from analysis.sections.parts import charts as charts_of
from analysis.tables import SpaceResults, load
from analysis.writer import SECTIONS, write_report
from study.errors import UserError
from study.records.study_folder import StudyFolder
from tests.analysis.synthetic import SPACE, made, normal, write
from tests.records.written import Add, ended, rows, tables
from tests.studies import study_plan

RANDOM = np.random.default_rng(0)
SCORES = 0.5 + 0.1 * normal(RANDOM, 12, 3, 0.5)
ASHA: Any = {"schedulers": "asha", "samplers": "tpe"}


class Page(HTMLParser):
    """What a page refers to, the words of its images, and the cells of its tables."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.rows = 0
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [str(given[name]) for name in ("src", "href", "action") if name in given]
        self.images += [given] if tag == "img" else []
        self.rows += tag == "tr"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finding study's folder and its report."""
    folder = tmp_path_factory.mktemp("whole") / "mine"
    state = ["completed"] * 8 + ["pruned"] * 4
    write(made(SCORES, state=state, **ASHA), folder)
    assert main([str(folder)]) == 0
    return folder


def test_the_command_knows_every_section() -> None:
    assert (*SECTIONS,) == NAMES


def test_the_page_refers_to_nothing_but_itself(whole: Path) -> None:
    page = Page(whole / "report" / "report.html")
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not re.search(r"https?://|@import|url\(", page.text)
    assert len(page.text) < 10_000_000


def test_each_figure_has_words_two_pictures_and_its_numbers(whole: Path) -> None:
    page = Page(whole / "report" / "report.html")
    files = sorted((whole / "report" / "figures").iterdir())
    names = sorted({file.stem for file in files})
    assert [file.name for file in files] == [f"{n}.{kind}" for n in names for kind in ("csv", "png", "svg")]
    assert len(page.images) == len(names) > 4
    for image in page.images:
        assert len(image["alt"] or "") > 40
    for name in names:
        assert len(pd.read_csv(whole / "report" / "figures" / f"{name}.csv"))


def test_the_first_screen_has_the_answer_checks_and_a_command(whole: Path) -> None:
    text = Page(whole / "report" / "report.html").text
    for words in (
        "The best of 12 trials has w1",
        "against the paper&#39;s default",
        "n = 3 seeds",
        "early stopping: passed",
        "The command that mends it",
        "made to find its best",
    ):
        assert words in text, words


def test_the_command_that_trains_the_best_again_is_there(whole: Path) -> None:
    text = re.sub("</?span>", "", Page(whole / "report" / "report.html").text)
    assert "python -m study.train --model wgan_gp --dataset ring8 --lr-g" in text


def test_all_trials_are_in_its_table(whole: Path) -> None:
    text = Page(whole / "report" / "report.html").text
    assert sum(f"<td>a-{number:05d}</td>" in text for number in range(12)) == 12


def test_a_report_has_the_sections_asked_for(whole: Path, tmp_path: Path) -> None:
    assert main([str(whole), "--only", "comparison", "--out", str(tmp_path / "other")]) == 0
    names = {file.stem for file in (tmp_path / "other" / "figures").iterdir()}
    assert names == {"tuned_against_default", "pareto"}


def test_a_section_that_fails_is_told_and_takes_no_other_along(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> Iterator[Chart]:
        raise ZeroDivisionError("nothing <there>")
        yield

    class Broken:
        TOGETHER = (broken, *SECTIONS["stability"].TOGETHER)
        EACH = (broken,)

    def stability(_: SpaceResults) -> str:
        raise KeyError("end")

    monkeypatch.setattr(writer, "ANSWERS", (stability, verdicts.tuned))
    monkeypatch.setitem(checks.CHECKS, "the judge", stability)
    monkeypatch.setattr(writer, "SECTIONS", {"broken": Broken, "comparison": SECTIONS["comparison"]})
    assert main([str(whole), "--out", str(tmp_path)]) == 1
    text = (tmp_path / "report.html").read_text()
    assert (
        "This section is not whole: a figure could not be drawn (ZeroDivisionError: nothing &lt;there&gt;)"
        in text
    )
    assert "Tuned against the paper" in text
    assert "How many seeds have not diverged" in text
    assert "<p>a: the sentence on stability is missing.</p>" in text
    assert "The best of 12 trials" in text
    told = capsys.readouterr().err
    assert told.count("warning: broken: a figure could not be drawn") == 2
    assert "warning: a: the sentence on stability could not be made (KeyError: 'end')" in told
    assert "warning: a: no check of the judge (KeyError: 'end')" in told


def test_a_wrong_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a study folder"):
        main([str(tmp_path)])


def drawn(*several: SpaceResults) -> dict[str, Chart]:
    """The charts of all sections, with what every one must have."""
    charts = [chart for section in SECTIONS.values() for chart in charts_of(section, several)]
    for chart in charts:
        assert len(chart.numbers), chart.name
        assert re.search(r"\d+ (\w+ )?(trial|seed|evaluation)", chart.caption), (chart.name, chart.caption)
        axes = chart.figure.axes  # a row of numbers below a panel has no data of its own
        assert any(part.get_xlabel() or part.get_xticklabels() for part in axes), chart.name
        assert any(part.has_data() for part in axes), chart.name
        assert "nan" not in (chart.caption + chart.alt).lower(), chart.caption
    names = [chart.name for chart in charts]
    assert len(set(names)) == len(names)
    return dict(zip(names, charts, strict=True))


BARE = np.full((4, 2), math.nan)
HARD = {
    "one trial": made([[0.5, 0.4]]),
    "one seed": made([[0.5], [0.4], [0.3], [0.2], [0.6]]),
    "all diverged": made(BARE, state="diverged"),
    "some diverged": made(np.where(RANDOM.random((12, 3)) < 0.3, math.nan, SCORES)),
    "all stopped early": made(SCORES, state="pruned", **ASHA),
    "interrupted": made(SCORES[:3], state="interrupted"),
    "failed": made(SCORES[:3], state="failed"),
    "higher is better": made(SCORES, metric="hq"),
    "worst quarter": made(SCORES, aggregate="cvar"),
    "all alike": made(np.full((6, 3), 0.5)),
    "median": made(SCORES, aggregate="median"),
    "hyperband": made(SCORES, state=["completed"] * 8 + ["pruned"] * 4, schedulers="hyperband"),
    "random with asha": made(SCORES, state=["completed"] * 8 + ["pruned"] * 4, schedulers="asha"),
    "tpe without early stopping": made(SCORES, samplers="tpe"),
    "without a default": made(SCORES, origin="sampler"),
}
NO_CURVE = ("interrupted", "failed", "all diverged")  # the last one at once


@pytest.mark.parametrize("name", HARD)
def test_hard_studies_have_figures_with_words(name: str) -> None:
    """Learning curves are there as soon as something was evaluated."""
    found = drawn(HARD[name])
    assert {"learning_curves_a", "losses_a"} & found.keys()
    assert name in NO_CURVE or {"slices_a", "survival"} <= found.keys()


@pytest.mark.parametrize("name", ["one trial", "all diverged", "all stopped early", "interrupted"])
def test_hard_studies_have_a_whole_page(name: str, tmp_path: Path) -> None:
    path, problems = write_report([write(HARD[name], tmp_path / "mine")])
    assert problems == []
    text = re.sub(r"base64,[^\"]*", "", path.read_text())
    assert "nan" not in text
    assert text.count("<figure>") == len([*(tmp_path / "mine" / "report" / "figures").glob("*.png")]) > 0


@pytest.mark.parametrize("name", ["one seed", "median", "hyperband", "tpe without early stopping"])
def test_of_hard_studies_all_is_said(name: str, tmp_path: Path) -> None:
    path, problems = write_report([write(HARD[name], tmp_path / "mine")], only=["comparison"])
    assert problems == []
    text = re.sub(r"base64,[^\"]*", "", path.read_text())
    assert "nan" not in text
    assert "The best of " in text


def test_studies_of_one_metric_are_compared_and_others_are_not() -> None:
    one, other = made(SCORES, space="one"), made(SCORES - 0.1, space="other")
    assert {"spaces", "spaces_apart"} <= drawn(one, other).keys()
    apart = drawn(one, made(SCORES, space="other", metric="hq"))
    assert "spaces" not in apart
    assert {"tuned_against_default", "pareto_2"} <= apart.keys()
    three = drawn(one, other, made(SCORES, space="third", metric="hq"))
    assert "Not compared: 1 more, of another metric or other data." in three["spaces"].caption


def test_a_study_that_was_killed_has_a_report(add: Add, study: StudyFolder, tmp_path: Path) -> None:
    """Without tables, with a trial that has not ended, from the trials' folders."""
    running = StudyFolder(tmp_path / "killed")
    running.create(study_plan(name="mine", spaces={"a": SPACE}, kimg=2.0, eval_kimg=1.0), ["python"], {})
    add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"), origin="default")
    add("a-00001", rows([1.0, 0.9], [1.0, 0.9]))
    for path in (study.path / "trials").iterdir():
        path.rename(running.path / "trials" / path.name)
    (results,) = load(running.path)
    assert results.trials["state"].tolist() == ["completed", "interrupted"]
    page, problems = write_report([running.path], only=["budget"])
    assert problems == []
    text = page.read_text()
    assert "2 trials not ended" in text
    assert (
        "NOT FINISHED: 1 of 3 trials have ended; it is not running; continue with: <code>python -m study.tune"
        in text
    )


def test_a_lost_table_is_an_error_where_no_trial_is_left_to_make_it_of(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"))
    tables(study)
    (study.path / "runs.parquet").unlink()
    assert load(study.path) == []  # made of the trials; the study names no space
    shutil.rmtree(study.path / "trials")
    with pytest.raises(UserError, match="is missing or damaged"):
        load(study.path)


def test_studies_of_one_name_are_told_apart(tmp_path: Path) -> None:
    copies = []
    for place in ("one", "other"):
        copy = StudyFolder(tmp_path / place / "mine")
        copy.create(study_plan(name="mine", spaces={"a": SPACE}), ["python"], {})
        copies.append(copy.path)
    assert [results.label for results in load(*copies)] == ["one/mine: a", "other/mine: a"]
    assert [results.label for results in load(copies[0], copies[0])] == ["a"]
