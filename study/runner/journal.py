"""Optuna's journal of a study: opened for its one writer, and made again of the trials' folders.

The folders are the truth. A journal that is missing, can't be read or says other things than they do is set
aside, and a new one is made of what they hold: who was proposed what; how trials ended is told as after any
kill (`Bookkeeper.reconcile`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.errors import UserError
from study.plan import StudyPlan, TrialPlan, trial_id
from study.records.objective import objectives
from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder
from study.runner.search import Search

Searches = dict[str, Search]
Plans = dict[int, TrialPlan | None]


def open_searches(
    plan: StudyPlan, folder: StudyFolder, search_of: Callable[[BaseStorage], Searches]
) -> tuple[Searches, str]:
    """The searches of a study's spaces, and in words what was wrong with their journal; '' if nothing was.

    Args:
        search_of: makes them, by space, from a journal.

    Raises:
        UserError: the journal is no file.
    """
    proposed, unfinished = _proposed(plan, folder)
    path = folder.journal
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is not a file")
    wrong = "missing" if proposed and not path.exists() else ""
    if not wrong:
        try:
            searches = search_of(open_journal(path))
            wrong = _contradiction(searches, proposed, unfinished)
        except Exception as error:  # whatever Optuna makes of what it can't read
            wrong = f"unreadable ({type(error).__name__})"
        if not wrong:
            return searches, ""
    aside = _set_aside(path)
    searches = search_of(open_journal(path))
    for space, plans in proposed.items():
        for number in range(max(plans) + 1):
            if number not in plans:  # its folder is gone: it is proposed, and trained, again
                searches[space].ask()
            elif (own := plans[number]) is not None:
                searches[space].restore(own, _curve(folder.trial(own.trial_id), own))
            else:
                searches[space].give_up()
    kept = f"; the old one is now {aside.name}" if aside else ""
    number = sum(map(len, proposed.values()))
    return searches, f"{path.name} was {wrong}: made again of {number} trial folders{kept}"


def open_journal(path: Path) -> JournalStorage:
    """Open a journal for its one writer, mending what a kill may have left behind.

    The caller holds the study's lock: a lock file of Optuna's is stale, and a last line without
    an end was never finished (Optuna would otherwise write on behind it and lose the file).
    """
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
    return JournalStorage(JournalFileBackend(str(path)))


def _proposed(plan: StudyPlan, folder: StudyFolder) -> tuple[dict[str, Plans], dict[str, set[int]]]:
    """What was proposed as each trial that has a folder, by space and number, and those that have not ended.

    None stands for a plan that can't be read.
    """
    found: dict[str, Plans] = {}
    unfinished: dict[str, set[int]] = {space: set() for space in plan.trials}
    known = set(folder.trial_ids())
    for space, trials in plan.trials.items():
        for number in range(trials):
            if (name := trial_id(space, number)) in known:
                try:
                    own = folder.trial(name).plan()
                except ValueError:
                    own = None
                found.setdefault(space, {})[number] = own
                if folder.trial(name).ending() is None:
                    unfinished[space].add(number)
    return found, unfinished


def _curve(trial: TrialFolder, plan: TrialPlan) -> list[tuple[int, float]]:
    """Objectives by evaluation; none where they can't be read: whoever goes on with the trial says so."""
    try:
        return objectives(plan, trial.rows())
    except (ValueError, KeyError):
        return []


def _contradiction(
    searches: Searches, proposed: Mapping[str, Plans], unfinished: Mapping[str, set[int]]
) -> str:
    """Where the journal and the folders disagree, in words; '' where they don't."""
    for space, plans in proposed.items():
        unlike = searches[space].unlike(plans, unfinished[space])
        if unlike:
            return f"at odds with the trials' folders (first with {trial_id(space, unlike[0])})"
    return ""


def _set_aside(path: Path) -> Path | None:
    """Give a journal another name, and say which."""
    if not path.exists():
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside
