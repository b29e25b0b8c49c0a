"""A study that loses a process of every kind, again and again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pandas as pd
import yaml

from study.records.schema import TIMED
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES
from tests.commands import descendants, end_all
from tests.studies import TINY, check_books, small, states, table

KINDS = ("driver", "worker", "raylet", "gcs_server", "worker")
TRIALS, EVALUATIONS = 6, 9
SPACE = ["--space", "small.yaml", *TINY, "--sampler", "random", "--scheduler", "fifo"]
SIZE = ["--trials", str(TRIALS), "--kimg", "24", "--eval-kimg", "3", "--concurrency", "2", "--retries", "100"]
SECONDS = (1.0, 20.0)  # from a start, or the last kill, to the next
ONE_STUDY = 600.0


class Chaos:
    """Studies in a folder, all of the same plan but for their names and packs."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        (folder / "small.yaml").write_text(yaml.safe_dump(small()))
        self._number = 0
        self._undisturbed = self.tables(self.run("undisturbed", "trial", [])[0])

    def study(self, pack: str, kills: int) -> tuple[int, str]:
        """Run one and kill so many of its processes; how many it were, and what happened, in words.

        Raises AssertionError: a trial was lost, doubled or failed, or the tables are others than those of the
        undisturbed study (packs of several trials: as often as not to the bit, so there the plans alone).
        """
        self._number += 1
        name, began = f"chaos-{self._number}", time.monotonic()
        planned = self.random.sample(KINDS, kills)
        study, done = self.run(name, pack, planned)
        check_books(study, {"small": TRIALS}, evaluations=EVALUATIONS)
        assert set(states(study).values()) == {"completed"}, states(study)
        if pack == "trial":
            for table_name, found in self.tables(study).items():
                pd.testing.assert_frame_equal(found, self._undisturbed[table_name])
        killed = ", ".join(f"{number} x {kind}" for kind, number in Counter(done).items())
        what = f"{len(done)} of {kills} killed ({killed})"
        return len(done), f"{name}, pack {pack}: {what}; whole after {time.monotonic() - began:.0f} s"

    def run(self, name: str, pack: str, planned: list[str]) -> tuple[StudyFolder, list[str]]:
        """A study that is started, and resumed after it has ended too early, until it is whole.

        Returns also what was killed: all that was planned, unless the study ended before.
        """
        arguments = [*SPACE, *SIZE, "--pack", pack, "--name", name]
        limit, killed = time.monotonic() + ONE_STUDY, list[str]()
        while True:
            assert time.monotonic() < limit, f"{name} does not come to its end"
            with (self.folder / "err.txt").open("ab") as err:
                process = subprocess.Popen(
                    [sys.executable, "-m", "study.tune", *arguments],
                    cwd=self.folder,
                    stdout=subprocess.DEVNULL,
                    stderr=err,
                    start_new_session=True,
                )
            try:
                while len(killed) < len(planned) and self._waited(process):
                    if self._kill(process, kind := planned[len(killed)]):
                        killed.append(kind)
                status = process.wait(max(1.0, limit - time.monotonic()))
            finally:
                if process.poll() is None:
                    end_all({process.pid, *descendants(process.pid)})
                    process.wait()
            if status == 0:
                return StudyFolder(self.folder / "results" / name), killed
            assert status in (1, -signal.SIGKILL), (status, (self.folder / "err.txt").read_text())
            if (self.folder / "results" / name / "study.json").exists():
                arguments = ["--resume", f"results/{name}"]

    def _waited(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether it still runs, after a while."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(self.random.uniform(*SECONDS))
            return False
        return True

    def _kill(self, process: "subprocess.Popen[bytes]", kind: str) -> bool:
        """Whether there was one of that kind to kill."""
        if kind == "driver":
            process.kill()
            return True
        found = [pid for pid in descendants(process.pid) if _is(pid, kind)]
        if found:
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(found), signal.SIGKILL)
        return bool(found)

    @staticmethod
    def tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
        """Without what tells of time, place and name."""
        tables = {name: table(study, name) for name in TABLES}
        return {
            name: known.drop(columns=[c for c in known.columns if c in TIMED or c == "study"])
            for name, known in tables.items()
        }


def _is(pid: int, kind: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return False
    if kind == "worker":
        return b"Trainable" in command or b"PackWorker" in command
    return name == kind
