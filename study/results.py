"""Rebuild a study's tables from its trial folders.

python -m study.results results/<study>
"""

if __name__ == "__main__":  # before all that takes its time to be imported
    from study.signals import end_at_once

    end_at_once()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from study.command import Parser, run_command
from study.errors import UserError
from study.records.spool import SpoolError
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from study.signals import raise_interrupt


def parser() -> argparse.ArgumentParser:
    """The command line of study.results."""
    p = Parser(
        prog="python -m study.results",
        description="Rebuild a study's tables from its trial folders.",
        examples=("python -m study.results results/<study>", "python -m study.results results/train"),
    )
    p.add_argument("folder", type=Path, help="the study's folder, results/<study>")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild the tables; trials that can't be read are named on stderr and kept as failed."""
    options: Any = parser().parse_args(arguments)
    folder = StudyFolder(options.folder)
    if not folder.path.is_dir():
        raise UserError(f"{folder.path} is not a folder")
    if not (folder.path / "study.json").is_file() and not any(folder.trials()):
        raise UserError(f"{folder.path} is not a study folder: it has neither study.json nor trials")
    if not any(folder.trials()) and folder.has_rows():
        raise UserError(f"{folder.path} has no trial folders: its tables are left as they are")
    try:
        results = Results(folder)
        results.add_all(include_unfinished=not folder.is_running())
    except SpoolError as error:
        raise UserError(str(error)) from error
    for name in TABLES:
        if (folder.path / f"{name}.parquet").is_dir():
            raise UserError(f"{folder.path / name}.parquet is a folder: no table is written")
    raise_interrupt()
    try:
        results.write()
    except OSError as error:
        raise UserError(f"{folder.path} can't be written: {error.strerror}") from error
    for problem in results.problems:
        print(problem, file=sys.stderr)
    for name in results.missing():
        print(f"{name}: no folder is there any more, nor a row in the tables", file=sys.stderr)
    trials = results.table("trials")
    print(f"{folder.path}: {len(trials)} trials", end="")
    print("".join(f", {n} {state}" for state, n in trials["state"].value_counts().items()))
    for name in TABLES:
        written = pq.read_metadata(folder.path / f"{name}.parquet")
        print(f"  {name}.parquet: {written.num_rows} rows, {written.num_columns} columns")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
