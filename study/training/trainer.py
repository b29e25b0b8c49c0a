"""Packs that train together: for an interval their members are one larger pack, then each has its own."""

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from study.training import members
from study.training.capture import CapturedIterations, EagerIterations, iterations_of
from study.training.pack import Pack

CHECK_EVERY_UPDATES = 100
Event = TypeVar("Event")


@dataclass(frozen=True, eq=False)
class Due:
    """A pack that is to be trained on `data` (N, ...) until each of its critics was shown `images`."""

    pack: Pack
    data: Tensor
    images: int


class Trainer:
    """Trains a pack alone, or several together; what it made for them is kept until others come."""

    def __init__(self) -> None:
        self._packs: tuple[Pack, ...] = ()
        self._joint: Pack | None = None
        self._iterate: EagerIterations | CapturedIterations | None = None

    def train(self, dues: Sequence[Due]) -> None:
        """Advance each pack until its images were shown, or until none of its members is alive.

        Every 100 updates the parameters are checked, and the host looks whether anybody is. A pack's
        `train_seconds` grow by its share of the time: its members' iterations, of all that were made.

        Raises:
            ValueError: the packs differ in shape key, study seed, precision or data.
        """
        start = time.perf_counter()
        joint, iterate, rows = self._join(dues)
        updates_per_iteration = len(joint.turns)
        before = [due.pack.generator_updates for due in dues]
        training = [(due, own) for due, own in zip(dues, rows, strict=True) if due.pack.images < due.images]
        unchecked = 0
        while training:
            iterate()
            unchecked += updates_per_iteration
            alive = None
            if unchecked + updates_per_iteration > CHECK_EVERY_UPDATES:
                unchecked = 0
                joint.check_parameters()
                alive = joint.watch.alive.tolist()
            going_on = []
            for due, own in training:
                if due.pack is not joint:
                    due.pack.count_iteration()
                if due.pack.images < due.images and (alive is None or any(alive[own])):
                    going_on.append((due, own))
                else:
                    if due.pack is not joint:
                        members.load(due.pack, members.state_of(joint, own))
                    due.pack.check_parameters()
            training = going_on
        if joint.device.type == "cuda":
            torch.cuda.synchronize(joint.device)
        seconds = time.perf_counter() - start
        made = [
            (due.pack.generator_updates - updates) * len(due.pack.seeds)
            for due, updates in zip(dues, before, strict=True)
        ]
        for due, share in zip(dues, made, strict=True):
            due.pack.train_seconds += seconds * share / max(1, sum(made))

    def _join(self, dues: Sequence[Due]) -> tuple[Pack, EagerIterations | CapturedIterations, list[slice]]:
        """The pack that trains for all, what advances it, and each pack's rows in it."""
        packs = tuple(due.pack for due in dues)
        if self._joint is None or self._iterate is None or self._packs != packs:
            self._iterate = self._joint = None  # their memory first
            self._joint = packs[0] if len(packs) == 1 else members.room_for(packs)
            self._iterate = iterations_of(self._joint, dues[0].data)
            self._packs = packs
        if any(due.data is not dues[0].data for due in dues):
            raise ValueError("packs that train together need the same data")
        if len(packs) > 1:
            members.load(self._joint, members.joined([members.state_of(pack) for pack in packs]))
        rows, first = [], 0
        for pack in packs:
            rows.append(slice(first, first + len(pack.seeds)))
            first += len(pack.seeds)
        return self._joint, self._iterate, rows


def carry_out(events: "Iterable[Due | Event]") -> "Generator[Event]":
    """Carry out every `Due` of a stream, between it and what comes next, and pass the rest on."""
    trainer = Trainer()
    for event in events:
        if isinstance(event, Due):
            trainer.train([event])
        else:
            yield event
