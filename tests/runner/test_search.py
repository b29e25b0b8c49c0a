"""Optuna is told the truth, and a search goes on after any kill as if there had been none."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from study.config import TrialConfig
from study.plan import TrialPlan
from study.records.trial_folder import MARKERS, Ending
from study.runner.distributions import distributions
from study.runner.journal import open_journal
from study.runner.schedulers import asha
from study.runner.search import STATES, Proposal, Search
from study.space import Space, parse_space
from tests.studies import trial_plan

SAMPLERS = ["tpe", "random", "qmc", "grid"]
LOG = {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1}
SPACE = parse_space(
    "mixed",
    {
        "method": "bayes",
        "parameters": {
            "model": {"value": "wgan_gp"},
            "lr_g": LOG,
            "beta1": {"min": 0.0, "max": 0.9},
            "n_critic": {"min": 1, "max": 100},
            "beta2": {"values": [0.9, 0.99, 0.999]},
        },
    },
)
GRID = parse_space(
    "cells",
    {
        "method": "grid",
        "parameters": {
            "model": {"value": "wgan_gp"},
            "n_critic": {"values": [1, 5]},
            "beta2": {"values": [0.9, 0.99, 0.999]},
            "batch_size": {"distribution": "q_uniform", "min": 32, "max": 64, "q": 32},
        },
    },
)


def space_for(sampler: str) -> Space:
    return GRID if sampler == "grid" else SPACE


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "optuna.journal"


def search(journal: Path, sampler: str = "random", seed: int = 0) -> Search:
    """As a new driver process makes it: from the journal alone."""
    return Search(space_for(sampler), open_journal(journal), sampler, seed, "w1", trials=12)


def ending(state: str, objective: float | None = 0.5) -> Ending:
    return Ending(state=state, ended_by="test", kimg=1.0, objective=objective)


def drawn(searcher: Search, n: int) -> list[dict[str, Any]]:
    """Ask and tell n times."""
    proposals = []
    for _ in range(n):
        proposal = searcher.ask()
        proposals.append(proposal.hyperparameters)
        searcher.tell(proposal.number, ending("completed", 1 / (1 + proposal.number)))
    return proposals


def written(journal: Path, name: str = "mixed") -> list[FrozenTrial]:
    """What anybody else reads in the journal, with Optuna alone."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name=name, storage=storage).trials


# Telling


def test_every_state_of_a_trial_has_its_counterpart() -> None:
    assert set(STATES) == set(MARKERS)


@pytest.mark.parametrize(
    ("state", "objective", "told", "value"),
    [
        ("completed", 0.25, TrialState.COMPLETE, 0.25),
        ("diverged", 0.97, TrialState.COMPLETE, 0.97),
        ("pruned", 0.5, TrialState.PRUNED, 0.75),  # the last one reported
        ("failed", None, TrialState.FAIL, None),
    ],
)
def test_the_journal_says_how_a_trial_ended(
    journal: Path, state: str, objective: float | None, told: TrialState, value: float | None
) -> None:
    searcher = search(journal)
    number = searcher.ask().number
    searcher.report(number, 0, 1.0)
    searcher.report(number, 1, 0.75)
    searcher.tell(number, ending(state, objective))
    (trial,) = written(journal)
    assert (trial.state, trial.value) == (told, value)
    assert trial.intermediate_values == {0: 1.0, 1: 0.75}
    assert trial.constraints == {"diverged": 1.0 if state == "diverged" else 0.0}
    assert searcher.finished() == {number}
    assert searcher.running() == []


def test_a_trial_pruned_before_its_first_report_is_pruned(journal: Path) -> None:
    searcher = search(journal)
    searcher.tell(searcher.ask().number, ending("pruned"))
    assert [trial.state for trial in written(journal)] == [TrialState.PRUNED]


def test_a_fault_before_or_after_a_report_is_a_failure(journal: Path) -> None:
    searcher = search(journal)
    first, second = searcher.ask().number, searcher.ask().number
    searcher.report(second, 0, 1.0)
    searcher.tell(first, ending("failed", None))
    searcher.tell(second, ending("failed", None))
    assert [trial.state for trial in written(journal)] == [TrialState.FAIL] * 2


