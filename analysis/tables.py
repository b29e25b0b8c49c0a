"""The tables of a study, finished or running, one space at a time.

for results in load(Path("results/mine")):
    results.trials  # its rows of trials.parquet
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from analysis.statistics.axes import ordered
from study.errors import UserError
from study.metrics import METRICS
from study.metrics.failure import DIVERGED
from study.metrics.judge.floor import Spread, floors
from study.metrics.stability import aggregate
from study.plan import StudyPlan
from study.records.schema import TABLES
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.seeds import derive_seed
from study.space import Space, parse_space

FATES = ("completed", "pruned", "diverged")  # of a trial that has runs


@dataclass(frozen=True, eq=False)
class SpaceResults:
    """What a study has found so far in one of its spaces.

    Attributes:
        label: the space's name, with the study's before it where several studies are looked at.
        record: study.json.
        trials, runs, curves: its rows of the tables.
        floor: what real data score in each metric, as far as the study knows.
    """

    label: str
    folder: Path
    record: Mapping[str, Any]
    plan: StudyPlan
    space: Space
    trials: pd.DataFrame
    runs: pd.DataFrame
    curves: pd.DataFrame
    floor: Mapping[str, Spread]

    @property
    def metric(self) -> str:
        return self.plan.metric

    @property
    def higher_is_better(self) -> bool:
        return METRICS[self.metric].higher_is_better

    @property
    def sign(self) -> int:
        """Times the metric: lower is better."""
        return -1 if self.higher_is_better else 1

    @property
    def real(self) -> float | None:
        """What real data score in the metric, where the study knows."""
        return self.floor[self.metric]["mean"] if self.metric in self.floor else None

    @property
    def scheduler(self) -> str:
        """What stops its trials early; 'fifo' where nothing does."""
        return self.plan.schedulers[self.space.name]

    @property
    def sampler(self) -> str:
        """What proposes its trials; 'tpe' alone learns from those before."""
        return self.plan.samplers[self.space.name]

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return int((self.trials["state"] != "interrupted").sum())

    @property
    def stopped(self) -> bool:
        """Whether some trial was stopped early."""
        return bool((self.trials["state"] == "pruned").any())

    @property
    def maps(self) -> bool:
        """Whether the study was made to map the space, and not to find its best (`StudyPlan.maps`)."""
        return self.plan.maps(self.space.name)

    @cached_property
    def completed(self) -> pd.DataFrame:
        """Trials that were trained to their budget, the best first."""
        rows = self.trials[(self.trials["state"] == "completed") & self.trials["objective"].notna()]
        return rows.sort_values("objective", ascending=not self.higher_is_better, kind="stable")

    @property
    def best(self) -> str | None:
        """The best completed trial."""
        return None if self.completed.empty else str(self.completed["trial_id"].iloc[0])

    @property
    def default(self) -> str | None:
        """The trial with the paper's default."""
        own = self.trials.loc[self.trials["origin"] == "default", "trial_id"]
        return None if own.empty else str(own.iloc[0])

    def curves_of(self, trial_id: str) -> pd.DataFrame:
        """The rows of one trial's curves."""
        return self.curves[self.curves["trial_id"] == trial_id]

    def scores(self, kimg: float) -> pd.DataFrame:
        """The seeds' scores at the evaluation due at `kimg`: (trials, seeds), of trials that all seeds have.

        A seed that diverged before it keeps its price.
        """
        curves, runs, columns = self.curves, self.runs, ["trial_id", "seed", "score"]
        at = curves.loc[np.isclose(curves["kimg_planned"].astype(float), kimg), columns]
        fallen = runs.loc[runs["end"].eq(DIVERGED) & runs["diverged_at_kimg"].le(kimg), columns]
        known = pd.concat([at, fallen]).drop_duplicates(["trial_id", "seed"])
        wide = known.pivot(index="trial_id", columns="seed", values="score").dropna().astype(float)
        return wide if wide.shape[1] == self.plan.seeds else wide.iloc[:0]

    def objectives(self, kimg: float) -> pd.Series:
        """Each trial's objective at the evaluation due at `kimg`; none of those stopped before."""
        wide = self.scores(kimg)
        if self.plan.aggregate == "mean":
            return wide.mean(axis=1)
        how, higher = self.plan.aggregate, self.higher_is_better
        return wide.apply(lambda row: aggregate(row.tolist(), how, higher), axis=1)

    def stream(self, purpose: str) -> np.random.Generator:
        """The random stream of a statistic: the same each time that the same table is looked at."""
        return np.random.default_rng(derive_seed(self.plan.seed, purpose, self.space.name))


