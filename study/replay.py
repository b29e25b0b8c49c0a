"""`study.train --replay`: a trial trains again, from its config.json to where it stopped, and is compared."""

import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.command import OK
from study.errors import UserError, shown, some_of
from study.plan import TrialPlan
from study.records.repetition import ROUNDED_SHARE, ROUNDED_UPDATES, Difference, Recorded
from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder

if TYPE_CHECKING:
    import torch

DIFFERS = 1  # an exit status
Environment = Mapping[str, Any]


def replay(plan: TrialPlan, folder: TrialFolder, threads: int | None) -> int:
    """Train a trial again, printing a line per evaluation, then the outcome; returns the exit status.

    Its folder is only read. `threads`: None for as many as it had.

    Raises UserError: it can't be repeated, or not here.
    """
    try:
        recorded, environments = Recorded(folder.rows(), plan.seeds), folder.environments()
    except (ValueError, OSError) as error:
        raise UserError(f"{folder.path} can't be compared with: {error}") from error
    companions = _companions(plan, folder)
    device = _device(plan, threads)
    ending, last = folder.ending(), recorded.rows[max(recorded.rows)][0]
    print(
        f"{len(plan.seeds)} seeds of {plan.config.model} on {plan.config.dataset}, {device}, "
        f"{plan.precision}, again until kimg {last['kimg']:g} ({ending.state if ending else 'not ended'})"
    )
    if companions:
        print(_tolerance(plan, companions))
    found: dict[int, list[Difference]] = {}
    wrong: list[Difference] = []
    if not folder.judges.exists():
        print(f"{folder.judges} is gone: what judged it is made anew")
    with (
        _temporary(folder) as temporary,
        closing(_again(plan, temporary, device, recorded)) as evaluations,
    ):
        for evaluation, differences in evaluations:
            found[evaluation] = differences
            print(f"kimg {recorded.rows[evaluation][0]['kimg']:9.2f}  {_in_short(differences)}", flush=True)
            updates = recorded.updates(evaluation)
            wrong = [
                d for d in differences if not companions or not d.may_be_rounding(updates, plan.precision)
            ]
            if wrong:
                break
        here = temporary.environments()
    if wrong:
        _tell_difference(wrong, recorded)
    elif any(found.values()):
        _tell_rounding(plan, recorded, found)
    else:
        print(
            f"identical to the bit: {len(found)} evaluations of {len(plan.seeds)} seeds, "
            f"{len(recorded.columns)} columns"
        )
    for line in _environments(environments, here, always=bool(wrong)):
        print(line)
    return DIFFERS if wrong else OK


def _companions(plan: TrialPlan, folder: TrialFolder) -> list[str]:
    """The trials that shared its pack, at any time: those that it names, and those that name it."""
    found = folder.companions()
    for name, other in StudyFolder(folder.judges.parent).trials():
        with suppress(ValueError, OSError):  # what is damaged names nobody
            if plan.trial_id in other.companions():
                found.add(name)
    return sorted(found)


def _device(plan: TrialPlan, threads: int | None) -> "torch.device":
    """The kind that it was trained on, with its number of threads. Raises UserError: there is none here."""
    import torch

    from study.trial.run import default_device

    if wanted := threads or plan.threads:
        torch.set_num_threads(wanted)
    if not plan.device:
        return default_device()
    if plan.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"{plan.trial_id} was trained on a GPU, and there is none here: random numbers differ on a CPU"
        )
    return torch.device(plan.device)


@contextmanager
def _temporary(folder: TrialFolder) -> Iterator[TrialFolder]:
    """A folder for the trial to train in, with the study's own judge beside it; gone in the end."""
    with ExitStack() as stack:
        try:
            path = stack.enter_context(tempfile.TemporaryDirectory(prefix="gan-study-replay-"))
            temporary = StudyFolder(Path(path)).trial(folder.path.name)
            if folder.judges.exists():
                shutil.copytree(folder.judges, temporary.judges, ignore=shutil.ignore_patterns(".*"))
        except OSError as error:
            raise UserError(
                f"a temporary folder for the replay can't be made: {error}; TMPDIR says where"
            ) from error
        yield temporary


