"""The three tables: every trial, run and evaluation is a row, whatever became of it."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.metrics import METRICS, metrics_for
from study.records import schema
from study.records.schema import Row
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from tests.records.written import Add, ended, every_fate, row, rows, tables


def test_every_trial_is_a_row_with_its_state(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    trials = tables(study)["trials"].set_index("trial_id")
    assert trials[["state", "ended_by"]].apply(tuple, axis=1).to_dict() == {
        "a-00000": ("completed", "budget"),
        "a-00001": ("pruned", "asha"),
        "a-00002": ("diverged", "divergence"),
        "b-00000": ("failed", "fault"),
        "b-00001": ("interrupted", "interrupt"),
        "b-00002": ("interrupted", "interrupt"),
        "b-00003": ("failed", "unreadable"),
    }
    assert trials["kimg"].drop("b-00003").to_dict() == {
        "a-00000": 2.0, "a-00001": 1.0, "a-00002": 1.0, "b-00000": 0.0, "b-00001": 1.0, "b-00002": 0.0,
    }  # fmt: skip
    assert trials["error"].dropna().to_dict().keys() == {"b-00000", "b-00003"}
    assert trials.loc["b-00000", "error"] == "Traceback\nboom"
    assert "config.json" in str(trials.loc["b-00003", "error"])


def test_every_run_is_a_row(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    runs = tables(study)["runs"]
    readable = ["a-00000", "a-00001", "a-00002", "b-00000", "b-00001", "b-00002"]
    assert [tuple(pair) for pair in runs[["trial_id", "seed"]].to_numpy()] == [
        (trial_id, seed) for trial_id in readable for seed in (0, 1)
    ]
    never = runs[runs["trial_id"] == "b-00002"]
    assert never["kimg"].isna().all()
    assert (never["lr_g"] == 3e-4).all()


def test_every_evaluation_of_every_seed_is_a_row(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    counts = tables(study)["curves"]["trial_id"].value_counts().to_dict()
    assert counts == {"a-00000": 6, "a-00001": 4, "a-00002": 4, "b-00000": 2, "b-00001": 4}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", None),
        ("config.json", "[1]"),
        ("config.json", '{"config": {"model": "vae"}, "seeds": [0]}'),
        ("curves.jsonl", "nonsense\n"),
        ("curves.jsonl", '{"seed": 0, "evaluation": 0, "kimg": 0.0}\n'),
        ("curves.jsonl", '{"seed": 0, "evaluation": [], "kimg": 0.0}\n'),
        ("curves.jsonl", b"\xff\n"),
    ],
)
def test_a_damaged_trial_is_a_failed_row_and_a_problem_told(
    file: str, content: str | bytes | None, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    path = add("a-00001", rows([1.0, 0.6], [1.0, 0.7]), ended("completed")).path / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    results = Results(study)
    results.add_all(include_unfinished=True)
    trials = results.table("trials")
    assert trials["state"].tolist() == ["completed", "failed"]
    assert trials["ended_by"].tolist() == ["budget", "unreadable"]
    (problem,) = results.problems
    assert problem.startswith("trial a-00001 can't be read: ")
    assert "\n" not in problem


@pytest.mark.parametrize("content", ["{", "[]", '{"state": "completed"}'])
def test_a_damaged_marker_is_a_failed_row_with_its_curves(content: str, add: Add, study: StudyFolder) -> None:
    folder = add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    (folder.path / "DONE").write_text(content)
    found = tables(study, include_unfinished=False)
    (trial,) = found["trials"].to_dict("records")
    assert (trial["state"], trial["ended_by"]) == ("failed", "unreadable")
    assert "DONE is not a trial's ending" in trial["error"]
    assert math.isnan(trial["objective"])
    assert (len(found["runs"]), len(found["curves"])) == (2, 4)


def test_unfinished_trials_of_a_running_study_are_left_out(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    trials = tables(study, include_unfinished=False)["trials"]
    assert "interrupted" not in set(trials["state"])
    assert len(trials) == 5


def test_the_objectives_of_a_trial_are_known(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    results = Results(study)
    results.add_all(include_unfinished=True)
    assert results.objectives("a-00000") == [(0, 1.0), (1, pytest.approx(0.65)), (2, 0.5)]
    assert results.objectives("a-00002") == [(0, 1.0), (1, 1.0)]
    assert results.objectives("b-00003") == []  # it can't be read


KEYS = "study space model dataset trial_id"
HYPER = "lr_g lr_d beta1 beta2 n_critic optimizer init batch_size width latent_dim clip_value lambda_gp"
SEED = "seed kimg kimg_planned score diverged diverged_at_kimg reason loss_d loss_g grad_norm_d grad_norm_g"
CLOCKS = "critic_updates generator_updates train_seconds eval_seconds"
COLUMNS = {  # * is each metric
    "trials": f"{KEYS} {HYPER} origin state ended_by kimg kimg_planned objective objective_low "
    "objective_high metric aggregate precision n_seeds n_diverged n_censored failure_rate failure_rate_low "
    "failure_rate_high n_never_learned n_never_covered n_collapsed * *_iqr *_worst "
    f"started ended host error {CLOCKS}",
    "runs": f"{KEYS} {HYPER} {SEED} end kimg_at_risk never_learned never_covered collapsed "
    f"dispersion drawdown * *_best {CLOCKS}",
    "curves": f"{KEYS} {HYPER} evaluation mode_counts {SEED} * evaluated host {CLOCKS}",
}


@pytest.mark.parametrize("dataset", ["ring8", "digits"])
def test_the_columns_are_those_promised(dataset: str, add: Add, study: StudyFolder) -> None:
    metric = metrics_for(dataset)[0]
    add(
        "a-00000",
        rows([1.0, 0.6], [1.0, 0.7], dataset=dataset),
        ended("completed"),
        dataset=dataset,
        metric=metric,
    )
    for name, frame in tables(study).items():
        promised = {
            column.replace("*", metric) for column in COLUMNS[name].split() for metric in metrics_for(dataset)
        }
        assert set(frame.columns) == promised
        assert list(frame.columns[:5]) == KEYS.split()


def test_counts_of_modes_are_lists_of_whole_numbers(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5], [1.0, None]), ended("completed"))
    tables(study)
    read = pq.read_table(study.path / "curves.parquet")["mode_counts"]
    assert read.type == pa.list_(pa.int64())
    assert read.to_pylist() == [[3, 0, 2], [3, 0, 2], [3, 0, 2], None]


def test_a_columns_type_does_not_depend_on_its_values(add: Add, study: StudyFolder) -> None:
    """An empty table, and a trial that knows almost nothing, have the types of a full one."""
    empty = {name: frame.dtypes.to_dict() for name, frame in tables(study).items()}
    add("a-00000", [])
    bare = {name: frame.dtypes.to_dict() for name, frame in tables(study).items()}
    add("a-00001", rows([1.0, None], [1.0, 0.7]), ended("completed"))
    full = {name: frame.dtypes.to_dict() for name, frame in tables(study).items()}
    for name in TABLES:
        assert empty[name].items() <= full[name].items()
        assert bare[name] == full[name]
        read = pd.read_parquet(study.path / f"{name}.parquet")
        assert list(read.columns) == list(full[name])
    trials = full["trials"]
    assert (trials["lr_g"], trials["n_critic"], trials["state"]) == ("float64", "Int64", "string")
    assert trials["clip_value"] == "float64"
    assert full["runs"]["diverged"] == "boolean"


def test_a_file_tells_the_unit_and_the_meaning_of_every_column(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    tables(study)
    for name in TABLES:
        for field in pq.read_schema(study.path / f"{name}.parquet"):
            assert field.metadata[b"meaning"], field.name
    kimg = pq.read_schema(study.path / "curves.parquet").field("kimg")
    assert kimg.metadata[b"unit"] == b"thousands"


def test_the_files_hold_what_was_returned(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    for name, frame in tables(study).items():
        read = pd.read_parquet(study.path / f"{name}.parquet")
        pd.testing.assert_frame_equal(read.convert_dtypes(), frame.convert_dtypes())


def test_every_number_is_finite_or_missing(add: Add, study: StudyFolder) -> None:
    every_fate(add)
    for frame in tables(study).values():
        for column in frame.select_dtypes("number"):
            assert all(math.isfinite(value) for value in frame[column].dropna())
    assert tables(study)["trials"]["objective"].notna().tolist() == [True, True, True] + [False] * 4


def test_spaces_of_two_datasets_share_a_table(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.6], [1.0, 0.7]), ended("completed"))
    add("b-00000", rows([30.0], [30.0], dataset="digits"), ended("pruned"), dataset="digits", metric="fd")
    trials = tables(study)["trials"]
    assert {"w1", "fd"} <= set(trials.columns)
    assert trials["w1"].isna().tolist() == [False, True]
    assert trials["fd"].isna().tolist() == [True, False]


def test_tables_rebuilt_from_the_folders_are_equal(add: Add, study: StudyFolder) -> None:
    """One trial at a time, in any order, as a running study adds them; then all at once."""
    every_fate(add)
    growing = Results(study)
    for trial_id in ("b-00001", "a-00002", "b-00003", "a-00000", "b-00000", "b-00002", "a-00001"):
        growing.add(trial_id)
        growing.write()
    before = {name: (study.path / f"{name}.parquet").read_bytes() for name in TABLES}
    for name in TABLES:
        (study.path / f"{name}.parquet").unlink()
    tables(study)
    assert {name: (study.path / f"{name}.parquet").read_bytes() for name in TABLES} == before


def test_a_study_that_was_moved_keeps_its_trials(add: Add, study: StudyFolder, tmp_path: Path) -> None:
    every_fate(add)
    shutil.move(study.path, tmp_path / "elsewhere")
    moved = tables(StudyFolder(tmp_path / "elsewhere"))
    assert len(moved["trials"]) == 7


def test_a_curve_that_is_cut_short_is_told(add: Add, study: StudyFolder) -> None:
    folder = add("a-00000", rows([1.0, 0.5, 0.4]), ended("completed"), seeds=(0,))
    curves = folder.path / "curves.jsonl"
    curves.write_text("".join(curves.read_text().splitlines(keepends=True)[:2]))
    results = Results(study)
    results.add_all(include_unfinished=True)
    assert results.trial_row("a-00000")["ended_by"] == "unreadable"
    assert "its curve ends at kimg 1.0, its marker says 2.0" in results.problems[0]


def test_a_curve_whose_last_line_is_torn_is_told(add: Add, study: StudyFolder) -> None:
    folder = add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.6, 0.5]), ended("completed"))
    curves = folder.path / "curves.jsonl"
    curves.write_text(curves.read_text()[:-40])
    results = Results(study)
    results.add_all(include_unfinished=True)
    assert results.trial_row("a-00000")["ended_by"] == "unreadable"
    assert "its curve ends with seed 0: those after it were cut off" in results.problems[0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda known: [*known, *known],
        lambda known: [known[0], *known[2:]],
        lambda known: [known[1], known[0], *known[2:]],
        lambda known: [{**row, "seed": row["seed"] + 1} for row in known],
        lambda known: [{**row, "evaluation": row["evaluation"] - 1} for row in known],
    ],
)
def test_a_curve_that_is_not_of_its_plans_seeds_is_told(
    study: StudyFolder, add: Add, wrong: Callable[[list[Row]], list[Row]]
) -> None:
    add("a-00000", wrong(rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6])), ended("completed"))
    results = Results(study)
    results.add_all(include_unfinished=True)
    assert results.trial_row("a-00000")["ended_by"] == "unreadable"
    assert "does not follow: seed" in results.problems[0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("score", "good"),
        ("reason", 7),
        ("critic_updates", [1]),
        ("mode_counts", "3"),
        ("mode_counts", [0.5]),
        ("diverged", 1),
        ("w1", True),
        ("kimg", None),
        ("generator_updates", None),
        ("score", math.nan),
        ("score", 10**400),
        ("critic_updates", 2**63),
    ],
)
def test_a_value_of_the_wrong_type_is_told(column: str, value: object) -> None:
    schema.check_row(row(0, 1, 0.5), written=True)
    with pytest.raises(ValueError, match=rf"^{column}\b"):
        schema.check_row({**row(0, 1, 0.5), column: value}, written=False)


def test_a_row_has_declared_columns_only_and_may_know_none_of_its_metrics() -> None:
    schema.check_row(
        {k: v for k, v in row(0, 1, 0.5).items() if not k.startswith(tuple(METRICS))}, written=True
    )
    with pytest.raises(ValueError, match="no column is declared for fid"):
        schema.check_row({**row(0, 1, 0.5), "fid": 1.0}, written=True)
    schema.check_row({**row(0, 1, 0.5), "fid": 1.0}, written=False)  # of somebody's who isn't here
