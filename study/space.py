"""Search spaces: a Weights & Biases sweep configuration (YAML), read.

Every distribution of W&B's sweep schema is read as a choice or a range, or refused by name.
"""

import json
import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from study.config import TrialConfig, check_name
from study.errors import ConfigError, UserError, did_you_mean, shown
from study.machine.documents import read_yaml
from study.models import GIVEN_BY_DATA, MODELS, hyperparameters
from study.plan import MOST_COUNT

FOLDERS = (Path("search_spaces"), Path(__file__).resolve().parents[1] / "search_spaces")
METHODS = ("bayes", "random", "grid")
SWEEP_KEYS = (
    *("method", "metric", "parameters", "early_terminate", "run_cap", "program", "command", "name"),
    *("description", "project", "entity", "controller", "job", "image_uri", "apiVersion", "kind"),
    *("scheduler", "metrics"),
)
INEXPRESSIBLE = (
    *("normal", "log_normal", "q_normal", "q_log_normal", "beta", "q_beta"),
    "categorical_w_probabilities",
)
LONGEST_NAME = 200  # bytes
LARGEST = 1e300  # of numbers in a space: beyond it arithmetic overflows
MOST_STEPS = 2**53  # of a quantised range: beyond it neighbours are the same float
Spec = dict[str, Any]


class SpaceError(UserError):
    """A search space can't be read or says something that can't be done."""


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """What stands for all that can be chosen when a space is checked."""
        return self.values

    @property
    def count(self) -> int:
        return len(self.values)

    def holds(self, value: Any) -> bool:
        return value in self.values

    def at(self, place: float) -> Any:
        """The value at a place from 0 to 1 (excluded): each has an equal part."""
        return self.values[int(place * len(self.values))]


@dataclass(frozen=True)
class Range:
    """A number from low to high, both included; with `log` uniform in its logarithm.

    A `step` divides high - low: without one there are infinitely many values, or too many for a grid.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False  # integers

    @property
    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    def holds(self, value: float) -> bool:
        """Whether it is one of the values, to a float's rounding."""
        inside = self.low <= value <= self.high
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return inside and math.isclose(steps, round(steps), abs_tol=1e-9)

    def at(self, place: float) -> float:
        """The value at a place from 0 to 1 (excluded); with a step, each has an equal part."""
        spare = (self.step or 0.0) / 2
        low, high = self.low - spare, self.high + spare
        value = low * (high / low) ** place if self.log else low + place * (high - low)
        if self.step is None:
            return min(max(value, self.low), self.high)
        return self._nth(min(max(round((value - self.low) / self.step), 0), self._steps))

    @property
    def values(self) -> tuple[float, ...] | None:
        """Every value, where there is a step."""
        return None if self.step is None else tuple(self._nth(number) for number in range(self._steps + 1))

    @property
    def count(self) -> int | None:
        """How many values there are, where there is a step."""
        return None if self.step is None else self._steps + 1

    @property
    def _steps(self) -> int:
        return round((self.high - self.low) / (self.step or math.inf))

    def _nth(self, number: int) -> float:
        if self.whole:
            return int(self.low + number * (self.step or 1))
        low, step = Decimal(str(self.low)), Decimal(str(self.step))  # as written: see _q_uniform
        return float(low + number * step)


