"""The folder of what is made once on a machine, for all studies."""

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from study.errors import UserError


def cache_folder() -> Path:
    """GAN_STUDY_CACHE or the user's cache folder, made if need be. Raises UserError when it can't be."""
    path = Path(os.environ.get("GAN_STUDY_CACHE") or user_cache_path("gan-study"))
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise UserError(
            f"the cache folder {path} can't be written ({error.strerror}): set GAN_STUDY_CACHE"
        ) from error
    return path
