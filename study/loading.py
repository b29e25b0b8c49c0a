"""A trial's networks for whoever goes on with them: see `study.load`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from study.data import dataset_named
from study.errors import UserError, not_one_of, shown
from study.metrics import METRICS
from study.models import CRITIC, GENERATOR, MODELS
from study.networks.ordinary import Blueprint, blueprint
from study.networks.plain import fill, has_batch_norm, plain_critic, plain_generator
from study.plan import TrialPlan
from study.plugins import check_same, read, use
from study.records.trial_folder import TrialFolder
from study.training.player import parted

BEST, LAST = "best", "last"


def load(
    trial: str | Path,
    seed: int | str = BEST,
    evaluation: str = BEST,
    plugins: str | Path | Sequence[str | Path] = (),
    critic: bool = False,
) -> nn.Module:
    """See `study.load`."""
    given = [read(Path(path)) for path in ([plugins] if isinstance(plugins, str | Path) else plugins)]
    for plugin in given:
        use(plugin)
    folder = TrialFolder(Path(trial))
    plan = _plan(folder)
    if given or plan.config.model not in MODELS.built_in:
        check_same(given, plan.plugins, str(folder.path))
    state, number = _networks(folder, evaluation)
    member = _member(plan, folder, seed, number)
    config, shape = plan.config, dataset_named(plan.config.dataset).sample_shape
    own = blueprint(MODELS[config.model], CRITIC if critic else GENERATOR, config.latent_dim, shape)
    if own is not None:
        try:
            return _own_network(own, state, member).requires_grad_(False).eval()
        except (KeyError, IndexError, RuntimeError) as error:
            raise UserError(f"the checkpoint of {folder.path} holds another {own.player}") from error
    if critic:
        network = plain_critic(shape, config.width, batch_norm=MODELS[config.model].critic_batch_norm)
    else:
        network = plain_generator(shape, config.latent_dim, config.width)
    player = "critic" if critic else "generator"
    statistics = state.get(f"{player}_buffers", {})
    if has_batch_norm(network) and not statistics:
        raise UserError(
            f"the checkpoint of {folder.path} was made by an earlier version, which kept no batch-norm "
            f"statistics: the {player} can't be evaluated without them"
        )
    try:
        fill(network, state[player][member].float(), [own[member].float() for own in statistics.values()])
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise UserError(
            f"the checkpoint of {folder.path} holds another {player} than its config.json tells of"
        ) from error
    return network.requires_grad_(False).eval()


def _own_network(own: Blueprint, state: dict[str, Any], member: int) -> nn.Module:
    """The module that a user's model brings, with one member's parameters and buffers."""
    network = own.build(seed=0)
    parameters = dict(network.named_parameters())
    values = parted(state[own.player][member], list(parameters.values()))
    saved = {name.removeprefix("module."): v[member] for name, v in state[f"{own.player}_buffers"].items()}
    with torch.no_grad():
        for parameter, value in zip(parameters.values(), values, strict=True):
            parameter.copy_(value)
        for name, buffer in network.named_buffers():
            buffer.copy_(saved[name])
    return network


def _plan(folder: TrialFolder) -> TrialPlan:
    try:
        return folder.plan()
    except (ValueError, OSError) as error:
        if isinstance(error.__cause__, UserError):  # it names a model, say, that nobody has declared here
            raise UserError(
                f"{folder.path}: {error.__cause__}; if a plugin declares it, name the file in `plugins`"
            ) from error
        raise UserError(f"{folder.path} is not the folder of a trial: {error}") from error


def _networks(folder: TrialFolder, evaluation: str) -> tuple[dict[str, Any], int]:
    """What the checkpoint of an evaluation holds, and the evaluation's number."""
    if evaluation not in (BEST, LAST):
        raise UserError(not_one_of("evaluation", evaluation, (BEST, LAST)))
    if not folder.checkpoint.exists() and not folder.best.exists():
        raise UserError(f"{folder.path} has no checkpoint yet: the first is written at kimg 0")
    path = folder.best if evaluation == BEST else folder.checkpoint
    if not path.exists():
        raise UserError(
            f"{folder.path} has no networks of its best evaluation, as it was made with --no-keep-best or by "
            "an earlier version: evaluation='last' loads the last ones"
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state, state["evaluation"] if evaluation == BEST else state["next_evaluation"] - 1
    except Exception as error:
        raise UserError(f"{path} is damaged, or is not a checkpoint of this program") from error


def _member(plan: TrialPlan, folder: TrialFolder, seed: int | str, evaluation: int) -> int:
    """The place of a seed among the trial's; of 'best', of the seed with the best score then."""
    if seed in plan.seeds:
        return plan.seeds.index(int(seed))
    if seed != BEST:
        known = ", ".join(map(str, plan.seeds))
        raise UserError(f"{folder.path} has no seed {shown(seed)}: there are {known}, and 'best'")
    try:
        rows = [row for row in folder.rows() if row["evaluation"] == evaluation]
    except ValueError as error:
        raise UserError(str(error)) from error
    if not rows:
        raise UserError(f"{folder.path} is making evaluation {evaluation} again after a kill: name a seed")
    alive = [row for row in rows if not row["diverged"]]
    if not alive:
        raise UserError(
            f"all seeds of {folder.path} had diverged at evaluation {evaluation}: name a seed, or take "
            "another evaluation"
        )
    choose = max if METRICS[plan.metric].higher_is_better else min
    return plan.seeds.index(choose(alive, key=lambda row: row["score"])["seed"])
