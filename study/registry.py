"""Declarations by name: what the files of a package, or of a user, declare."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Protocol, TypeVar

from study.errors import UserError, did_you_mean, shown


class Declaration(Protocol):
    """Something with a name that is declared once; `is_default`: it is meant where nobody names one."""

    @property
    def name(self) -> str: ...

    @property
    def is_default(self) -> bool: ...


D = TypeVar("D", bound=Declaration)


class Registry(dict[str, D]):
    """Declarations by name, in the order in which they were read. Raises UserError for an unknown name.

    Attributes:
        built_in: the names of the package's own.
    """

    def __init__(self, noun: str, *kinds: type[D]) -> None:
        """`kinds`: what is taken for a declaration; `noun`: what one is called."""
        super().__init__()
        self.noun, self._kinds = noun, kinds
        self.built_in: frozenset[str] = frozenset()
        self._recalled: set[str] = set()

    def __missing__(self, name: str) -> D:
        raise UserError(f"unknown {self.noun} {shown(name)}{did_you_mean(name, self)}")

    @property
    def default(self) -> D:
        """The one that is meant where nobody names one."""
        return next(declaration for declaration in self.values() if declaration.is_default)

    def collect(self, module: ModuleType) -> None:
        """Take in everything that a module declares. Raises ValueError where a name has another meaning."""
        for value in vars(module).values():
            if isinstance(value, self._kinds):
                known = None if value.name in self._recalled else self.get(value.name)
                if known is not None and known is not value:
                    raise ValueError(f"{module.__name__} declares the {self.noun} {value.name} a second time")
                self[value.name] = value
                self._recalled.discard(value.name)

    def recall(self, value: D) -> None:
        """Take in what stands for a declaration that is not here; a real one goes before it."""
        if value.name not in self or value.name in self._recalled:
            self[value.name] = value
            self._recalled.add(value.name)

    def snapshot(self) -> tuple[dict[str, D], set[str]]:
        """All that is known now, for `restore`."""
        return dict(self), set(self._recalled)

    def restore(self, snapshot: tuple[dict[str, D], set[str]]) -> None:
        """Forget what was taken in since."""
        known, recalled = snapshot
        self.clear()
        self.update(known)
        self._recalled = set(recalled)

    def collect_package(self, package: str) -> None:
        """Take in what the files of a package declare, in the order of their names."""
        for found in iter_modules(import_module(package).__path__, package + "."):
            self.collect(import_module(found.name))
        self.built_in = frozenset(self)
