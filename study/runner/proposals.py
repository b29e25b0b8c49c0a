"""What is proposed without learning, TPE's start-up trials too: by the study's seed and a trial's number.

So a study that was interrupted, or that has lost its journal, goes on as an undisturbed one would.
"""

import random
from collections.abc import Mapping
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from study.seeds import derive_seed
from study.space import Space


class Proposals:
    """The configurations of one space by number: random, QMC (scrambled Sobol) or those of a grid.

    Trial 0 is the paper's `default`, where there is one. Those of TPE are random until it has learned enough.
    """

    def __init__(self, space: Space, sampler: str, seed: int, default: Mapping[str, Any] | None) -> None:
        self._space, self._sampler, self._seed = space, sampler, seed
        self._first = [] if default is None else [dict(default)]

    def of(self, number: int, *, learned: bool) -> dict[str, Any] | None:
        """The searched hyperparameters of a trial; None where TPE, having learned enough, has to be asked."""
        if number < len(self._first):
            return self._first[number]
        place = number - len(self._first)
        if self._sampler == "qmc":
            return self._at(self._quasi_random(place))
        if self._sampler == "grid" and place < len(self._cells):
            return self._cells[place]
        if self._sampler == "tpe" and learned:
            return None
        return self._at(self._random(place))

    def _at(self, point: np.ndarray) -> dict[str, Any]:
        """The configuration at a point (d,) of the unit cube."""
        searched = self._space.searched.items()
        return {name: known.at(float(u)) for (name, known), u in zip(searched, point, strict=True)}

    def _random(self, place: int) -> np.ndarray:
        seed = derive_seed(self._seed, "sampler", self._space.name, place)
        return np.random.default_rng(seed).random(len(self._space.searched))

    def _quasi_random(self, place: int) -> np.ndarray:
        from scipy.stats.qmc import Sobol

        if not self._space.searched:
            return np.empty(0)
        seed = derive_seed(self._seed, "sampler", self._space.name)
        sobol = Sobol(len(self._space.searched), scramble=True, rng=np.random.default_rng(seed))
        if place:
            sobol.fast_forward(place)
        return np.asarray(sobol.random()[0])

    @cached_property
    def _cells(self) -> list[dict[str, Any]]:
        """A grid's configurations, in an order of the study's seed; without the default."""
        grid = self._space.grid()
        cells = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        random.Random(derive_seed(self._seed, "grid", self._space.name)).shuffle(cells)
        return [cell for cell in cells if cell not in self._first]
