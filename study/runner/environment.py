"""Ray's environment variables, set before Ray is imported: some are read only then."""

import logging
import os
import socket
import tempfile
from pathlib import Path

from study.errors import UserError

CONNECT_SECONDS = 5.0
SOCKET_BYTES = 107
LEAST_BYTES = 1_000_000  # that have to fit into the temporary folder
# The longest socket name that Ray makes below its temporary folder.
SOCKET_EXAMPLE = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
COPIES_OF_JOBS = "working_dir_files"
# Ray's head speaks HTTP/2, which both sides begin with a frame of settings: its type is the fourth byte.
SETTINGS_FRAME = b"\0\0\0\x04\0\0\0\0\0"
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS_FRAME
SETTINGS = {
    # No banner, usage report or logger callbacks of Ray's own: the study has its tables.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Ray Tune's workers have an environment of their own and never use those that Ray starts ahead.
    "RAY_prestart_worker_first_driver": "0",
}
# Ray's switch for clusters of several machines, which it has off on some systems: everything that it starts
# listens on the loopback address alone then.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def check_stays(folder: Path) -> None:
    """Raises UserError: the folder is in the copy that Ray makes, for a job, of its --working-dir."""
    if COPIES_OF_JOBS in folder.resolve().parts:
        raise UserError(
            f"{folder} would lie in Ray's copy of the job's --working-dir, which Ray deletes: "
            "give --results, or --resume, an absolute path"
        )


def prepare(address: str | None) -> None:
    """Set Ray up for a local study, or for joining the cluster at `address`.

    Raises:
        UserError: what would fail obscurely later: sockets' paths too long, nobody listening, Ray's client.
    """
    for name, value in (SETTINGS | (LOOPBACK if address is None else {})).items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    if address is None:
        _check_temporary_folder()
        _check_home()
        return
    _check_listening(address)
    if "RAY_AUTH_TOKEN" in os.environ or (Path.home() / ".ray" / "auth_token").exists():
        # `ray start` asks for the token whenever there is one; a client has to be told to send it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _check_temporary_folder() -> None:
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    temporary = Path(chosen) / "ray"
    length = len(os.fsencode(temporary / SOCKET_EXAMPLE))
    if length > SOCKET_BYTES:
        raise UserError(
            f"the temporary folder {chosen} is too long for Ray's sockets ({length} bytes, "
            f"at most {SOCKET_BYTES}): set RAY_TMPDIR to a shorter one"
        )
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=temporary) as file:
            file.write(bytes(LEAST_BYTES))
    except OSError as error:
        raise UserError(
            f"the temporary folder {chosen} can't be written ({error.strerror}): set RAY_TMPDIR to another"
        ) from error


def _check_home() -> None:
    """Ray keeps the token of its authentication there, and makes one where there is none."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError) as error:  # the latter: nobody knows where it is
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"the home folder can't be written, where Ray keeps its token ({reason}): set HOME to another"
        ) from error


def _check_listening(address: str) -> None:
    """Ray itself would try for minutes where nobody listens, or something else (such as its dashboard)."""
    if address.startswith("ray://"):  # the driver would be elsewhere
        raise UserError(
            f"{address} is Ray's client, through which no study can run: start it on one of the cluster's "
            "machines, with --address auto"
        )
    if "://" in address:
        raise UserError(f"{address} is no cluster's address: that is HOST:PORT, or auto")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as connection:
            if "RAY_USE_TLS" in os.environ:
                return
            connection.sendall(HELLO)
            answer = connection.recv(len(SETTINGS_FRAME))
    except (OSError, OverflowError) as error:
        raise UserError(f"there is no Ray cluster to join at {address!r}: {error}") from error
    if answer[3:4] != SETTINGS_FRAME[3:4]:
        raise UserError(f"there is no Ray cluster to join at {address!r}: something else listens there")