def test_trials_are_told_in_any_order(journal: Path) -> None:
    searcher = search(journal)
    numbers = [searcher.ask().number for _ in range(4)]
    assert numbers == [0, 1, 2, 3]
    for number in (2, 0, 3):
        searcher.tell(number, ending("completed", number / 10))
    assert searcher.finished() == {0, 2, 3}
    assert [proposal.number for proposal in searcher.running()] == [1]
    assert [trial.value for trial in written(journal)] == [0.0, None, 0.2, 0.3]


def test_a_report_is_made_once(journal: Path) -> None:
    # A continued trial reports its last evaluation again.
    searcher = search(journal)
    number = searcher.ask().number
    searcher.report(number, 0, 1.0)
    before = journal.read_bytes()
    searcher.report(number, 0, 0.5)
    assert journal.read_bytes() == before
    assert written(journal)[0].intermediate_values == {0: 1.0}


@pytest.mark.parametrize(("metric", "direction"), [("w1", "MINIMIZE"), ("hq", "MAXIMIZE")])
def test_the_direction_is_the_metrics(journal: Path, metric: str, direction: str) -> None:
    Search(SPACE, open_journal(journal), "random", 0, metric, trials=12)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    assert optuna.load_study(study_name="mixed", storage=storage).direction.name == direction


@pytest.mark.parametrize("before", [False, True], ids=["new", "begun without it"])
def test_the_journal_names_the_metric(journal: Path, before: bool) -> None:
    storage = JournalStorage(JournalFileBackend(str(journal)))
    if before:
        optuna.create_study(study_name="mixed", storage=storage)
    search(journal)
    assert optuna.load_study(study_name="mixed", storage=storage).metric_names == ["w1"]


# Asking


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposal_has_the_spaces_hyperparameters(journal: Path, sampler: str) -> None:
    space = space_for(sampler)
    searcher = search(journal, sampler)
    for number in range(5):
        proposal = searcher.ask()
        assert proposal.number == number
        assert set(proposal.hyperparameters) == {*space.searched, *space.constants}
        assert proposal.hyperparameters["model"] == "wgan_gp"
        for name, distribution in distributions(space).items():
            value = proposal.hyperparameters[name]
            assert distribution._contains(distribution.to_internal_repr(value))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_default_is_trial_0_and_proposed_once(journal: Path, sampler: str) -> None:
    space = space_for(sampler)
    default, outside = space.default("ring8" if sampler != "grid" else "digits")
    assert outside == ""
    size = 12 if sampler == "grid" else 5
    searcher = Search(space, open_journal(journal), sampler, 0, "w1", trials=size, default=default)
    proposals = [searcher.ask()]
    resumed = Search(space, open_journal(journal), sampler, 0, "w1", trials=size, default=default)
    assert resumed.running() == proposals
    proposals += [resumed.ask() for _ in range(size - 1)]
    assert proposals[0].hyperparameters == {**space.constants, **default}
    assert proposals[0].origin == "default"
    assert len({tuple(proposal.hyperparameters.values()) for proposal in proposals}) == size
    assert {proposal.origin for proposal in proposals[1:]} == {"startup" if sampler == "tpe" else "sampler"}


def test_tpe_says_from_when_on_it_proposes(journal: Path) -> None:
    # 4 dimensions and 12 trials: it begins when three trials are known to it, of which a failed one is none.
    searcher = Search(SPACE, open_journal(journal), "tpe", 0, "w1", trials=12)
    origins = []
    for state in ("completed", "failed", "pruned", "diverged", "completed"):
        proposal = searcher.ask()
        origins.append(proposal.origin)
        searcher.report(proposal.number, 1, 0.5)
        searcher.tell(proposal.number, ending(state))
    assert origins == ["startup"] * 4 + ["sampler"]
    assert [trial.user_attrs["origin"] for trial in written(journal)] == origins


def test_a_start_up_trial_that_a_kill_left_in_the_queue_is_one(journal: Path) -> None:
    searcher = Search(SPACE, open_journal(journal), "tpe", 0, "w1", trials=12)  # three start-up trials
    for _ in range(3):
        searcher.ask()
    for number in range(2):
        searcher.tell(number, ending("completed"))
    before = len(journal.read_text().splitlines())
    known = searcher.ask()
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[: before + 1]))
    resumed = Search(SPACE, open_journal(journal), "tpe", 0, "w1", trials=12)
    assert [trial.state for trial in written(journal, "mixed")][3:] == [TrialState.WAITING]
    resumed.tell(2, ending("completed"))
    assert resumed.ask() == known
    assert known.origin == "startup"


