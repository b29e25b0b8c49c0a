"""What a running study shows: a status line that lives in a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pandas as pd
from rich.console import Console as RichConsole
from rich.live import Live
from rich.table import Table
from rich.text import Text

from study.data import dataset_named, facts
from study.machine.hardware import Hardware
from study.metrics import METRICS, metrics_for
from study.plan import StudyPlan
from study.records.tables import Results
from study.records.trial_folder import Ending
from study.reporting.first_words import how_searched
from study.reporting.last_words import range_of_metric, what_came_of
from study.space import Space

PLAIN_SECONDS = 60.0
PLAIN_WIDTH = 140
BEST_ROWS = 5
HOUR = 3600.0  # seconds
GOOD_ACCURACY = 0.9  # of a classifier on held-out images


class Best(NamedTuple):
    """An objective, whose it is, and when it was measured."""

    objective: float
    trial_id: str
    kimg: float
    ended: bool

    def __str__(self) -> str:
        state = "ended" if self.ended else "not ended yet"
        return f"{self.objective:.4g} at kimg {self.kimg:.4g} ({self.trial_id}, {state})"


class Console:
    """Progress on stdout. Use as a context manager around the time that trials run."""

    def __init__(self, plan: StudyPlan) -> None:
        self._plan = plan
        self._rich = RichConsole(highlight=False)
        if not self._rich.is_terminal:
            self._rich.width = PLAIN_WIDTH
        self._live: Live | None = None
        self._total = plan.total_trials
        self._metric = METRICS[plan.metric]
        self._running: dict[str, float] = {}
        self._ended = 0
        self._done_before = 0
        self._kimg = 0.0
        self._best_ended: Best | None = None
        self._latest: dict[str, Best] = {}
        self._choose = max if self._metric.higher_is_better else min
        self._start = time.monotonic()
        self._printed = time.monotonic()
        self._warning = ""

    def say(self, line: str) -> None:
        """Print a line (above the status, where there is one)."""
        self._rich.print(Text(line), soft_wrap=True)

    @contextmanager
    def on(self, screen: TextIO) -> Iterator[None]:
        """Meanwhile lines go to `screen`, where they would have gone to the process's own stream."""
        if is_stream := self._rich.file is sys.__stdout__:
            self._rich.file = screen
        try:
            yield
        finally:
            if is_stream:
                self._rich.file = sys.stdout

    def begin(self, folder: Path, hardware: Hardware, spaces: Sequence[Space]) -> None:
        """What the study is, and what it runs on."""
        plan = self._plan
        gpus = f", {len(hardware.gpus)} x {hardware.gpus[0]}" if hardware.gpus else ", no GPU"
        self.say(f"study {plan.name} on {plan.dataset} -> {folder}")
        for line in facts(dataset_named(plan.dataset))[1]:
            self.say(line)
        cpus = f"{hardware.cpus} CPU" + ("" if hardware.cpus == 1 else "s")
        self.say(f"hardware: {cpus} ({hardware.cpu_name}), {hardware.memory_gib:g} GiB{gpus}")
        for line in (line for space in spaces for line in how_searched(plan, space)):
            self.say(line)
        self.say(
            f"each trial: {plan.seeds} seeds, {plan.kimg:g} kimg, evaluated every {plan.eval_kimg:.4g} kimg; "
            f"objective: {plan.aggregate} {plan.metric}"
        )
        what = "trial" if plan.pack == "trial" else "pack"
        many = "" if plan.concurrency == 1 else "s"
        self.say(
            f"{plan.concurrency} {what}{many} at a time, {plan.cpus_per_trial:g} CPU"
            + (f" and {plan.gpus_per_trial:g} GPU each" if plan.gpus_per_trial else " each")
            + f"; computing in {_precision(plan)}"
        )

    def __enter__(self) -> "Console":
        self._start = self._printed = time.monotonic()
        if self._rich.is_terminal:
            self._live = Live(
                console=self._rich,
                refresh_per_second=2,
                get_renderable=self._status,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def already(self, ended: int, best: tuple[float, str, float] | None) -> None:
        """What a resumed study had done before; the best objective, its trial, and its kimg."""
        self._ended = ended
        self._done_before = ended
        self._best_ended = None if best is None else Best(*best, ended=True)

    def preparing(self) -> None:
        """Workers begin: what they do first."""
        dataset = dataset_named(self._plan.dataset)
        trained = " (its classifier is trained once, then cached)" if dataset.is_classified else ""
        self.say(f"preparing {dataset.name}{trained} ...")

    def facts(self, facts: Mapping[str, Any]) -> None:
        """What a worker has found out about the data and the cost: `study.trial.preparation.prepare`."""
        self._price(facts["measured_seconds"])
        accuracy, components = facts.get("classifier_accuracy"), facts.get("components")
        if accuracy is not None:
            self.say(f"classifier: {accuracy:.1%} right on held-out images")
            if accuracy < GOOD_ACCURACY:
                self._warning = (
                    f"the classifier behind fd and modes is right on only {accuracy:.0%} of held-out images: "
                    "differences between trials mean less than they would otherwise"
                )
                self.say(f"warning: {self._warning}")
        if components is not None:
            self.say(
                f"no labels: fd_pca compares images in {components['number']} principal components of their "
                f"pixels ({components['explained']:.0%} of the variance), and there are no modes"
            )
        fd = facts.get("fd")
        if fd is not None:
            name, n = "fd" if components is None else "fd_pca", f"{fd['images']:,}"
            of = f"the {fd['dimension']} of {fd['features']} features that vary"
            self.say(f"{name} compares {n} with {n} images, in {of}")

    def _price(self, measured: Mapping[str, Mapping[str, float]]) -> None:
        """How long it will take, and what would take an hour."""
        plan = self._plan
        evaluations = math.ceil(plan.kimg / plan.eval_kimg) + 1
        training = sum(n * plan.kimg * measured[space]["per_kimg"] for space, n in plan.trials.items())
        judging = sum(n * evaluations * measured[space]["per_evaluation"] for space, n in plan.trials.items())
        left = self._total - self._done_before
        share = math.ceil(left / plan.concurrency) / self._total  # in rounds of as many as train at a time
        seconds = (training + judging) * share
        self.say(f"cost: about {clock(seconds)} of training and evaluation, if no trial is stopped early")
        for space, m in measured.items():
            trial = f"{m['per_kimg']:.2g} s a kimg, {m['per_evaluation']:.2g} s an evaluation"
            self.say(f"  a trial of {space}: {trial}")
        if seconds > HOUR:
            spare = HOUR - judging * share
            fits = f"--kimg {plan.kimg * spare / (training * share):.2g}" if spare > 0 else "fewer --trials"
            self.say(f"  a study of one hour: {fits} (or fewer trials, seeds, or a smaller --side)")

    def started(self, trial_id: str) -> None:
        """A trial begins, or goes on."""
        self._running.setdefault(trial_id, 0.0)
        self._plain()

    def evaluated(self, trial_id: str, kimg: float, objective: float) -> None:
        """A trial reported."""
        self._kimg += kimg - self._running.get(trial_id, 0.0)
        self._running[trial_id] = kimg
        self._latest[trial_id] = Best(objective, trial_id, kimg, ended=False)
        self._plain()

    def ended(self, trial_id: str, ending: Ending) -> None:
        """A trial ended."""
        self._running.pop(trial_id, None)
        self._latest.pop(trial_id, None)
        if ending.objective is not None:
            own = Best(ending.objective, trial_id, ending.kimg, ended=True)
            self._best_ended = self._choose([own, *([self._best_ended] if self._best_ended else [])])
        self._ended += 1
        value = "" if ending.objective is None else f"  objective {ending.objective:.4g}"
        self.say(f"{trial_id}  {ending.state} ({ending.ended_by}) at kimg {ending.kimg:g}{value}")

    def _best(self) -> Best | None:
        """The best of the ended trials' objectives and the running trials' latest."""
        known = [*self._latest.values(), *([self._best_ended] if self._best_ended else [])]
        return self._choose(known) if known else None

    def _status(self) -> Text:
        elapsed = time.monotonic() - self._start
        under_way = sum(kimg / self._plan.kimg for kimg in self._running.values())
        done, todo = self._ended + under_way - self._done_before, self._total - self._done_before
        known = self._ended > self._done_before  # the first trials also wait for workers to start
        left = f"{clock(elapsed * (todo - done) / done)} left" if known else "time left unknown yet"
        found = self._best()
        best = str(found) if found else "none yet"
        return Text(
            f"trials {self._ended}/{self._total} ended, {len(self._running)} running | "
            f"kimg {self._kimg:,.0f} | best {best} | {clock(elapsed)} elapsed, {left}",
            overflow="fold",
        )

    def _plain(self) -> None:
        """Outside a terminal: the status as a line, one a minute."""
        now = time.monotonic()
        if self._live is None and now - self._printed >= PLAIN_SECONDS:
            self._printed = now
            self.say(self._status().plain)

    def results(self, results: Results, spaces: Sequence[Space], tuned: Mapping[str, str]) -> None:
        """The best completed trials of each space, over all seeds, and what came of the others.

        `tuned`: of each space, what tuning brought, in a sentence.
        """
        trials = results.table("trials")
        metrics = [m for m in metrics_for(self._plan.dataset) if m in trials]
        table = Table(
            title=f"best trials by {self._plan.aggregate} {self._plan.metric} over {self._plan.seeds} seeds",
            title_justify="left",
        )
        table.add_column("trial", no_wrap=True)
        for column in ("objective", *metrics):
            table.add_column(column, justify="right")
        table.add_column("configuration", overflow="fold")
        completed = trials[trials["state"] == "completed"]
        for space in spaces:
            best = completed[completed["space"] == space.name].sort_values(
                "objective", ascending=not self._metric.higher_is_better
            )
            for row in best.head(BEST_ROWS).to_dict("records"):
                known = (n for n in space.searched if n in row and not pd.isna(row[n]))  # its model has it
                chosen = "  ".join(f"{n} {_cell(row[n])}" for n in known)
                table.add_row(row["trial_id"], *(_cell(row[m]) for m in ("objective", *metrics)), chosen)
        if len(completed):
            self._rich.print(table)
            self.say(range_of_metric(self._plan, results, completed["trial_id"].iloc[0]))
        if self._warning:
            self.say(f"warning: {self._warning}")
        tables = trials, results.table("runs")
        for space in spaces:
            for line in what_came_of(self._plan, tables, space.name, tuned[space.name]):
                self.say(line)


def clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d} hours" if hours else f"{minutes}:{seconds:02d}"


def _cell(value: Any, digits: int = 3) -> str:
    if value is None or pd.isna(value):
        return "unknown"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _precision(plan: StudyPlan) -> str:
    """'bf16', or 'bf16 (dcgan: fp32)' where models differ."""
    values = plan.precision
    common = max(set(values.values()), key=list(values.values()).count, default="fp32")
    others = [f"{model}: {precision}" for model, precision in values.items() if precision != common]
    return common + (f" ({', '.join(others)})" if others else "")
