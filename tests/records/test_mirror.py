"""A mirror never stops a study: what it can't copy now it copies later, and says so once.

How long an outage is: GAN_STUDY_OUTAGE seconds.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.records import mirror as mirror_module
from study.records import remote_folder, study_copy
from study.records.mirror import Mirror
from study.records.study_folder import StudyFolder
from tests.records.mirrored import copied, log_writes, mirror, put, to_copy
from tests.records.written import Add, ended, rows, tables
from tests.s3 import Proxy

OUTAGE = float(os.environ.get("GAN_STUDY_OUTAGE", "3"))
ROOT = Path(__file__).parents[2]
FAULTS = ["refused", "silent", "cut"]
CURVE = rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that is less patient."""
    monkeypatch.setattr(mirror_module, "PAUSES", (0.1, 0.5))
    monkeypatch.setattr(remote_folder, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(remote_folder, "SILENT_SECONDS", 1.0)


def go_on(study: StudyFolder, add: Add, found: Mirror, seconds: float) -> int:
    """A study that ends a trial every fifth of a second; returns how many. It waits for nobody."""
    begin = number = len(study.trial_ids())
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        name = f"a-{number:05d}"
        put(add(name, CURVE, ended("completed")).path, {"checkpoint/pack.pt": os.urandom(100_000)})
        tables(study)
        asked = time.monotonic()
        found.trial(name)
        found.study()
        assert time.monotonic() - asked < 0.1
        number += 1
        time.sleep(0.2)
    return number - begin


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_study_outlasts_an_outage_of_its_bucket(
    fault: str, study: StudyFolder, add: Add, proxy: Proxy, bucket: str
) -> None:
    said: list[str] = []
    found = Mirror(bucket, study, said.append)
    go_on(study, add, found, 0.5)
    proxy.be(fault)
    assert go_on(study, add, found, OUTAGE) > OUTAGE
    proxy.be("")
    go_on(study, add, found, 0.5)
    found.close(30)
    assert copied(bucket) == to_copy(study)
    assert max(map(len, said)) <= 140
    waiting = "mirror: waiting for the last files to be there (Ctrl-C: not to wait) ..."
    begin, *problem, end = (line for line in said if line != waiting)
    assert begin == (
        f"mirror: {bucket} gets each trial's evaluations, and the study's own files with its tables"
    )
    assert end == "mirror: complete"
    if problem or fault != "silent":  # a single failure is not told, and silence is noticed late
        told, over = problem
        assert told.startswith("mirror: can't be written (NETWORK_CONNECTION: ")
        assert told.endswith("); the study goes on, and it is tried again")
        assert over == "mirror: has caught up"


@pytest.mark.usefixtures("quick")
def test_a_slow_bucket_gets_the_newest_of_each_trial(
    study: StudyFolder, add: Add, proxy: Proxy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.be("slow")
    written = log_writes(monkeypatch)
    trial = add("a-00000", [])
    found = Mirror(bucket, study, lambda _: None)
    for number in range(40):
        put(trial.path, {"checkpoint/pack.pt": b"%d" % number})
        found.trial("a-00000")
        time.sleep(0.03)
    found.close(30)
    assert 1 <= sum(name.endswith("pack.pt") for name, _ in written) < 10
    assert copied(bucket) == to_copy(study)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_there_in_the_end_is_said_and_sent_by_the_next(
    fault: str, study: StudyFolder, add: Add, proxy: Proxy, bucket: str
) -> None:
    said: list[str] = []
    found = Mirror(bucket, study, said.append)
    found.close(10)
    found = Mirror(bucket, study, said.append)
    proxy.be(fault)
    add("a-00000", CURVE, ended("completed"))
    found.trial("a-00000")
    began = time.monotonic()
    found.close(2.5)
    assert 2 < time.monotonic() - began < 6
    assert said[-1].startswith("mirror: not complete (NETWORK_CONNECTION: ")
    assert said[-1].endswith(": --resume sends the rest, of 1 trial")
    proxy.be("")
    assert mirror(study, bucket)[-1] == "mirror: complete"
    assert copied(bucket) == to_copy(study)


@pytest.mark.usefixtures("quick")
def test_a_trial_that_cant_be_read_keeps_no_other_back(
    study: StudyFolder, add: Add, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-00000", "a-00001"):
        add(name, CURVE, ended("completed"))
    tables(study)
    study.journal.write_bytes(b"a-00000 a-00001\n")
    read = study_copy._read

    def may_not(path: Path) -> study_copy.Snapshot | None:
        if path == study.trial("a-00000").path / "DONE":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(study_copy, "_read", may_not)
    said = mirror(study, bucket, patience=2)
    assert said[1] == (
        "mirror: can't be written ([Errno 13] Permission denied); the study goes on, and it is tried again"
    )
    assert said[-1].startswith("mirror: not complete ([Errno 13] Permission denied): ")
    # Nor is the journal there: it tells of the trial's end.
    assert to_copy(study).keys() - copied(bucket).keys() == {"trials/a-00000/DONE", "optuna.journal"}


PROGRAM = """
import sys, time
from pathlib import Path
from study.records.mirror import Mirror
from study.records.study_folder import StudyFolder
mirror = Mirror(sys.argv[1], StudyFolder(Path(sys.argv[2])), print)
time.sleep(1)
if sys.argv[3] == "closed":
    mirror.close(1.0)
"""


@pytest.mark.parametrize("how", ["closed", "not closed"])
@pytest.mark.parametrize("fault", ["refused", "silent"])
def test_a_process_ends_in_an_outage(
    fault: str, how: str, study: StudyFolder, proxy: Proxy, bucket: str
) -> None:
    proxy.be(fault)
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, bucket, str(study.path), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert time.monotonic() - began < 40
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.usefixtures("quick")
def test_a_journal_that_cant_be_read_for_a_moment_is_copied_later(
    study: StudyFolder, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("a-00000", CURVE, ended("completed"))
    study.journal.write_bytes(b"a-00000\n")
    read, failures = study_copy._read, 2

    def at_first_not(path: Path) -> study_copy.Snapshot | None:
        nonlocal failures
        if path == study.journal and failures:
            failures -= 1
            raise OSError(24, "Too many open files")
        return read(path)

    monkeypatch.setattr(study_copy, "_read", at_first_not)
    url = (tmp_path / "mirror").as_uri()
    assert mirror(study, url)[-1] == "mirror: complete"
    assert copied(url) == to_copy(study)
