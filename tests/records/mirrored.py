"""Studies with a mirror, and what is in it."""

from pathlib import Path

import pytest

from study.records.mirror import Mirror
from study.records.remote_folder import RemoteFolder
from study.records.study_folder import StudyFolder


def copied(url: str) -> dict[str, bytes]:
    """What a URL has, but for what is hidden."""
    remote = RemoteFolder(url)
    return {name: remote.read(name) for name in remote.sizes() if not name.startswith(".")}


def to_copy(study: StudyFolder) -> dict[str, bytes]:
    """What it ought to have: all files that are the study's own."""
    files = {str(path.relative_to(study.path)): path for path in study.path.rglob("*") if path.is_file()}
    others = (".", "wandb/", "optuna.journal.lock")
    return {
        name: path.read_bytes()
        for name, path in files.items()
        if not name.startswith(others) and not path.name.startswith(".")
    }


def mirror(study: StudyFolder, url: str, patience: float = 20.0) -> list[str]:
    """Copy a study; the lines that were said."""
    said: list[str] = []
    Mirror(url, study, said.append).close(patience)
    return said


def log_writes(patch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """What is written to any remote folder from now on."""
    written: list[tuple[str, bytes]] = []
    write = RemoteFolder.write

    def logged(remote: RemoteFolder, name: str, content: bytes) -> None:
        write(remote, name, content)
        written.append((name, content))

    patch.setattr(RemoteFolder, "write", logged)
    return written


def put(folder: Path, content: dict[str, bytes]) -> None:
    """Write files by their names."""
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
