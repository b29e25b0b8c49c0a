"""The errors that are the user's to mend: a command, a file that it names, or what it runs on is wrong."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb

MOST_SHOWN = 200  # characters of a value that a message repeats
MOST_PRINTED = 1000  # of a whole message: of a longer one its beginning and its end


class UserError(ValueError):
    """Bad input. The commands print its single sentence on stderr and exit with status 2."""


class StoppedError(RuntimeError):
    """Why a study can't go on now, in one sentence: its disk is full, or Ray is gone. It can be resumed."""


class ConfigError(UserError):
    """A hyperparameter is unknown, has the wrong type or lies outside its limits."""


def shown(value: object) -> str:
    """A value of a file or of a command line as a message repeats it: its repr, or how that begins."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no more than 4,300 digits
        text = "a number of thousands of digits"
    return cut(text)


def cut(text: str) -> str:
    """A text, or how it begins."""
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 4]} ..."


def sentence(message: object) -> str:
    """A message as it is printed: one line, of which nothing that it repeats makes pages."""
    line = " ".join(cut(word) for word in str(message).split())
    return line if len(line) <= MOST_PRINTED else f"{line[:MOST_SHOWN]} ... {line[-MOST_SHOWN:]}"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """'; did you mean ...?' or the list of what exists: the end of an 'unknown' message."""
    names = list(known)
    near = get_close_matches(str(word), names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(names)}"


def not_one_of(name: str, value: object, known: Iterable[str]) -> str:
    """'<name> = <value> is not one of ...; did you mean ...?'."""
    names = list(known)
    near = get_close_matches(str(value), names, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{name} = {shown(value)} is not one of {', '.join(names)}{meant}"


def some_of(names: Iterable[str], n: int = 10) -> str:
    """The first few of many names: 'a, b, c and 5 more'."""
    known = list(names)
    more = f" and {len(known) - n} more" if len(known) > n else ""
    return ", ".join(known[:n]) + more


def last_line(error: BaseException) -> str:
    """'ZeroDivisionError: division by zero (mine.py:12)': an exception and its place in the user's code."""
    place = ""
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})"
        error = SyntaxError(error.msg)
    others = (
        "<",
        "site-packages",
        "dist-packages",
        f"{Path(__file__).parent}{os.sep}",
        f"{Path(os.__file__).parent}{os.sep}",
    )
    for frame in extract_tb(error.__traceback__):
        if not any(part in frame.filename for part in others):
            place = f" ({frame.filename}:{frame.lineno})"
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if message else ''}{message}{place}"
