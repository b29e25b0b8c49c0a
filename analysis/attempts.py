"""What may fail without taking the rest along."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Attempts:
    """Makes parts of a whole. One that fails must not take the others along, nor go unsaid."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def make(self, what: str, make: Callable[[], T], instead: T) -> T:
        """What is made, or what stands in its place; a disk that can't be written ends it all."""
        try:
            return make()
        except OSError:
            raise
        except Exception as error:
            self.problems.append(f"{what} ({type(error).__name__}: {error})")
            return instead