@dataclass(frozen=True)
class Space:
    """One search space.

    Attributes:
        name: the file's stem.
        document: the YAML as read.
        searched: hyperparameters that vary; `constants`: those that are fixed.
        method: 'bayes', 'random' or 'grid'.
        metric: name and goal as written; the name 'objective' stands for the dataset's default metric.
        min_evaluations, eta: where successive halving first stops trials, and its factor; None
            without `early_terminate`.
        run_cap: the most trials the space wants; None for no limit.
    """

    name: str
    document: dict[str, Any]
    searched: dict[str, Choice | Range]
    constants: dict[str, Any]
    method: str
    metric: str
    goal: str
    min_evaluations: int | None
    eta: float
    run_cap: int | None

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every searched parameter; SpaceError as of `grid_size`."""
        self.grid_size()
        return {name: list(searched.values or ()) for name, searched in self.searched.items()}

    def grid_size(self) -> int:
        """How many configurations its grid has; SpaceError when it has no end, or none in sight."""
        size = 1
        for name, searched in self.searched.items():
            if searched.count is None:
                raise SpaceError(
                    f"{self.name}: {name}: a grid needs a finite list; give values, int_uniform or q_uniform"
                )
            size *= searched.count
        if size > MOST_COUNT:
            raise SpaceError(f"{self.name}: its grid has {size:,} configurations, above {MOST_COUNT:,}")
        return size

    def largest(self) -> dict[str, Any]:
        """Hyperparameters of the largest shape that it can propose; per-member numbers are left out."""
        return self._shape(max)

    def middle(self) -> dict[str, Any]:
        """Those of a shape in the middle of what it can propose."""
        return self._shape(statistics.median_high)

    def _shape(self, choose: Callable[[Sequence[Any]], Any]) -> dict[str, Any]:
        per_member = {name for name, h in hyperparameters().items() if h.per_member}
        found = {name: value for name, value in self.constants.items() if name not in per_member}
        for name, searched in self.searched.items():
            ends = [end for end in searched.ends if end is not None]  # null: what the data give
            if name not in per_member and ends:
                found[name] = ends[0] if isinstance(ends[0], str) else choose(ends)
        return found

    def default(self, dataset: str) -> tuple[dict[str, Any], str]:
        """What the paper's default configuration has for the searched hyperparameters.

        Returns:
            Its values, and '' where it lies in the space; else what does not, in words. What a space fixes of
            the hyperparameters that the data give (batch size, width, latent dimensions) takes nothing away.
        """
        models = self.models()
        model = MODELS.default.name if MODELS.default.name in models else models[0]
        config = TrialConfig(model=model, dataset=dataset).to_dict()
        apart = {"dataset", *(hyperparameter.name for hyperparameter in GIVEN_BY_DATA)}
        outside = [n for n, searched in self.searched.items() if not searched.holds(config[n])]
        fixed = {n: value for n, value in self.constants.items() if n not in apart and value is not None}
        outside += [name for name, value in fixed.items() if value != config[name]]
        words = ", ".join(f"{name} = {config[name]}" for name in outside)
        return {name: config[name] for name in self.searched}, words

    def rungs(self, evaluations: int) -> list[int]:
        """The evaluations at which successive halving stops trials of so many, from the first on."""
        found, rung = [], float(self.min_evaluations or 1)
        while math.ceil(rung) < evaluations:
            found.append(math.ceil(rung))
            rung *= self.eta
        return found

    def models(self) -> list[str]:
        """The GAN variants that it can propose."""
        return list(self.searched["model"].ends if "model" in self.searched else [self.constants["model"]])


def find_space(name_or_path: str) -> Path:
    """The file of a space given by name (in search_spaces/) or by path."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.is_absolute() or len(path.parts) > 1:
        if not path.is_file():
            raise SpaceError(f"there is no search space file {name_or_path}")
        return path
    known = {p.stem: p for folder in reversed(FOLDERS) for p in sorted(folder.glob("*.yaml"))}
    if not known:
        raise SpaceError(f"there is no folder search_spaces here: give {shown(name_or_path)} as a path")
    if name_or_path not in known:
        raise SpaceError(f"unknown search space {shown(name_or_path)}{did_you_mean(name_or_path, known)}")
    return known[name_or_path]


def read_space(path: Path) -> Space:
    """Raises SpaceError: not readable, not YAML (line and column), or not a space we can search."""
    try:
        document = read_yaml(path)
    except ValueError as error:
        raise SpaceError(str(error)) from error
    return parse_space(path.stem, document)


