"""What a budget brings, how early it tells, and where it went."""

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.chart import Chart
from analysis.figures import budget as figures
from analysis.sections.parts import by_group
from analysis.statistics import budget
from analysis.tables import SpaceResults
from analysis.words import counted, number, sentences


def _best(group: Sequence[SpaceResults], suffix: str) -> Iterator[Chart]:
    curves, words = {}, []
    for results in group:
        curve = budget.best_against_budget(results, results.stream("budget"))
        if len(curve) < 2:
            continue
        curves[results.label], last = curve, curve.iloc[-1]
        n = int(last["trials"])
        how = "the best completed one so far, in the order in which trials ended (it ran once: no interval)"
        if budget.is_exchangeable(results):
            how = (
                "the expected best of so many trials drawn from the n, without the paper's default, which "
                "nobody drew; band: 95% interval from random halves of the trials, up to a quarter of n"
            )
        words.append(
            f"{results.label}: {how}; n = {counted(n, 'trial')} of "
            f"{counted(results.plan.seeds, 'seed')} and {results.plan.kimg:g} kimg"
        )
    if not curves:
        return
    metric, real = group[0].metric, group[0].real
    ends = ", ".join(
        f"{label} {number(curve['best'].iloc[-1])} after {number(curve['kimg'].iloc[-1])} kimg "
        f"and {number(curve['seconds'].iloc[-1])} s"
        for label, curve in curves.items()
    )
    yield Chart(
        f"best_against_budget{suffix}",
        f"What more budget brought: the best {metric} over kimg and seconds",
        f"{_sentence(words)} Seconds are those of all trials together, not of the clock on the wall.",
        f"Two line charts of the best {metric} over kimg and over seconds. At the end: {ends}.",
        pd.concat([curve.assign(space=label) for label, curve in curves.items()]),
        figures.best_against_budget(curves, metric, real),
    )


def _top(group: Sequence[SpaceResults], suffix: str) -> Iterator[Chart]:
    tables = {r.label: budget.top_tenth(r) for r in group if len(r.completed)}
    if not tables:
        return
    metric = group[0].metric
    spread = [
        f"{label}: {number(table['objective'].iloc[0])} to {number(table['objective'].iloc[-1])} "
        f"(the best {len(table)} of n = {len(r.completed)} "
        f"completed trials of {counted(r.plan.seeds, 'seed')} and {r.plan.kimg:g} kimg)"
        for r in group
        if (label := r.label) in tables
        for table in (tables[label],)
    ]
    columns = ["trial_id", "objective", "objective_low", "objective_high", "n_seeds", *_searched(group)]
    yield Chart(
        f"top_tenth{suffix}",
        f"The best trials: how far their {metric} spreads",
        f"{_sentence(spread)} Bars: Student's 95% interval of the mean over seeds (where that is it). "
        "A narrow spread says that many configurations do as well (Kurach et al. 2019). All are search "
        "scores: the best of many is flattered.",
        f"Dot chart of {metric} by trial. {_sentence(spread)}",
        pd.concat([t.reindex(columns=columns).assign(space=label) for label, t in tables.items()]),
        figures.top_tenth(tables, f"{group[0].plan.aggregate} {metric} of seeds", group[0].real),
    )


def _rungs(group: Sequence[SpaceResults], suffix: str) -> Iterator[Chart]:
    found = {r.label: points for r in group if (points := budget.rung_correlations(r))}
    if not found:
        return
    stopped = [r for r in group if r.label in found and r.stopped]
    only = (
        f"Of {', '.join(r.label for r in stopped)} these are the trials that early stopping let live: what "
        "the others would have come to nobody knows."
    )
    asha = [r for r in stopped if r.scheduler == "asha"]
    judged = (
        f"asha judges no trial of fewer than {asha[0].plan.min_updates} generator updates." if asha else ""
    )
    first = ", ".join(
        f"{label} {points[0].rho:.2f} at kimg {number(points[0].kimg)} (95% interval {points[0].low:.2f} to "
        f"{points[0].high:.2f}, n = {counted(points[0].n, 'trial')})"
        for label, points in found.items()
    )
    yield Chart(
        f"rung_correlation{suffix}",
        "How early the ranking of trials is the final one",
        sentences(
            "Spearman's rank correlation of each evaluation's objective with that at the full budget, of "
            f"trials that had not diverged by then: {first}. Bars: 95% interval of Bonett and Wright (2000).",
            only * bool(stopped),
            judged,
        ),
        f"Line chart of rank correlation over kimg. First evaluation: {first}.",
        pd.DataFrame([{"space": label, **vars(p)} for label, points in found.items() for p in points]),
        figures.rung_correlations(found),
    )


def _seconds(several: Sequence[SpaceResults]) -> Iterator[Chart]:
    """One chart a study."""
    for place, folder in enumerate(dict.fromkeys(results.folder for results in several)):
        group = [results for results in several if results.folder == folder]
        yield from _seconds_of(group, f"_{place + 1}" if place else "")


def _seconds_of(group: Sequence[SpaceResults], suffix: str) -> Iterator[Chart]:
    tables = [budget.seconds_by_state(results).assign(space=results.label) for results in group]
    by_state = pd.concat(tables)
    by_state = by_state[by_state["train"] + by_state["evaluate"] > 0]
    if by_state.empty:
        return
    of = by_state["space"] + " " if len(group) > 1 else ""
    by_state["label"] = of + by_state["state"] + " (" + by_state["trials"].astype(int).astype(str) + ")"
    slots = (group[0].record.get("cost") or {}).get("slot_seconds", {})
    train, judge = by_state["train"].sum(), by_state["evaluate"].sum()
    n = int(by_state["trials"].sum())
    said = f"{train:,.0f} s of training and {judge:,.0f} s of evaluation in n = {counted(n, 'trial')}"
    idle = (
        f" Right: what the study's {counted(group[0].record['cost']['slots'], 'slot')} did from start to "
        f"end, {sum(slots.values()):,.0f} s in all; parts under 0.5% are left out."
        if slots
        else " The study has not ended: what its slots did is not known yet."
    )
    yield Chart(
        f"where_seconds_went{suffix}",
        f"Where the seconds of {group[0].plan.name} went",
        f"{said}, by how trials ended (their number in brackets).{idle}",
        f"Bar chart of seconds by how trials ended: {said}.",
        pd.concat(
            [by_state, pd.DataFrame({"label": list(slots), "slot_seconds": list(slots.values())})]
        ).reindex(columns=["space", "state", "trials", "train", "evaluate", "label", "slot_seconds"]),
        figures.where_seconds_went(by_state, slots),
    )


def _searched(group: Sequence[SpaceResults]) -> list[str]:
    return list(dict.fromkeys(name for results in group for name in results.space.searched))


def _sentence(parts: Sequence[str]) -> str:
    return "; ".join(parts) + "."


TOGETHER = (by_group(_best), by_group(_top, at_the_end=True), by_group(_rungs), _seconds)
EACH = ()
