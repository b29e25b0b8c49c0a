"""Spaces side by side at equal training, the tuned and the default, and who is beaten by nobody."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis import findings
from analysis.chart import Chart
from analysis.figures import comparison as figures
from analysis.sections.parts import by_group
from analysis.statistics import comparison
from analysis.statistics.comparison import Against
from analysis.statistics.tuned import Tuned
from analysis.tables import SpaceResults, comparable
from analysis.words import counted, number
from study.records.comparison import KIMG, SECONDS

RESPECTS = ["objective", "coverage", "failure_rate"]
UNCONFIRMED = "Search scores, unconfirmed: each best was chosen by the seeds and data that compare it here."


def _spaces(several: Sequence[SpaceResults]) -> Iterator[Chart]:
    """Of spaces that share metric and data; those that don't are compared with none of the others."""
    for suffix, group in comparable(several):
        others = len(several) - len(group)
        left_out = f" Not compared: {others} more, of another metric or other data." if others else ""
        yield from _bests(group, suffix, left_out)
        yield from _apart(group, suffix, left_out)


def _bests(group: Sequence[SpaceResults], suffix: str, left_out: str) -> Iterator[Chart]:
    bests = {
        results.label: (results, comparison.seed_curves(results, best))
        for results in group
        if (best := results.best) is not None
    }
    if len(bests) < 2:
        return
    metric = group[0].metric
    clocks = [KIMG, SECONDS] if comparison.on_one_machine(group) else [KIMG]
    curves = {label: rows for label, (_, rows) in bests.items()}
    of = "; ".join(
        f"{label}: {results.best}, best of n = {len(results.trials)} trials, {rows['seed'].nunique()} seeds"
        for label, (results, rows) in bests.items()
    )
    ends = ", ".join(
        f"{label} {number(rows[rows['evaluation'] == rows['evaluation'].max()]['score'].mean())}"
        for label, rows in curves.items()
    )
    yield Chart(
        f"spaces{suffix}",
        f"The best of each space, by {metric}",
        f"{of}. Line: mean of seeds; band: worst to best seed.{_hardware(group)}{left_out} {UNCONFIRMED}",
        f"Line charts of {metric} over {' and over '.join(figures.CLOCKS[clock] for clock in clocks)}. "
        f"At the end: {ends}.",
        pd.concat(
            [
                rows[["trial_id", "seed", "evaluation", KIMG, SECONDS, "score"]].assign(space=label)
                for label, rows in curves.items()
            ]
        ),
        figures.curves_of_the_best(curves, clocks, metric, group[0].real),
    )


def _hardware(group: Sequence[SpaceResults]) -> str:
    if comparison.on_one_machine(group):
        return ""
    return " Seconds are left out: the studies ran on different hardware."


def _apart(group: Sequence[SpaceResults], suffix: str, left_out: str) -> Iterator[Chart]:
    found = comparison.against_each_other(group)
    if not found:
        return
    said = "; ".join(
        f"{f.one} over {f.other} {figures.AT[f.clock].format(f.at)}: {f.gain.said} ({f.gain.words})"
        for f in found
    )
    equal = "kimg, and at equal training time" if comparison.on_one_machine(group) else "kimg"
    yield Chart(
        f"spaces_apart{suffix}",
        f"Spaces against each other, at equal {equal}",
        f"How much better the best of the one space is, at the last moment that both reached; intervals are "
        f"corrected for all comparisons shown, and for bests of unequally many trials. {said}."
        f"{_hardware(group)}{left_out} {UNCONFIRMED}",
        f"Intervals of differences in {group[0].metric}, with a line at 0. {said}.",
        pd.DataFrame([_row(f) for f in found]),
        figures.differences(found, group[0].metric),
    )


def _row(found: Against) -> dict[str, object]:
    gain = found.gain
    where = {"one": found.one, "other": found.other, "clock": found.clock, "at": found.at}
    interval = {"mean": gain.mean, "low": gain.low, "high": gain.high}
    return where | interval | {"n": gain.n, "comparisons": gain.comparisons}


def _tuned(group: Sequence[SpaceResults], suffix: str) -> Iterator[Chart]:
    found: dict[str, Tuned] = {r.label: t for r in group if (t := findings.tuned(r)) is not None}
    if not found:
        return
    said = "; ".join(
        f"{label}: {tuned.best} against {tuned.default}, {tuned.words}" for label, tuned in found.items()
    )
    rows = [
        {"space": label, "seed": seed, "default": default, "best": best}
        for label, tuned in found.items()
        for seed, best, default in zip(tuned.pairs.seeds, tuned.pairs.one, tuned.pairs.other, strict=True)
    ]
    yield Chart(
        f"tuned_against_default{suffix}",
        "Tuned against the paper's default, seed by seed",
        f"A line a seed, which gives both the same first weights and the same data. {said}. {UNCONFIRMED}",
        f"Slope charts of {group[0].metric}, from the default to the best. {said}.",
        pd.DataFrame(rows),
        figures.tuned_against_default(found, group[0].metric),
    )


def _pareto(group: Sequence[SpaceResults], suffix: str) -> Iterator[Chart]:
    tables, measures = zip(*[comparison.respects(results) for results in group], strict=True)
    table, coverage = pd.concat(tables, ignore_index=True), measures[0]
    alike = len(table[table.columns.intersection(RESPECTS)].drop_duplicates()) < 2
    if alike or len(set(measures)) > 1:
        return
    costs = [group[0].sign * table["objective"], table["failure_rate"]]
    costs += [-table["coverage"]] if coverage else []
    table["is_front"] = comparison.pareto_front(np.column_stack(costs).astype(float))
    front = table[table["is_front"]]
    names = front.sort_values("objective", ascending=group[0].sign > 0).head(5)
    several = len({results.folder for results in group}) > 1  # whose trials may have the same names
    told = ", ".join(f"{row.space} {row.trial_id}" if several else row.trial_id for row in names.itertuples())
    seeds = sorted({results.plan.seeds for results in group})
    each = counted(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    more = f" and {len(front) - 5} more" if len(front) > 5 else ""
    respects = " and ".join([", ".join([group[0].metric, *([coverage] if coverage else [])]), "failures"])
    covers = " A seed that diverged covers nothing." if coverage else ""
    yield Chart(
        f"pareto{suffix}",
        f"Who is beaten by nobody in {respects}",
        f"n = {len(table)} trials of {group[0].plan.kimg:g} kimg whose seeds were all seen to their end, "
        f"{each} each; ringed: the {len(front)} that no other trial equals or beats in every respect "
        f"({told}{more}). Hollow: at least one seed diverged.{covers} No intervals: see the trials' own.",
        f"Scatter chart of {coverage or 'the share of seeds that diverged'} over {group[0].metric}; "
        f"{len(front)} of {len(table)} trials are on the front: {told}{more}.",
        table,
        figures.pareto(table, group[0].metric, coverage),
    )


TOGETHER = (_spaces, by_group(_tuned), by_group(_pareto, at_the_end=True))
EACH = ()
