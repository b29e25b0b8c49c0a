"""A folder that a URL names: in a bucket, or in any other file system that pyarrow knows."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from pyarrow import fs

from study.errors import UserError

BUCKETS = ("s3", "gcs", "abfs")  # where what is written is there whole or not at all
S3_OPTIONS = ("region", "scheme", "endpoint_override")
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # environment variables, the first that is set
# Left to itself, pyarrow waits 100 seconds for an S3 server that is silent, and 15 minutes for Google's.
CONNECT_SECONDS, SILENT_SECONDS = 5.0, 10.0
GS_SECONDS = 10


def is_url(text: object) -> bool:
    return isinstance(text, str) and "://" in text


class RemoteFolder:
    """Files by their names, which are paths below the folder: 'trials/a-00000/config.json'."""

    def __init__(self, url: str, attempts: int = 1) -> None:
        """Connects to nothing yet, where the file system does not have to.

        Args:
            attempts: how often S3 is asked before a request has failed.

        Raises:
            UserError: pyarrow knows no such file system, or the URL holds a password.
        """
        with refused(url):
            self._files, root = _open(url, attempts)
        self._root = PurePosixPath(root)
        self._is_bucket = self._files.type_name in BUCKETS

    def is_within(self, folder: Path) -> bool:
        """Whether it is a folder of this machine's, and that one or below it."""
        return self._files.type_name == "local" and Path(self._root).resolve().is_relative_to(
            folder.resolve()
        )

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all: elsewhere than in a bucket, in a temporary file that is renamed."""
        path = self._root / name
        written = path if self._is_bucket else path.with_name(f".{path.name}.tmp")
        if not self._is_bucket:
            self._files.create_dir(str(path.parent), recursive=True)
        with self._files.open_output_stream(str(written)) as file:
            file.write(content)
        if written != path:
            self._files.move(str(written), str(path))

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        with self._files.open_input_stream(str(self._root / name)) as file:
            return bytes(file.read())

    def download(self, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._files.open_input_stream(str(self._root / name)) as file, path.open("wb") as copy:
            shutil.copyfileobj(file, copy)

    def delete(self, name: str) -> None:
        """Where it is there."""
        with suppress(FileNotFoundError):
            self._files.delete_file(str(self._root / name))

    def sizes(self) -> dict[str, int]:
        """The size in bytes of every file that is there."""
        below = fs.FileSelector(str(self._root), recursive=True, allow_not_found=True)
        return {
            str(PurePosixPath(info.path).relative_to(self._root)): info.size
            for info in self._files.get_file_info(below)
            if info.is_file
        }


@contextmanager
def refused(url: str, what: str = "used") -> Iterator[None]:
    """Whatever goes wrong within is a UserError: the URL can't be used, or fetched, say."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each file system has its own
        raise UserError(f"{url} can't be {what}: {reason(error)}") from error


def reason(error: BaseException, letters: int = 120) -> str:
    """An error of a file system in a few words: those of the server, where it spoke."""
    text = str(error).partition("\n")[0]
    text = re.sub(r" during \w+ operation: (curlCode: \d+, )?", ": ", text.partition("AWS Error ")[2] or text)
    for rest in ("(Request ID:", "; Details:", "Detail: ["):
        text = text.partition(rest)[0]
    text = " ".join(text.split()).rstrip(".") or type(error).__name__
    return text if len(text) <= letters else text[: letters - 4] + " ..."


def _open(url: str, attempts: int) -> tuple[fs.FileSystem, str]:
    """The file system, and the folder's path in it."""
    if not is_url(url):
        raise UserError(f"{url} is not a URL, such as s3://bucket/path or file:///path")
    parts = urlsplit(url)
    if parts.password is not None:
        raise UserError(
            f"a URL {parts.scheme}:// with a password would be kept in study.json: credentials come from "
            "the environment"
        )
    if parts.scheme == "s3":
        return _s3(parts.netloc, dict(parse_qsl(parts.query)), attempts), parts.netloc + unquote(parts.path)
    if parts.scheme in ("gs", "gcs") and "retry_limit_seconds" not in parts.query:
        url += f"{'&' if parts.query else '?'}retry_limit_seconds={GS_SECONDS}"
    found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(url)
    return found


def _s3(bucket: str, options: dict[str, str], attempts: int) -> fs.FileSystem:
    """As pyarrow makes it of a URL, but less patient."""
    for name in options:
        if name not in S3_OPTIONS:
            raise UserError(f"s3://{bucket}: {name} is not one of {', '.join(S3_OPTIONS)}")
    endpoint = next(filter(None, map(os.environ.get, S3_ENDPOINTS)), None)
    options = {**({"endpoint_override": endpoint} if endpoint else {}), **options}
    if "region" not in options and "endpoint_override" not in options:
        options["region"] = fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        **options,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
        allow_delayed_open=True,  # one request for a small file instead of three
    )
