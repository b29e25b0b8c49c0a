"""What a section is: a module with two tuples of functions that yield charts, TOGETHER and EACH.

Each function yields those charts that the tables have something for, and needs no other: one that fails
takes none along.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from analysis.chart import Chart
from analysis.tables import SpaceResults, comparable

Together = Callable[[Sequence[SpaceResults]], Iterator[Chart]]


class Section(Protocol):
    """A module of this folder."""

    @property
    def TOGETHER(self) -> Sequence[Together]:  # noqa: N802
        """Charts of all spaces side by side."""

    @property
    def EACH(self) -> Sequence[Callable[[SpaceResults], Iterator[Chart]]]:  # noqa: N802
        """Charts of one space."""


def parts(section: Section, several: Sequence[SpaceResults]) -> Iterator[Iterator[Chart]]:
    """What each function of a section yields."""
    for draw_together in section.TOGETHER:
        yield draw_together(several)
    for results in several:
        for draw in section.EACH:
            yield draw(results)


def charts(section: Section, several: Sequence[SpaceResults]) -> Iterator[Chart]:
    """All charts of a section, one after the other."""
    return chain.from_iterable(parts(section, several))


def by_group(
    draw: Callable[[Sequence[SpaceResults], str], Iterator[Chart]], at_the_end: bool = False
) -> Together:
    """Draws groups of spaces that can be compared (`comparable`), each with its suffix for names."""

    def together(several: Sequence[SpaceResults]) -> Iterator[Chart]:
        for suffix, group in comparable(several, at_the_end):
            yield from draw(group, suffix)

    return together
