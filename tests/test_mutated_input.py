"""Study folders and spaces as other people may hand them over: each is read, or refused in one sentence.

MUTATIONS=2000 in the environment tries so many instead of a few; MUTATIONS_FROM is the first one's number.
"""

import math
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from study import results, tune
from study.errors import MOST_PRINTED, UserError, sentence
from study.plan import StudyPlan, TrialPlan, trial_number
from study.records.study_folder import StudyFolder
from study.runner import run
from study.runner.bookkeeper import Bookkeeper, QueueSearcher
from study.runner.workplace import Home
from study.space import read_space
from tests import mutations
from tests.records.written import every_fate, tables, write_floor
from tests.studies import small, study_plan

FIRST = int(os.environ.get("MUTATIONS_FROM", "0"))
NUMBERS = range(FIRST, FIRST + int(os.environ.get("MUTATIONS", "80")))
SECONDS = 5.0
SPACES = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.yaml"))


class TooLongError(BaseException):
    """What no handler of errors takes for its own."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """TooLongError after so many seconds, also for who waits for a pipe."""

    def end(*_: object) -> NoReturn:
        raise TooLongError(f"it took more than {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def refused(command: Callable[[], Any]) -> bool:
    """Whether it ends in a UserError, which is one sentence; every other exception is a fault."""
    with limited(SECONDS):
        try:
            command()
        except UserError as error:
            said = sentence(error)
            assert 20 < len(said) <= MOST_PRINTED
            assert "\n" not in said
            assert "Traceback" not in said
            return True
    return False


def everything(folder: Path) -> dict[str, bytes | str]:
    """Each path below a folder, with its content or its kind; locks are left out."""
    found: dict[str, bytes | str] = {}
    for at, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(at, name)
            if path.is_symlink():
                found[str(path)] = f"link to {path.readlink()}"
            elif path.is_file() and not name.endswith(".lock"):
                found[str(path)] = path.read_bytes()
            else:
                found[str(path)] = "other"
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with trials of every fate, its tables and its journal."""
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        place = tmp_path_factory.mktemp("whole")
        study = StudyFolder(place / "results" / "mine")
        study.create(plan(), ["python", "-m", "study.tune", "--space", "a", "b"], {"cpus": 2, "gpus": []})
        write_floor(study)
        fixed = {"model": "wgan_gp", "width": 8, "batch_size": 32, "n_critic": 1}

        def add(trial_id: str, history: list[Any], ending: Any = None) -> Any:
            space = trial_id.rpartition("-")[0]
            folder = study.trial(trial_id)
            folder.create(plan().trial(space, trial_number(trial_id), {**fixed, "lr_g": 3e-4, "lr_d": 3e-4}))
            folder.append(history)
            if ending:
                folder.finish(ending)
            return folder

        every_fate(add)
        tables(study)
        (study.path / "trials" / "b-00003" / "config.json").unlink()
        assert tune.main(["--resume", str(study.path)]) in (0, 1, 130)
    assert study.journal.is_file()
    return place


def plan() -> StudyPlan:
    return study_plan(spaces={"a": small(), "b": small()}, trials=4, seed=3, kimg=2.0, eval_kimg=1.0)


def without_ray(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(run, "_ray", lambda *_: None)
    patch.setattr(run, "Watch", lambda *_: nullcontext())
    patch.setattr(run, "_tune", as_ray_would)


def as_ray_would(plan: StudyPlan, _: StudyFolder, __: Any, bookkeeper: Bookkeeper, ___: int) -> None:
    """In place of Ray: whoever is next is asked for, and nobody trains."""
    list(bookkeeper.past())
    searcher = QueueSearcher(bookkeeper, Home(""), 1, "cpu")
    while isinstance(asked := searcher.suggest(""), dict):
        TrialPlan.from_dict(asked["plan"])
    del plan


@pytest.mark.parametrize("number", NUMBERS)
def test_a_mutated_study_is_read_or_refused_in_one_sentence(
    number: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    chance = random.Random(number)
    place = tmp_path / "place"
    shutil.copytree(whole, place)
    (place / "outside").mkdir()
    (place / "outside" / "file").write_text("{}")
    folder = place / "results" / "mine"
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        mutate(folder, chance)
    before = everything(place)

    rebuild = lambda: results.main([str(folder)])  # noqa: E731
    resume = lambda: tune.main(["--resume", str(folder)])  # noqa: E731
    for command in chance.sample([rebuild, resume], 2):
        if refused(command):
            assert everything(place) == before
        before = everything(place)
    inside = str(folder)
    assert {p: c for p, c in everything(place).items() if not p.startswith(inside)} == {
        p: c for p, c in before.items() if not p.startswith(inside)
    }
    assert (place / "outside" / "file").read_text() == "{}"
    assert sorted(path.name for path in place.iterdir()) == ["outside", "results"]
    assert sorted(path.name for path in (place / "results").iterdir()) == ["mine"]


def mutate(folder: Path, chance: random.Random) -> None:
    if chance.random() < 0.1:
        return mutations.mutate_a_trial(folder / "trials", chance)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    path = chance.choice([path for path in files if "trials/" not in str(path) or chance.random() < 0.3])
    how = list(mutations.ANY_FILE)
    if path.suffix in (".json", ".jsonl", ".journal") or path.name.isupper():
        how += mutations.TEXT
    if path.suffix in (".json", ".jsonl") or path.name.isupper():
        how += [mutations.swap_a_value] * 2 * len(how)
    with_damage = chance.choice(how)
    try:
        with_damage(path, chance)
    except (ValueError, TypeError, IndexError, RecursionError):  # it is no JSON any more, or a deep one
        mutations.flip(path, chance)
    return None


@pytest.mark.parametrize("number", NUMBERS)
def test_a_mutated_space_is_read_or_refused_in_one_sentence(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tune, "_run", lambda *_: 0)
    chance = random.Random(number)
    (tmp_path / "outside").mkdir()
    path = tmp_path / chance.choice(["mine.yaml", "a b.yaml", "..x.yaml", f"{'x' * 245}.yaml", "é\n.yaml"])
    known = chance.choice([*SPACES, None])
    path.write_text(yaml.safe_dump(small()) if known is None else known.read_text())
    how = [*mutations.ANY_FILE, *mutations.TEXT, mutations.bomb]
    how += [mutations.write_a_word, *[mutations.swap_a_value_of_a_space] * 5] * len(how)
    for _ in range(chance.choice([1, 1, 2, 4])):
        with_damage = chance.choice(how)
        try:
            with_damage(path, chance)
        except (ValueError, IndexError, TypeError, RecursionError):  # it is no text, or YAML, any more
            break
        if path.is_symlink() or not path.is_file():
            break
    before = everything(tmp_path)
    if not refused(lambda: read_space(path)):
        space = read_space(path)
        assert math.isfinite(space.eta)
        space.largest(), space.middle(), space.default("ring8")
        refused(space.grid)
    more = ["--dataset", "ring8", "--wandb", "disabled", "--name", "made"]
    more += chance.choice([[], ["--sampler", "grid"], ["--map"], ["--scheduler", "hyperband"]])
    if refused(lambda: tune.main(["--space", str(path), *more])):
        assert everything(tmp_path) == before
    else:
        StudyFolder(tmp_path / "results" / "made").plan()
