"""What may be wrong with a file that other people wrote: a function of its path and random numbers each."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from study.machine.documents import read_yaml

RAW = "\x1araw:"  # what follows in a text stands in the JSON without quotes
NASTY: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, 10**400, -0.5, 0.5, 1e308, f"{RAW}1e400", f"{RAW}NaN"),
    *(f"{RAW}-Infinity", f"{RAW}{'9' * 5000}", f"{RAW}{'[' * 100_000}", "", "a", "0", "1e5", "yes", "\0"),
    *("../../evil", "/etc/passwd", "..", "a/b", "a\\b", "\n", "\ud800", "x" * 10_000, "completed", "pruned"),
    *("failed", "wgan_gp", "dcgan", "fd", "w1", "a-00001", "2026-01-01", [], {}, [0], [[]], ["a"], [None]),
    *([0, 0], [0, 1, 2], {"a": 1}, {"a": []}, {"": {}}, list(range(1000))),
]
Mutation = Callable[[Path, Random], None]


def cut(path: Path, random: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(len(content) + 1)])


def flip(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(random.choice([1, 1, 5])):
        if content:
            content[random.randrange(len(content))] = random.randrange(256)
    path.write_bytes(content)


def insert(path: Path, random: Random) -> None:
    content = path.read_bytes()
    place = random.randrange(len(content) + 1)
    path.write_bytes(content[:place] + random.randbytes(random.choice([1, 10, 1000])) + content[place:])


def repeat_a_line(path: Path, random: Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True) or [b""]
    line = random.choice(lines)
    lines.insert(random.randrange(len(lines) + 1), line)
    path.write_bytes(b"".join(lines))


def drop_a_line(path: Path, random: Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True) or [b""]
    lines.pop(random.randrange(len(lines)))
    path.write_bytes(b"".join(lines))


def empty(path: Path, random: Random) -> None:
    del random
    path.write_bytes(b"")


def delete(path: Path, random: Random) -> None:
    del random
    path.unlink()


def make_a_folder(path: Path, random: Random) -> None:
    path.unlink()
    path.mkdir()
    if random.random() < 0.5:
        (path / "file").touch()


def make_a_pipe(path: Path, random: Random) -> None:
    del random
    path.unlink()
    os.mkfifo(path)


def make_a_link(path: Path, random: Random) -> None:
    """To somebody's file or folder, to nothing, or to itself; `outside` lies beside the study's folder."""
    path.unlink()
    outside = next(parent for parent in path.parents if (parent / "outside").is_dir()) / "outside"
    path.symlink_to(random.choice([outside / "file", outside, outside / "absent", path]))


def swap_a_value(path: Path, random: Random) -> None:
    """A value of a JSON file, or of one of its lines, is another, missing, or under another name."""
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = random.randrange(len(lines))
    text = json.dumps(_swapped(json.loads(lines[number]), random))
    while (begin := text.find(json.dumps(RAW)[:-1])) >= 0:
        end = text.index('"', begin + 1)
        text = text[:begin] + text[begin + len(json.dumps(RAW)) - 1 : end] + text[end + 1 :]
    lines[number] = text
    path.write_text("\n".join(lines) + "\n")


def swap_a_value_of_a_space(path: Path, random: Random) -> None:
    document = _swapped(read_yaml(path), random)
    path.write_text(yaml.safe_dump(document, allow_unicode=False), errors="surrogateescape")


def _swapped(document: Any, random: Random) -> Any:
    places = [(None, None), *_places(document)]
    holder, key = random.choice(places)
    value = random.choice(NASTY)
    if holder is None:
        return value
    if isinstance(holder, dict) and random.random() < 0.3:
        former = holder.pop(key)
        if random.random() < 0.5:
            holder[str(value)] = former
    else:
        holder[key] = value
    return document


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every place of a document: what holds it, and its key or number there."""
    if not isinstance(node, dict | list):
        return []
    keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
    found = [(node, key) for key in keys]
    for key in keys:
        found += _places(node[key])
    return found


def write_a_word(path: Path, random: Random) -> None:
    """Somewhere in a text stands something else."""
    words = [
        *("null", "~", "true", ".nan", ".inf", "-1", "0", "1e5", "1.0e400", "0x" + "f" * 5000, "9" * 5000),
        *("'text'", "[]", "{}", "[1, a]", "{a: 1}", "&a [*a, *a]", "*b", "!!python/object:os.system x"),
        *("!!binary aGk=", "2026-99-99", "1:2:3", "? [a]", "<<: {a: 1}", "[" * 5000, "{a: " * 2000, "\0"),
        *("../../evil", "x" * 10_000, "- ", ": ", "\t", "---\n", "...", "\ufeff", "é", "\n  lr_g: 1\n"),
        *("min", "max", "values", "value", "distribution", "q_uniform", "int_uniform", "grid", "bayes"),
    ]
    tokens = path.read_text().replace("{", " { ").replace("}", " } ").split(" ")
    tokens[random.randrange(len(tokens))] = random.choice(words)
    path.write_text(" ".join(tokens))


def bomb(path: Path, random: Random) -> None:
    """Aliases that multiply."""
    key = random.choice(["description", "parameters", "method", "metric", "command"])
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path.write_text("\n".join([*lines, f"{key}: *a11", path.read_text()]))


ANY_FILE: list[Mutation] = [cut, flip, insert, empty, delete, make_a_folder, make_a_pipe, make_a_link]
TEXT: list[Mutation] = [repeat_a_line, drop_a_line]


def mutate_a_trial(trials: Path, random: Random) -> None:
    """A trial's folder is gone, copied, called otherwise, or none."""
    folder = random.choice([path for path in sorted(trials.iterdir()) if path.is_dir()])
    names = ["a-00009", "a-00000-copy", "c-00000", "a-x", "a-99999999999999999999", "-1", "..x", "x" * 250]
    other = trials / random.choice([*names, "a b", "a\nb"])
    how = random.choice(["delete", "copy", "rename", "link", "file"])
    if how == "copy":
        shutil.copytree(folder, other, dirs_exist_ok=True)
    elif how == "rename" and not other.exists():
        folder.rename(other)
    else:
        shutil.rmtree(folder)
        if how == "file":
            folder.touch()
        if how == "link":
            folder.symlink_to(trials.parents[1] / "outside")
