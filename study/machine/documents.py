"""YAML as other people write it: read, or refused in one sentence with the place that is at fault."""

from pathlib import Path
from typing import Any

import yaml

from study.errors import shown

MOST_NODES = 100_000  # values of a document
MOST_BYTES = 1_000_000


def read_yaml(path: Path) -> Any:
    """A document as plain Python. Raises ValueError: it can't be read, or isn't YAML (line and column)."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} can't be read: it is not a file")
    if path.exists() and path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path}: it is larger than {MOST_BYTES:,} bytes")
    try:
        return yaml.load(path.read_text(), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: can't be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ValueError(f"{path}{where}: this is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: this is not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:  # an impossible date, a number or depth without end
        raise ValueError(f"{path}: YAML can't make a value of this: {error}") from error


class _Loader(yaml.SafeLoader):
    """Refuses what yaml takes silently: a key that is there twice, aliases that multiply beyond measure."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > MOST_NODES:
            raise yaml.MarkedYAMLError(
                problem=f"it is larger than {MOST_NODES:,} values", problem_mark=node.start_mark
            )
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key)
            if not isinstance(name, str) or name == "<<":
                continue
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{shown(name)} is there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values a document has, its aliases written out; `known`: of parts that were seen before."""
    if id(node) not in known:
        known[id(node)] = 1  # an alias of itself adds nothing
        children = node.value if isinstance(node.value, list) else []
        parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
