"""A study that was copied to a URL: found, told from another, and made a folder of again."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from study.errors import UserError
from study.plan import StudyPlan
from study.records.remote_folder import RemoteFolder, refused
from study.records.study_copy import PLAN, TRIALS
from study.records.study_folder import StudyFolder
from study.records.travel import is_hidden

AT_A_TIME = 16  # files that are fetched
WAITING = 1000  # files that are asked for: of all at once the list would be large
ATTEMPTS = 3  # at a request: nobody tries again
TRIED = ".mirror"  # written first, to find out whether that can be done


def check_mirror(url: str, folder: StudyFolder, own: Mapping[str, Any] | None, *, may_begin: bool) -> None:
    """Find out, by writing a small file, whether a study can be copied to a URL.

    Args:
        own: the study's record, of one that exists already.
        may_begin: whether the copy may begin there, where there is none yet.

    Raises:
        UserError: it can't be written, or holds another study.
    """
    remote = RemoteFolder(url, ATTEMPTS)
    if remote.is_within(folder.path):
        raise UserError(f"{url} is in the study's own folder: a copy belongs elsewhere")
    with refused(url):
        try:
            held = json.loads(remote.read(PLAN))
        except FileNotFoundError:
            held = None
    if held is None and not may_begin:
        raise UserError(f"{url} has no copy of {folder.path}: to begin one, name it with --mirror")
    if held is not None and (own is None or _identity(held) != _identity(own)):
        raise UserError(f"{url} holds another study: --resume {url} continues that, or choose another URL")
    with refused(url):
        remote.write(TRIED, f"Here study.tune --mirror keeps a copy of {folder.name}.\n".encode())


def read_copy(url: str) -> tuple[dict[str, Any], StudyPlan]:
    """study.json of the study that was copied to a URL, and its plan. Raises UserError."""
    remote = RemoteFolder(url, ATTEMPTS)
    with TemporaryDirectory() as temporary, refused(url):
        try:
            remote.download(PLAN, Path(temporary) / PLAN)
        except FileNotFoundError as error:
            raise UserError(f"{url} is not a study's copy: it has no {PLAN}") from error
        folder = StudyFolder(Path(temporary))
        try:
            return folder.read(), folder.plan()
        except UserError as error:
            raise UserError(str(error).replace(temporary, url)) from error


def fetch(url: str, path: Path) -> StudyFolder:
    """Make a study's folder of its copy, whole or not at all. Raises UserError."""
    remote = RemoteFolder(url, ATTEMPTS)
    with refused(url, "fetched"):
        names = [name for name in remote.sizes() if not is_hidden(name)]
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".fetched-", dir=path.parent) as temporary:
            folder = Path(temporary) / path.name
            (folder / TRIALS).mkdir(parents=True)
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                for start in range(0, len(names), WAITING):
                    some = names[start : start + WAITING]
                    list(pool.map(lambda name: remote.download(name, folder / name), some))
            folder.rename(path)
    return StudyFolder(path)


def _identity(record: Any) -> tuple[Any, Any]:
    """What tells one study's record from another's: its name and when it began."""
    plan = record.get("plan") if isinstance(record, dict) else None
    return (plan.get("name"), record.get("started")) if isinstance(plan, dict) else (None, None)