def _again(
    plan: TrialPlan, temporary: TrialFolder, device: "torch.device", recorded: Recorded
) -> Generator[tuple[int, list[Difference]]]:
    """Each recorded evaluation, made again, and what differs; the last is one that wasn't made again."""
    from study.trial.run import run

    with closing(run(replace(plan, keep_best=False), temporary, device)) as evaluations:
        for number in recorded.rows:
            made = next(evaluations, None)
            rows = [row for row in temporary.rows() if row["evaluation"] == number]
            yield number, recorded.differences(number, rows)
            if made is None or made.evaluation != number:
                return


def _tolerance(plan: TrialPlan, companions: Sequence[str]) -> str:
    return (
        f"it shared its pack with {some_of(companions, 3)}; alone, sums are rounded otherwise, and training "
        f"amplifies that:\n  kimg, updates and the evaluation at kimg 0 are compared to the bit, losses and "
        f"gradient norms of the first {ROUNDED_UPDATES} updates\n  to {ROUNDED_SHARE[plan.precision]:.0%} of "
        "their largest value; of the rest it is told how far it differs"
    )


def _in_short(differences: Sequence[Difference]) -> str:
    """How much one evaluation differs."""
    if not differences:
        return "identical to the bit"
    largest = max(differences, key=lambda difference: difference.share)
    if largest.share >= 1:
        return f"differs in {largest.column}"
    return f"differs by {largest.share:.1e} of the largest {largest.column}"


def _tell_difference(wrong: Sequence[Difference], recorded: Recorded) -> None:
    """The first value that differs, on both sides."""
    first = wrong[0]
    row = recorded.rows[first.evaluation][0]
    values = len(recorded.rows[first.evaluation]) * len(recorded.columns)
    others = f"; of this evaluation {len(wrong)} of {values} values differ" if len(wrong) > 1 else ""
    print(
        f"it differs, first at evaluation {first.evaluation} (kimg {row['kimg']:g}), seed {first.seed}, "
        f"{first.column}{others}"
    )
    for side, value in (("recorded: ", first.recorded), ("again:    ", first.again)):
        print(f"  {side}{'none' if value is None else shown(value)}")


def _tell_rounding(plan: TrialPlan, recorded: Recorded, found: Mapping[int, list[Difference]]) -> None:
    """Of a trial that shared its pack: what agrees, and from when on it doesn't."""
    later = [number for number in found if recorded.updates(number) > 0]
    judged = [number for number in later if recorded.updates(number) <= ROUNDED_UPDATES]
    apart = [number for number in later if any(d.is_apart(plan.precision) for d in found[number])]
    print(
        f"it agrees, as a trial of a shared pack: kimg and updates of {len(found)} evaluations of "
        f"{len(plan.seeds)} seeds, and all {len(recorded.columns)} columns of the first, to the bit"
    )
    print(
        f"  losses and gradient norms: {len(later) - len(apart)} of {len(later)} later evaluations within "
        f"{ROUNDED_SHARE[plan.precision]:.0%}; those of the first {ROUNDED_UPDATES} updates had to be, "
        f"{len(judged)} of them"
    )
    if apart:
        print(
            f"  they differ by more first at evaluation {apart[0]}, {recorded.updates(apart[0])} updates on"
        )


def _environments(
    recorded: Sequence[Environment], here: Sequence[Environment], *, always: bool
) -> Iterator[str]:
    """Lines on what computed both, where that is not the same, or `always`."""
    words = [_in_words(known) for known in recorded]
    again = _in_words(here[-1])
    if not always and recorded and all(known == again for known in words):
        return
    if not recorded:
        yield "recorded by an earlier version, which did not say on what"
    for known, own in zip(recorded, words, strict=True):
        yield f"recorded from evaluation {known.get('evaluation')} on: {own}"
    yield f"again: {again}"


def _in_words(known: Environment) -> str:
    """'host, AMD EPYC (AVX512), torch 2.9, 1 thread'."""
    threads = known.get("threads")
    gpu = f", {known['gpu']}" if known.get("gpu") else ""
    return (
        f"{known.get('host')}, {known.get('cpu')} ({known.get('cpu_capability')}){gpu}, "
        f"torch {known.get('torch')}, {threads} thread{'' if threads == 1 else 's'}"
    )