def parse_space(name: str, document: Any) -> Space:
    """A sweep configuration as nested dicts -> Space. Raises SpaceError."""
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise SpaceError(
            f"the search space {shown(name)} has a name of more than {LONGEST_NAME} bytes, too long for the "
            "folders that are called by it"
        )
    if not isinstance(document, dict):
        raise SpaceError(f"{name}: a search space is a mapping with method and parameters")
    for key in document:
        if key not in SWEEP_KEYS:
            raise SpaceError(f"{name}: unknown key {shown(key)}{did_you_mean(key, SWEEP_KEYS)}")
    for key in ("scheduler", "metrics"):
        if key in document:
            raise SpaceError(f"{name}: {shown(key)} is for W&B's own schedulers and is not supported here")
    method = document.get("method")
    if method not in METHODS:
        raise SpaceError(f"{name}: method = {shown(method)} is not one of {', '.join(METHODS)}")
    parameters = document.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise SpaceError(f"{name}: parameters must name at least one hyperparameter")

    known = hyperparameters()
    searched: dict[str, Choice | Range] = {}
    constants: dict[str, Any] = {}
    for parameter, spec in parameters.items():
        where = f"{name}: {parameter}"
        try:
            check_name(parameter)
        except ConfigError as error:
            raise SpaceError(f"{name}: {error}") from error
        if not isinstance(spec, dict):
            raise SpaceError(f"{where}: write a mapping, such as {{value: {shown(spec)}}}")
        kind = _distribution_name(where, spec)
        if kind == "constant":
            constants[parameter] = spec["value"]
        else:
            searched[parameter] = found = _searched(where, kind, spec)
            whole = parameter in known and known[parameter].type is int
            if whole and isinstance(found, Range) and not found.whole:
                raise SpaceError(
                    f"{where} takes whole numbers: use int_uniform, q_uniform with a whole q, or values"
                )
    metric, goal = _metric(name, document.get("metric"))
    min_evaluations, eta = _early_terminate(name, document.get("early_terminate"))
    run_cap = document.get("run_cap")
    if run_cap is not None and (not _is_int(run_cap) or run_cap < 1):
        raise SpaceError(f"{name}: run_cap = {shown(run_cap)} must be a whole number of at least 1")
    space = Space(
        name=name,
        document=document,
        searched=searched,
        constants=constants,
        method=method,
        metric=metric,
        goal=goal,
        min_evaluations=min_evaluations,
        eta=eta,
        run_cap=run_cap,
    )
    _check_corners(space)
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SpaceError(f"{name}: only what JSON can hold may stand here: {error}") from error
    return space


def _check_corners(space: Space) -> None:
    """Every extreme value of every parameter must make a valid configuration, for every model."""
    if "model" not in space.constants and "model" not in space.searched:
        raise SpaceError(
            f"{space.name}: parameters must say which model, as model: {{value: {MODELS.default.name}}}"
        )
    if "dataset" in space.searched:
        raise SpaceError(
            f"{space.name}: dataset: a study has one dataset; give it as a value or with --dataset"
        )
    extremes = {name: searched.ends for name, searched in space.searched.items()}
    first = {name: values[0] for name, values in extremes.items()} | space.constants
    for model in extremes.get("model", [first["model"]]):
        for name, values in extremes.items():
            for value in values if name != "model" else [model]:
                try:
                    TrialConfig.from_dict({**first, "model": model, name: value})
                except ConfigError as error:
                    raise SpaceError(f"{space.name}: {error}") from error
        try:
            TrialConfig.from_dict({**first, "model": model})
        except ConfigError as error:
            raise SpaceError(f"{space.name}: {error}") from error


def _metric(name: str, spec: Any) -> tuple[str, str]:
    if spec is None:
        return "objective", "minimize"
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise SpaceError(f"{name}: metric must have a name and a goal")
    _check_keys(f"{name}: metric", spec, {"name", "goal"})
    goal = spec.get("goal", "minimize")
    if goal not in ("minimize", "maximize"):
        raise SpaceError(f"{name}: metric: goal = {shown(goal)} is not one of minimize, maximize")
    return spec["name"], goal


