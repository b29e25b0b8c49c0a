"""Whether a study's trial folders hold the trials that it asked for, before anything goes on with them."""

from collections.abc import Sequence

from study.errors import UserError
from study.plan import StudyPlan, TrialPlan, trial_id
from study.records.study_folder import StudyFolder
from study.space import Choice, Space


def check_trials(plan: StudyPlan, folder: StudyFolder, spaces: Sequence[Space]) -> None:
    """Raise UserError where a trial's config.json can be read, and is of another trial than its folder's.

    What can't be read of a trial is that trial's fault, and told of it.
    """
    known = set(folder.trial_ids())
    for space in spaces:
        for number in range(plan.trials[space.name]):
            name = trial_id(space.name, number)
            if name in known:
                trial = folder.trial(name)
                try:
                    own = trial.plan()
                except ValueError:
                    continue
                try:
                    trial.check_same(own, _asked_for(plan, space, number, own))
                except UserError as error:
                    raise UserError(f"{error}: nothing was changed") from error


def _asked_for(plan: StudyPlan, space: Space, number: int, own: TrialPlan) -> TrialPlan:
    """The trial of this number that has the searched hyperparameters of `own`. Raises UserError."""
    config, chosen = own.config.to_dict(), dict(space.constants)
    for name, searched in space.searched.items():
        chosen[name] = config.get(name)
        if name in config and not searched.holds(config[name]):
            chosen[name] = None  # which stands for what the data give
        if chosen[name] is None and not (isinstance(searched, Choice) and None in searched.values):
            raise UserError(f"{own.trial_id}: its {name} is none of its space")
    return plan.trial(space.name, number, chosen, own.origin)
