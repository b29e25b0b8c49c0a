"""Declarations by name: what the files of a package, or of a user, declare."""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Protocol, TypeVar

from study.errors import UserError, did_you_mean


class Declaration(Protocol):
    """Something with a name that is declared once; `is_default`: it is meant where nobody names one."""

    @property
    def name(self) -> str: ...

    @property
    def is_default(self) -> bool: ...


D = TypeVar("D", bound=Declaration)


class Registry(dict[str, D]):
    """Declarations by name, in the order in which they were read. Raises UserError for an unknown name."""

    def __init__(self, noun: str, *kinds: type[D]) -> None:
        """`kinds`: what is taken for a declaration; `noun`: what one is called."""
        super().__init__()
        self.noun, self._kinds = noun, kinds

    def __missing__(self, name: str) -> D:
        raise UserError(f"unknown {self.noun} {name!r}{did_you_mean(name, self)}")

    @property
    def default(self) -> D:
        """The one that is meant where nobody names one."""
        return next(declaration for declaration in self.values() if declaration.is_default)

    def collect(self, module: ModuleType) -> None:
        """Take in everything that a module declares. Raises ValueError where a name has another meaning."""
        for value in vars(module).values():
            if isinstance(value, self._kinds) and self.setdefault(value.name, value) is not value:
                raise ValueError(f"{module.__name__} declares the {self.noun} {value.name} a second time")

    def collect_package(self, package: str) -> None:
        """Take in what the files of a package declare, in the order of their names."""
        for found in iter_modules(import_module(package).__path__, package + "."):
            self.collect(import_module(found.name))
