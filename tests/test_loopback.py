"""A study on this machine is nobody else's business: its processes listen on the loopback address alone."""

import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import Start, alive, descendants, wait_for, wait_until_held
from tests.studies import TINY, small

LISTENS = "0A"  # of the states in /proc/net/tcp
# As the kernel writes them: 127.0.0.1, ::1, and 127.0.0.1 as an IPv6 address.
LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}


def sockets(pid: int) -> set[str]:
    """Inodes of a process's sockets."""
    try:
        links = [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:  # it has ended, or closed one
        return set()
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def addresses(pids: set[int]) -> dict[int, set[str]]:
    """Those at which each process listens, in hexadecimal; processes that listen nowhere are left out."""
    at = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENS:
                at[inode] = local.partition(":")[0]
    found = {pid: {at[inode] for inode in sockets(pid) & at.keys()} for pid in pids}
    return {pid: listened for pid, listened in found.items() if listened}


@pytest.mark.study
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_study_on_this_machine_listens_on_the_loopback_address_alone(start: Start, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small()))
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "small-00000").touch()
    budget = ["--kimg", "4", "--eval-kimg", "0.5", "--trials", "1", "--concurrency", "1"]
    command = start("--space", "small.yaml", *TINY, *budget, gate=tmp_path / "gate")
    wait_until_held(command, 1)
    pid = command.process.pid
    found: dict[int, set[str]] = {}

    def all_listen() -> bool:  # the driver, GCS, raylet and the worker
        found.update(addresses(alive({pid, *descendants(pid)})))
        return len(found) >= 4

    wait_for(all_listen)
    assert pid in found
    assert set().union(*found.values()) <= LOOPBACK
