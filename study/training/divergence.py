"""Who is still alive: the first non-finite (or exploded) number of each member, found on the device.

Divergence is a result. The member is frozen at the update that showed it and recorded with the
reason; nothing here reads a value back to the host until someone asks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

REASONS = (
    "",
    "non-finite critic loss",
    "non-finite critic gradient",
    "non-finite generator loss",
    "non-finite generator gradient",
    "non-finite critic parameter",
    "non-finite generator parameter",
    "non-finite sample",
    "exploded critic parameters",
    "exploded generator parameters",
)

# Root mean square of a player's parameters. They start below 0.2 and stay near 1; at 1,000 times that
# a saturated generator or a normalised critic may go on with finite numbers for ever, learning nothing.
EXPLODED_RMS = 1e3


@dataclass(frozen=True)
class Divergence:
    """When a member diverged (kimg shown to its critic) and what was first seen."""

    kimg: float
    reason: str


class DivergenceWatch:
    """Per member: alive (M,) bool; the reason and the critic update at which it ceased to be."""

    def __init__(self, members: int, device: torch.device) -> None:
        self.alive = torch.ones(members, dtype=torch.bool, device=device)
        self._reason = torch.zeros(members, dtype=torch.int64, device=device)
        self._update = torch.zeros(members, dtype=torch.int64, device=device)
        self._critic_updates = torch.zeros(members, dtype=torch.int64, device=device)

    def count_critic_update(self) -> None:
        """A critic update is being made: what falls from now on, falls at it."""
        self._critic_updates += 1

    def check(self, finite: Tensor, reason: str) -> Tensor:
        """Mark members that are not `finite` (M,) bool; return who is alive, (M,) bool."""
        fell = self.alive & ~finite
        self._reason.masked_fill_(fell, REASONS.index(reason))
        self._update.copy_(torch.where(fell, self._critic_updates, self._update))
        self.alive &= finite
        return self.alive

    def any_alive(self) -> bool:
        return bool(self.alive.any())

    def divergences(self, batch_size: int) -> list[Divergence | None]:
        """Per member, None while it is alive."""
        return [
            Divergence(update * batch_size / 1000, REASONS[reason]) if reason else None
            for reason, update in zip(self._reason.tolist(), self._update.tolist(), strict=True)
        ]

    def state_dict(self) -> dict[str, Tensor]:
        return {
            "alive": self.alive,
            "reason": self._reason,
            "update": self._update,
            "critic_updates": self._critic_updates,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for key, own in self.state_dict().items():
            own.copy_(state[key])
