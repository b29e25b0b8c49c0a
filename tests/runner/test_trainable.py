"""A trial that asks a pack worker: what it makes of the loss of that."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError, RayTaskError

from study.records.schema import CLOCKS
from study.records.trial_folder import RUNNING
from study.runner import trainable
from study.runner.trainable import TrialTrainable
from study.runner.workplace import Home
from study.trial.evaluation import Evaluation, NotHereError, SharedFaultError


def evaluation(number: int, state: str) -> tuple[Evaluation, dict[str, float], float]:
    rows = [{"kimg": 0.0, "diverged": False, **{column.name: 0 for column in CLOCKS}}]
    return Evaluation(number, 0.0, rows, 0.0, 0.0, state, "", None), {}, 0.0


def told(error: Exception) -> Exception:
    """An error of a worker's, as Ray tells it."""
    return RayTaskError("next", "", error, "a process", 1, "127.0.0.1").as_instanceof_cause()


class Worker:
    """Answers as it is told; remembers who was to be alone."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.alone = list(answers), list[bool]()
        self.begin = SimpleNamespace(remote=lambda _, alone: lambda: self.alone.append(alone))
        self.next = SimpleNamespace(remote=lambda _: self._next)
        self.drop = SimpleNamespace(remote=lambda _: lambda: None)

    def _next(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrialTrainable]:
    def make(worker: Worker, *, alone: bool = False) -> TrialTrainable:
        known = SimpleNamespace(get=lambda answer: answer(), get_actor=lambda _: worker)
        monkeypatch.setattr(trainable, "ray", known)
        found = object.__new__(TrialTrainable)
        found.config = {
            "home": Home("/nowhere"),
            "plugins": [],
            "plan": {"trial_id": "a-00000"},
            "worker": "pack-0",
            "alone": alone,
        }
        found.setup(found.config)
        return found

    return make


LOST = [ActorUnavailableError("gone", None), told(NotHereError("a-00000 is not here"))]
FAULTS = [*LOST, told(SharedFaultError("of whom?"))]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_what_may_be_anothers_fault_is_no_loss_of_the_trials(
    error: Exception, asking: Callable[..., TrialTrainable]
) -> None:
    worker = Worker(evaluation(0, RUNNING), error, evaluation(1, "completed"))
    trial = asking(worker)
    assert trial.step()["state"] == RUNNING
    last = trial.step()
    assert last["state"] == "completed"
    assert last["news"][-1].startswith("its pack's ")
    assert worker.alone == [False, True]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_what_happens_to_one_that_is_alone_is_its_own_loss(
    error: Exception, asking: Callable[..., TrialTrainable]
) -> None:
    trial = asking(Worker(evaluation(0, RUNNING), error), alone=True)
    trial.step()
    with pytest.raises(type(error)):
        trial.step()