def _early_terminate(name: str, spec: Any) -> tuple[int | None, float]:
    """Where halving starts, in evaluations, and eta; W&B's iterations are our evaluations."""
    if spec is None:
        return None, 3.0
    where = f"{name}: early_terminate"
    if not isinstance(spec, dict) or spec.get("type") != "hyperband":
        raise SpaceError(f"{where}: the only type is hyperband")
    _check_keys(where, spec, {"type", "min_iter", "max_iter", "s", "eta", "strict"})
    if spec.get("strict"):
        raise SpaceError(f"{where}: strict is not supported")
    eta = _number(where, spec, "eta", 3)
    if not eta > 1:
        raise SpaceError(f"{where}: eta = {shown(eta)} must be above 1")
    if "min_iter" in spec:
        start = _number(where, spec, "min_iter")
    elif "max_iter" in spec and "s" in spec:
        try:
            start = _number(where, spec, "max_iter") / eta ** _number(where, spec, "s")
        except ArithmeticError as error:
            raise SpaceError(f"{where}: max_iter / eta**s is not a number: {error}") from error
    else:
        raise SpaceError(f"{where}: give min_iter, or max_iter and s")
    if not start >= 1:
        raise SpaceError(f"{where}: the first evaluation to stop at is {start:g}; it must be at least 1")
    return math.ceil(start), eta


def _distribution_name(where: str, spec: Spec) -> str:
    """The distribution's name, inferred from the other keys where W&B does so."""
    name = spec.get("distribution")
    if "parameters" in spec:
        raise SpaceError(f"{where}: nested parameters are not supported")
    if name is None:
        if "value" in spec:
            name = "constant"
        elif "values" in spec:
            name = "categorical_w_probabilities" if "probabilities" in spec else "categorical"
        elif "min" in spec and "max" in spec:
            whole = _is_int(spec["min"]) and _is_int(spec["max"])
            name = "int_uniform" if whole else "uniform"
        else:
            raise SpaceError(f"{where}: give value, values, or min and max")
    if not isinstance(name, str):
        raise SpaceError(f"{where}: distribution = {shown(name)} must be a name")
    if name in INEXPRESSIBLE:
        raise SpaceError(f"{where}: Optuna has no counterpart of the distribution {shown(name)}")
    if name != "constant" and name not in _READERS:
        raise SpaceError(
            f"{where}: unknown distribution {shown(name)}{did_you_mean(name, ['constant', *_READERS])}"
        )
    if name == "constant":
        _check_keys(where, spec, {"distribution", "value"})
        if "value" not in spec:
            raise SpaceError(f"{where}: a constant needs a value")
    return name


def _searched(where: str, kind: str, spec: Spec) -> Choice | Range:
    keys, read = _READERS[kind]
    _check_keys(where, spec, keys | {"distribution"})
    try:
        return read(where, spec)
    except OverflowError as error:
        raise SpaceError(
            f"{where}: exp of these exponents overflows; to give values, use log_uniform_values"
        ) from error


def _categorical(where: str, spec: Spec) -> Choice:
    values = spec.get("values")
    if not isinstance(values, list) or not values:
        raise SpaceError(f"{where}: values must be a list of at least one value")
    for value in values:
        if value is not None and not isinstance(value, bool | int | float | str):
            raise SpaceError(f"{where}: values: {shown(value)} is not a single value")
    if len({(type(v), v) for v in values}) != len(values):
        raise SpaceError(f"{where}: values has duplicates")
    return Choice(tuple(values))


def _int_uniform(where: str, spec: Spec) -> Range:
    low, high = _bounds(where, spec)
    if not (_is_int(low) and _is_int(high)):
        raise SpaceError(f"{where}: int_uniform needs whole min and max")
    return Range(int(low), int(high), step=1, whole=True)


def _uniform(where: str, spec: Spec) -> Range:
    low, high = _bounds(where, spec)
    return Range(float(low), float(high))


def _log_uniform_values(where: str, spec: Spec) -> Range:
    """Also inv_log_uniform_values: where 1/X is log-uniform, X is."""
    low, high = _bounds(where, spec)
    if not low > 0:
        raise SpaceError(f"{where}: min = {shown(low)}: a logarithmic range must stay above 0")
    return Range(float(low), float(high), log=True)


def _log_uniform(where: str, spec: Spec) -> Range:
    low, high = _bounds(where, spec)
    return _log_range(where, math.exp(low), math.exp(high))