def test_a_kill_between_two_lines_of_the_default_leaves_one_default(tmp_path: Path) -> None:
    journal = tmp_path / "whole"
    default, _ = SPACE.default("digits")

    def made(path: Path) -> Search:
        return Search(SPACE, open_journal(path), "random", 0, "w1", trials=4, default=default)

    whole = made(journal).ask()
    lines = journal.read_text().splitlines(keepends=True)
    for cut in range(1, len(lines) + 1):
        half = tmp_path / f"cut-{cut}"
        half.write_text("".join(lines[:cut]))
        resumed = made(half)
        begun = resumed.running()
        assert (begun or [resumed.ask()]) == [whole]
        assert resumed.ask().number == 1


def test_spaces_share_a_journal_and_nothing_else(journal: Path) -> None:
    storage = open_journal(journal)
    one, other = (Search(space, storage, "random", 0, "w1", 12) for space in (SPACE, GRID))
    drawn(one, 3)
    drawn(other, 2)
    assert len(one.finished()) == len(written(journal, "mixed")) == 3
    assert len(other.finished()) == len(written(journal, "cells")) == 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_repeats_a_search(tmp_path: Path, sampler: str) -> None:
    first, again, other = (
        drawn(search(tmp_path / name, sampler, seed), 6) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again
    if sampler != "grid":  # a grid is walked in one order
        assert first != other


def test_spaces_of_one_study_draw_differently(journal: Path) -> None:
    storage = open_journal(journal)
    document = SPACE.document
    a, b = (Search(parse_space(n, document), storage, "random", 0, "w1", 12) for n in ("a", "b"))
    assert drawn(a, 3) != drawn(b, 3)


# Resuming


@pytest.mark.parametrize("told", [True, False], ids=["told", "running"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_in_parts_proposes_what_a_whole_one_does(tmp_path: Path, sampler: str, told: bool) -> None:
    def run(journal: Path, parts: list[int]) -> list[dict[str, Any]]:
        asked = []
        for part in parts:
            searcher = search(journal, sampler)
            asked += drawn(searcher, part) if told else [searcher.ask().hyperparameters for _ in range(part)]
        return asked

    whole, parts = run(tmp_path / "whole", [12]), run(tmp_path / "parts", [3, 1, 4, 4])
    assert parts == whole
    assert len({tuple(proposal.values()) for proposal in whole}) == 12


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid"])
def test_what_does_not_learn_proposes_the_same_whatever_happened(tmp_path: Path, sampler: str) -> None:
    calm, troubled = search(tmp_path / "calm", sampler), search(tmp_path / "troubled", sampler)
    expected = drawn(calm, 12)
    numbers = random.Random(0).sample(range(12), 12)
    found = {number: troubled.ask().hyperparameters for number in range(12)}
    for number in numbers:
        state = random.Random(number).choice(["completed", "pruned", "failed", "diverged"])
        troubled.tell(number, ending(state, None if state == "failed" else 0.5))
    assert [found[number] for number in range(12)] == expected


def test_tpe_proposes_the_same_when_it_knows_the_same(tmp_path: Path) -> None:
    def after(order: list[int], objectives: dict[int, float]) -> dict[str, Any]:
        searcher = search(tmp_path / f"{order}{objectives}", "tpe")
        for _ in order:
            searcher.ask()
        for number in order:
            searcher.tell(number, ending("completed", objectives[number]))
        return searcher.ask().hyperparameters

    known = {number: 0.1 * number for number in range(6)}
    expected = after([0, 1, 2, 3, 4, 5], known)
    assert after([3, 0, 5, 4, 1, 2], known) == expected
    assert after([0, 1, 2, 3, 4, 5], {**known, 0: 9.0}) != expected


def test_qmc_spreads_better_than_chance(journal: Path) -> None:
    # 16 points of a scrambled Sobol sequence fall one each into 16 equal parts of every axis.
    logs = [math.log(p["lr_g"]) for p in drawn(search(journal, "qmc"), 16)]
    low, high = math.log(1e-5), math.log(1e-1)
    assert len({int((value - low) / (high - low) * 16) for value in logs}) == 16


@pytest.mark.parametrize("parts", [[12], [1, 5, 6], [6, 6], [1] * 12], ids=str)
@pytest.mark.parametrize("told", [True, False], ids=["told", "running"])
def test_a_grid_proposes_every_cell_exactly_once(journal: Path, parts: list[int], told: bool) -> None:
    assert GRID.grid_size() == 12
    cells: list[dict[str, Any]] = []
    for part in parts:
        searcher = search(journal, "grid")
        cells += drawn(searcher, part) if told else [searcher.ask().hyperparameters for _ in range(part)]
    assert len({tuple(cell.values()) for cell in cells}) == 12


def test_a_failed_cell_is_not_proposed_again(journal: Path) -> None:
    searcher = search(journal, "grid")
    cells = []
    for number in range(12):
        cells.append(tuple(searcher.ask().hyperparameters.values()))
        searcher.tell(number, ending("failed", None))
    assert len(set(cells)) == 12


def test_a_null_of_a_space_is_no_contradiction(journal: Path) -> None:
    """It becomes what the data give: the configuration has a number there."""
    document = {
        "method": "grid",
        "parameters": {"model": {"value": "dcgan"}, "latent_dim": {"values": [None, 8]}},
    }
    space = parse_space("nulls", document)
    searcher = Search(space, open_journal(journal), "grid", 0, "w1", trials=2)
    plans: dict[int, TrialPlan | None] = {}
    for _ in range(2):
        proposal = searcher.ask()
        config = TrialConfig.from_dict({**proposal.hyperparameters, "dataset": "ring8"})
        plans[proposal.number] = replace(
            trial_plan(proposal.number, space="nulls"), config=config, origin=proposal.origin
        )
    assert searcher.unlike(plans, ()) == []
    again = Search(space, open_journal(journal.with_name("again")), "grid", 0, "w1", trials=2)
    for plan in plans.values():
        assert plan is not None
        again.restore(plan, [(0, 1.0)])
    assert again.unlike(plans, ()) == []
    assert again.running() == searcher.running()
    (eight,) = (n for n, plan in plans.items() if plan is not None and plan.config.latent_dim == 8)
    other = TrialConfig(model="dcgan", dataset="ring8", latent_dim=9)
    changed = replace(trial_plan(eight, space="nulls"), config=other)
    assert searcher.unlike({eight: changed, 5: changed}, ()) == [eight, 5]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_running_trials_come_back_as_they_were_proposed(journal: Path, sampler: str) -> None:
    searcher = search(journal, sampler)
    proposals = [searcher.ask() for _ in range(4)]
    searcher.tell(1, ending("completed"))
    left = [proposal for proposal in proposals if proposal.number != 1]
    assert searcher.running() == left
    assert search(journal, sampler).running() == left


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_half_asked_trial_gets_what_it_misses(tmp_path: Path, sampler: str) -> None:
    """A kill while asking leaves any number of the trial's lines in the journal."""
    journal = tmp_path / "whole"
    searcher = search(journal, sampler)
    drawn(searcher, 3)
    before = len(journal.read_text().splitlines())
    whole = searcher.ask()
    lines = journal.read_text().splitlines(keepends=True)
    cuts = range(before + 1, len(lines) + 1)
    assert len(cuts) > len(space_for(sampler).searched)
    for cut in cuts:
        half = tmp_path / f"cut-{cut}"
        half.write_text("".join(lines[:cut]))
        resumed = search(half, sampler)
        if resumed.finished() == {0, 1, 2} and len(written(half, resumed.space.name)) == 3:
            continue  # cut before the trial was created
        if written(half, resumed.space.name)[3].state == TrialState.WAITING:
            assert resumed.running() == []
            assert resumed.ask() == whole  # in the queue
            continue
        (proposal,) = resumed.running()
        assert proposal == whole
        assert resumed.running() == search(half, sampler).running() == [proposal]
        resumed.tell(3, ending("completed"))
        assert written(half, resumed.space.name)[3].params.keys() == resumed.space.searched.keys()


@pytest.mark.parametrize("torn", ['{"op_code":4,"work', "{", '{"op_code":4}'])
def test_a_torn_last_line_is_mended(journal: Path, torn: str) -> None:
    proposals = drawn(search(journal), 3)
    with journal.open("a") as file:
        file.write(torn)
    resumed = search(journal)
    assert resumed.finished() == {0, 1, 2}
    assert resumed.ask().number == 3
    lines = journal.read_text().splitlines()
    assert all(json.loads(line) for line in lines)
    assert [trial.params["lr_g"] for trial in written(journal)[:3]] == [p["lr_g"] for p in proposals]


def test_a_whole_journal_is_left_as_it_is(journal: Path) -> None:
    drawn(search(journal), 2)
    before = journal.read_bytes()
    open_journal(journal)
    assert journal.read_bytes() == before


def test_a_first_line_torn_leaves_a_new_study(journal: Path) -> None:
    journal.write_text('{"op_code":0,"worker_id":"x","study_na')
    assert search(journal).ask().number == 0


@pytest.mark.timeout(30)
def test_a_stale_lock_does_not_hold_a_resumed_study(journal: Path) -> None:
    drawn(search(journal), 1)
    Path(f"{journal}.lock").symlink_to(journal)  # as a driver killed while writing leaves it
    resumed = search(journal)
    assert resumed.ask().number == 1
    assert not Path(f"{journal}.lock").is_symlink()


def test_a_study_that_is_extended_keeps_its_number_of_start_up_trials(journal: Path) -> None:
    def reopened(trials: int) -> Search:
        return Search(SPACE, open_journal(journal), "tpe", 0, "w1", trials=trials)

    first = reopened(8)  # a quarter, but at least three of four dimensions
    origins = []
    for searcher, number in ((first, 4), (reopened(40), 2)):
        for _ in range(number):
            proposal = searcher.ask()
            origins.append(proposal.origin)
            searcher.tell(proposal.number, ending("completed", 1.0))
    assert origins == ["startup"] * 3 + ["sampler"] * 3


# The sampler learns


LR_SPACE = parse_space(
    "half", {"method": "bayes", "parameters": {"model": {"value": "wgan_gp"}, "lr_g": LOG, "lr_d": LOG}}
)
EDGE = 1e-3  # the upper half of lr_g's logarithmic axis 1e-5..1e-1 diverges


def share_in_the_bad_half(seed: int, told: str) -> float:
    """Of the suggestions 30 to 60, with four trials in flight that end in random order."""
    searcher = Search(LR_SPACE, InMemoryStorage(), "tpe", seed, "w1", trials=60)
    rng = random.Random(seed)
    flight: list[Proposal] = []
    suggested: list[float] = []
    while len(suggested) < 60:
        flight.append(searcher.ask())
        suggested.append(flight[-1].hyperparameters["lr_g"])
        if len(flight) < 4:
            continue
        done = flight.pop(rng.randrange(4))
        lr_g, lr_d = (done.hyperparameters[name] for name in ("lr_g", "lr_d"))
        if lr_g > EDGE:  # the ceiling is 1
            searcher.tell(done.number, ending(told, 1.0))
        else:
            distance = 0.2 * abs(math.log10(lr_g) + 3.5) + 0.1 * abs(math.log10(lr_d) + 3)
            searcher.tell(done.number, ending("completed", min(1.0, distance)))
    return sum(lr_g > EDGE for lr_g in suggested[30:]) / 30


SEVEN_SPACE = parse_space(
    "seven",
    {
        "method": "bayes",
        "parameters": {"model": {"value": "wgan_gp"}}
        | {name: {"min": 0.0, "max": 0.9} for name in ("beta1", "beta2")}
        | dict.fromkeys(("lr_g", "lr_d", "lambda_gp"), LOG)
        | {name: {"min": 1, "max": 100} for name in ("n_critic", "latent_dim")},
    },
)


def share_under_early_stopping(seed: int) -> float:
    """24 trials, two in flight, under successive halving at 1, 3 and 9 evaluations: of the suggestions 10 to
    24 the share in the half of lr_g's axis that diverges at the second evaluation.
    """
    searcher = Search(SEVEN_SPACE, InMemoryStorage(), "tpe", seed, "w1", trials=24)
    scheduler = asha(replace(SEVEN_SPACE, min_evaluations=1), 9, "min")
    rng = random.Random(seed)
    flight: list[tuple[Proposal, Any, int]] = []
    proposals: list[Proposal] = []
    while len(proposals) < 24 or flight:
        if len(proposals) < 24 and len(flight) < 2:
            proposals.append(searcher.ask())
            ray_trial = SimpleNamespace(trial_id=str(proposals[-1].number))
            scheduler.on_trial_add(None, ray_trial)
            flight.append((proposals[-1], ray_trial, 0))
            continue
        proposal, ray_trial, done = flight.pop(rng.randrange(len(flight)))
        own, now = proposal.hyperparameters, done + 1
        if own["lr_g"] > EDGE and now == 2:
            searcher.report(proposal.number, now, 1.0)
            searcher.tell(proposal.number, ending("diverged", 1.0))
            scheduler.on_trial_remove(None, ray_trial)
            continue
        distance = 0.2 * abs(math.log10(own["lr_g"]) + 3.5) + 0.1 * abs(math.log10(own["lr_d"]) + 3)
        objective = min(1.0, distance + 0.3 * abs(own["beta1"] - 0.4) + 0.5 / now)
        searcher.report(proposal.number, now, objective)
        result = {"evaluation": now, "rank": objective}
        if now == 9:
            searcher.tell(proposal.number, ending("completed", objective))
            scheduler.on_trial_complete(None, ray_trial, result)
        elif scheduler.on_trial_result(None, ray_trial, result) == "STOP":
            searcher.tell(proposal.number, ending("pruned", objective))
            scheduler.on_trial_remove(None, ray_trial)
        else:
            flight.append((proposal, ray_trial, now))
    return sum(proposal.hyperparameters["lr_g"] > EDGE for proposal in proposals[10:]) / 14


def test_tpe_avoids_it_under_early_stopping_too() -> None:
    """Uniform sampling would put half of its suggestions there."""
    shares = [share_under_early_stopping(seed) for seed in range(10)]
    assert sum(shares) / 10 <= 0.2
    assert max(shares) <= 0.5


def share_where_the_healthy_are_stopped(seed: int) -> float:
    """Of the suggestions 30 to 60: all but the first two that don't diverge are stopped early."""
    searcher = Search(LR_SPACE, InMemoryStorage(), "tpe", seed, "w1", trials=60)
    suggested: list[float] = []
    for _ in range(60):
        proposal = searcher.ask()
        lr_g, lr_d = (proposal.hyperparameters[name] for name in ("lr_g", "lr_d"))
        healthy = [earlier for earlier in suggested if earlier <= EDGE]
        suggested.append(lr_g)
        distance = 0.2 * abs(math.log10(lr_g) + 3.5) + 0.1 * abs(math.log10(lr_d) + 3)
        state = "diverged" if lr_g > EDGE else "pruned" if len(healthy) >= 2 else "completed"
        searcher.report(proposal.number, 1, 1.0 if state == "diverged" else distance)
        searcher.tell(proposal.number, ending(state, 1.0 if state == "diverged" else distance))
    return sum(lr_g > EDGE for lr_g in suggested[30:]) / 30


def test_a_diverged_trial_ranks_behind_a_healthy_one_that_was_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the constraint it is the other way round: the region that diverges is sought."""
    assert sum(map(share_where_the_healthy_are_stopped, range(10))) / 10 < 0.25
    monkeypatch.setattr(optuna.trial.Trial, "set_constraint", lambda *_: None)
    assert sum(map(share_where_the_healthy_are_stopped, range(10))) / 10 > 0.5


@pytest.mark.parametrize(
    ("told", "low", "high"),
    [
        ("diverged", 0.15, 0.25),  # uniform sampling would put half of its suggestions there
        (
            "failed",
            0.75,
            1.0,
        ),  # why divergence is COMPLETE with a finite value: a failure teaches TPE nothing
    ],
)
def test_tpe_avoids_a_region_that_diverges_unless_told_of_failures(
    told: str, low: float, high: float
) -> None:
    assert low < sum(share_in_the_bad_half(seed, told) for seed in range(10)) / 10 < high
