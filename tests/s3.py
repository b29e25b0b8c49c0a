"""An S3 server of moto's on the loopback address, and a proxy before it that has faults when told to."""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOOPBACK = "127.0.0.1"
SLOW_SECONDS = 0.2  # a piece
PIECE = 65536  # bytes


@contextmanager
def server() -> Iterator[str]:
    """Its endpoint, 'http://127.0.0.1:<port>'."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 60
        while True:
            assert process.poll() is None
            assert time.monotonic() < limit
            with suppress(OSError):
                socket.create_connection((LOOPBACK, port), timeout=1).close()
                break
            time.sleep(0.1)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.terminate()
        process.wait(10)


def make_bucket(endpoint: str, name: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT"), timeout=10).close()


class Proxy:
    """Passes connections on to a server. May be told to be 'refused', 'silent', 'slow' or to 'cut' them."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._server = (host, int(port))
        self._port = 0
        self._open: list[socket.socket] = []
        self._mode = ""
        self._listen()

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def _listen(self) -> None:
        self._listener = socket.create_server((LOOPBACK, self._port), backlog=64)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def be(self, mode: str) -> None:
        """From now on; '': as if it were not there."""
        before, self._mode = self._mode, mode
        if mode == "refused":
            self.close()
        else:
            self._drop()
            if before == "refused":
                self._listen()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if self._mode == "silent":
                    continue
                if self._mode == "slow":
                    time.sleep(SLOW_SECONDS)
                if self._mode == "cut":
                    target.sendall(piece[: len(piece) // 2])
                    break
                target.sendall(piece)
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)