def load(*folders: Path) -> list[SpaceResults]:
    """The results of each space of each study, in the order given.

    A table is read through one open handle, so that one that is being rewritten is read as it was. Where
    none was written yet, or one can't be read, the tables are made of the trials' folders.

    Raises:
        UserError: a folder is not that of a study, or of one of another version.
    """
    found: list[SpaceResults] = []
    paths = list(dict.fromkeys(path.resolve() for path in folders))
    known = [(StudyFolder(path).read(), StudyFolder(path).plan()) for path in paths]
    names = Counter(plan.name for _, plan in known)
    for path, (record, plan) in zip(paths, known, strict=True):
        folder = StudyFolder(path)
        study = plan.name if names[plan.name] == 1 else _apart(path, paths)  # copies of a study, or namesakes
        tables = _tables(folder)
        floor = floors(folder.judges, plan.dataset, plan.fingerprint.get("sha256", ""))
        for name, document in plan.spaces.items():
            label = name if len(paths) == 1 else f"{study}: {name}"
            space = ordered(parse_space(name, document))
            trials, runs, curves = (tables[table][tables[table]["space"] == name] for table in TABLES)
            # A running study writes one table after the other: of a trial that has no runs yet, nothing.
            begun = trials["trial_id"].isin(runs["trial_id"]) | ~trials["state"].isin(FATES)
            trials = trials[begun]
            runs, curves = (rows[rows["trial_id"].isin(trials["trial_id"])] for rows in (runs, curves))
            found.append(SpaceResults(label, path, record, plan, space, trials, runs, curves, floor))
    return found


def _apart(path: Path, paths: Sequence[Path]) -> str:
    """As much of a path's end as tells it from the others."""
    for parts in range(1, len(path.parts)):
        end = path.parts[-parts:]
        if sum(other.parts[-parts:] == end for other in paths) == 1:
            return "/".join(end)
    return str(path)


def _tables(folder: StudyFolder) -> dict[str, pd.DataFrame]:
    try:
        return {name: _read(folder.path / f"{name}.parquet") for name in TABLES}
    except (OSError, ValueError) as error:  # not there yet, or damaged
        if not (folder.path / "trials").is_dir():
            raise UserError(
                f"a table of {folder.path} is missing or damaged, and no trials are there to make it of: "
                f"{error}"
            ) from error
        results = Results(folder)
        results.add_all(include_unfinished=True)
        return {name: results.table(name) for name in TABLES}


def _read(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:
        return pq.read_table(file).to_pandas()


def comparable(
    results: Sequence[SpaceResults], at_the_end: bool = False
) -> list[tuple[str, list[SpaceResults]]]:
    """Results in groups whose objectives can be compared, each with a suffix for the names of its charts.

    `at_the_end`: by what trials scored at the end of their budget, which must be the same.
    """
    groups: dict[object, list[SpaceResults]] = {}
    for r in results:
        key = r.plan.dataset, r.metric, r.plan.aggregate, r.plan.fingerprint.get("sha256")
        groups.setdefault((*key, r.plan.kimg * at_the_end), []).append(r)
    return [(f"_{number + 1}" if number else "", group) for number, group in enumerate(groups.values())]
