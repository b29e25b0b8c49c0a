"""Files that are written whole or not at all."""

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

FULL = {errno.ENOSPC, errno.EDQUOT}


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, force it to disk, then rename it over `path`."""
    # Neither a process id, which containers share, nor mkstemp, whose files only their owner may read.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_full(error: BaseException | None) -> bool:
    """Whether an error goes back to a disk that has no space left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def full_disk(folder: Path) -> str:
    """Which disk has no space left, in words: a folder's, or that of temporary files."""
    place = min((folder, Path(tempfile.gettempdir())), key=lambda known: shutil.disk_usage(known).free)
    return f"there is no space left on the disk of {place}"


def write_json(path: Path, value: Any) -> None:
    """Write JSON; NaN and infinity are errors, as no other JSON reader would take them."""
    text = json.dumps(value, indent=2, allow_nan=False)
    write_whole(path, lambda temporary: _write_text(temporary, text + "\n"))


def read_json(path: Path) -> Any:
    """Raises ValueError naming what can't be read, isn't JSON, or is no file: a pipe would be waited for."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a file")
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no text, numbers or depth without end
        raise ValueError(f"{path} is not readable JSON: {error}") from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text)
