"""Imports go one way, and each framework stays in the files that need it."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from study.records.study_folder import StudyFolder
from tests.records.written import Add, every_fate, tables, write_floor
from tests.studies import small, study_plan

ROOT = Path(__file__).parent.parent
STUDY = ROOT / "study"

# The rooms of `study` (its files and folders) from the ground up: each may import those before it.
ROOMS = [
    *("errors", "signals", "seeds", "registry", "machine", "resources"),
    *("models", "data", "metrics"),
    *("declared", "config", "plan", "space"),
    *("networks", "training"),
    *("records", "plugins", "reporting", "trial", "runner"),
    *("loading", "command", "results", "replay", "train", "tune", "__main__"),
]

ALLOWED = {"ray": {"runner"}, "optuna": {"runner"}, "wandb": {"reporting"}}  # frameworks and rooms


def name_of(path: Path) -> str:
    """'study/data/digits.py' -> 'study.data.digits', 'study/data/__init__.py' -> 'study.data'."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(STUDY.rglob("*.py"))}


def part_of(module: str) -> str:
    """The file or folder of `study` that a module is in: 'study.data.digits' -> 'data'."""
    return [*module.split("."), ""][1]


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those of `if TYPE_CHECKING:`; imports inside functions count."""
    for child in ast.iter_child_nodes(tree):
        if not is_for_types_only(child):
            yield child
            yield from nodes(child)


def imports_of(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports."""
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it goes"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= submodules or {node.module}
    return found


IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}
WITHIN = {module: {name for name in names if name in MODULES} for module, names in IMPORTS.items()}


def reached(module: str) -> set[str]:
    """Modules of `study` that a module depends on, directly or through others."""
    found: set[str] = set()
    todo = [module]
    while todo:
        for name in WITHIN[todo.pop()] - found:
            found.add(name)
            todo.append(name)
    return found


def frameworks(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} & set(ALLOWED)


def test_every_room_has_its_place() -> None:
    assert sorted(ROOMS) == sorted({part_of(module) for module in MODULES} - {""})


@pytest.mark.parametrize("module", [module for module in MODULES if module != "study"])
def test_imports_go_one_way(module: str) -> None:
    own = ROOMS.index(part_of(module))
    upwards = {name for name in WITHIN[module] if part_of(name) and ROOMS.index(part_of(name)) > own}
    assert not upwards, f"{module} imports {sorted(upwards)}, which come after it"


def test_no_two_modules_need_each_other() -> None:
    # A package's __init__ and its own files may name each other: they are one unit.
    units = {
        module: {name for name in names if not module.startswith(name + ".")}
        for module, names in WITHIN.items()
    }
    TopologicalSorter(units).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("module", MODULES)
def test_a_framework_is_imported_where_it_belongs(module: str) -> None:
    for framework in frameworks(IMPORTS[module]):
        assert part_of(module) in ALLOWED[framework], f"{module} imports {framework}"


def test_only_a_command_calls_the_analysis() -> None:
    callers = {
        module for module, names in IMPORTS.items() if any(n.split(".")[0] == "analysis" for n in names)
    }
    assert callers == {"study.tune"}


def test_this_test_sees_the_source() -> None:
    """It would pass without a word if it looked in the wrong place."""
    assert "study.training.pack" in MODULES
    assert "torch" in IMPORTS["study.training.pack"]
    assert {"study.config", "study.models", "study.seeds"} <= reached("study.training.step")
    assert all(part_of(name) for name in MODULES if name != "study")


HEAVY = ("torch", "ray", "optuna", "wandb")
CHEAP = {  # what importing a module must not load: --help answers within a second
    "study": HEAVY,
    "study.plan": HEAVY,
    "study.space": HEAVY,
    "study.tune": HEAVY,
    "study.train": HEAVY,
    "study.results": HEAVY,
    "study.reporting.recorder": HEAVY,
    "study.trial.group": ("ray", "optuna", "wandb"),
    "analysis.watch": HEAVY,
    "analysis.timelapse": HEAVY,
    "analysis.report": (*HEAVY, "matplotlib"),
    "analysis.writer": HEAVY,
}


@pytest.mark.parametrize("module", CHEAP)
def test_importing_it_is_cheap(module: str) -> None:
    assert loaded(f"import {module}") & set(CHEAP[module]) == set()


def loaded(program: str) -> set[str]:
    """The heavy packages that a program has imported in the end."""
    result = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*(set({HEAVY!r}) & sys.modules.keys()))"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split("\n")[-2].split())


ANALYSIS = {name_of(path): path for path in sorted((ROOT / "analysis").rglob("*.py"))}


def test_no_file_of_the_analysis_names_a_heavy_package() -> None:
    found = {name: {own.split(".")[0] for own in imports_of(path)} for name, path in ANALYSIS.items()}
    assert "pandas" in found["analysis.tables"]
    assert {name: names & set(HEAVY) for name, names in found.items() if names & set(HEAVY)} == {}


def test_nor_does_what_the_analysis_imports() -> None:
    assert loaded(f"import {', '.join(ANALYSIS)}") == set()


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "results" / "mine")
    folder.create(study_plan(spaces={"a": small(), "b": small()}, kimg=2.0, eval_kimg=1.0), [], {})
    write_floor(folder)
    return folder


def test_nor_does_what_it_calls(study: StudyFolder, add: Add) -> None:
    every_fate(add)
    tables(study)
    program = (
        "import sys; from pathlib import Path; from analysis import watch; from analysis.tables import load; "
        "from analysis.sections import coverage as c; from analysis.sections.parts import charts; "
        "from analysis.verdicts import coverage; "
        f"folder = {str(study.path)!r}; spaces = load(Path(folder)); assert watch.main([folder]) == 0; "
        "assert [len(coverage(space)) > 0 for space in spaces] == [True, True]; "
        "assert list(charts(c, spaces))"
    )
    assert loaded(program) == set()