def _inv_log_uniform(where: str, spec: Spec) -> Range:
    low, high = _bounds(where, spec)
    return _log_range(where, math.exp(-high), math.exp(-low))


def _log_range(where: str, low: float, high: float) -> Range:
    if not 0 < low < high:
        raise SpaceError(f"{where}: exp of the exponents leaves no range: {low:g} to {high:g}")
    return Range(low, high, log=True)


def _q_uniform(where: str, spec: Spec) -> Range:
    """Multiples of q between min and max."""
    low, high = _bounds(where, spec)
    q = _number(where, spec, "q", 1)
    if not q > 0:
        raise SpaceError(f"{where}: q = {shown(q)} must be above 0")
    # In decimal, as written: 3 * 0.1 would be 0.30000000000000004, which no range up to 0.3 holds.
    step = Decimal(str(q))
    first = math.ceil(Decimal(str(low)) / step)
    last = math.floor(Decimal(str(high)) / step)
    if last < first:
        raise SpaceError(
            f"{where}: no multiple of q = {shown(q)} lies between {shown(low)} and {shown(high)}"
        )
    if _is_int(q):
        return Range(first * int(q), last * int(q), step=int(q), whole=True)
    if last - first >= MOST_STEPS:
        raise SpaceError(f"{where}: q = {shown(q)} is too small a step from {shown(low)} to {shown(high)}")
    return Range(float(first * step), float(last * step), step=q)


def _q_log_uniform_values(where: str, spec: Spec) -> Range:
    low, high = _bounds(where, spec)
    return _whole_log_range(where, low, high, _number(where, spec, "q", 1))


def _q_log_uniform(where: str, spec: Spec) -> Range:
    low, high = _bounds(where, spec)
    return _whole_log_range(where, math.exp(low), math.exp(high), _number(where, spec, "q", 1))


def _whole_log_range(where: str, low: float, high: float, q: float) -> Range:
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if q != 1 or first < 1 or last < first:
        raise SpaceError(
            f"{where}: Optuna can express a quantised logarithmic range only with q = 1 and min >= 1"
        )
    return Range(first, last, log=True, whole=True)


_MIN_MAX = frozenset({"min", "max"})
_READERS: dict[str, tuple[frozenset[str], Callable[[str, Spec], Choice | Range]]] = {
    "categorical": (frozenset({"values"}), _categorical),
    "int_uniform": (_MIN_MAX, _int_uniform),
    "uniform": (_MIN_MAX, _uniform),
    "log_uniform": (_MIN_MAX, _log_uniform),
    "log_uniform_values": (_MIN_MAX, _log_uniform_values),
    "inv_log_uniform": (_MIN_MAX, _inv_log_uniform),
    "inv_log_uniform_values": (_MIN_MAX, _log_uniform_values),
    "q_uniform": (_MIN_MAX | {"q"}, _q_uniform),
    "q_log_uniform": (_MIN_MAX | {"q"}, _q_log_uniform),
    "q_log_uniform_values": (_MIN_MAX | {"q"}, _q_log_uniform_values),
}


def _bounds(where: str, spec: Spec) -> tuple[float, float]:
    low, high = _number(where, spec, "min"), _number(where, spec, "max")
    if not low < high:
        raise SpaceError(f"{where}: min = {shown(low)} must be below max = {shown(high)}")
    return low, high


def _number(where: str, spec: Spec, key: str, default: float | None = None) -> float:
    value = spec.get(key, default)
    if isinstance(value, str):
        try:
            suggestion = f"; to YAML {value} is text: write {float(value):.1e}"
        except ValueError:
            suggestion = ""
        raise SpaceError(f"{where}: {key} = {shown(value)} is not a number{suggestion}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise SpaceError(f"{where}: {key} = {shown(value)} is not a finite number")
    return value


def _check_keys(where: str, spec: Spec, allowed: frozenset[str] | set[str]) -> None:
    for key in spec:
        if key not in allowed:
            raise SpaceError(f"{where}: unknown key {shown(key)}{did_you_mean(key, sorted(allowed))}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
