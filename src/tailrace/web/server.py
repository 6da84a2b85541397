"""The process of ``tailrace web``: takes a port of this machine, serves until it is interrupted, and ends at once."""

import asyncio
import ipaddress
import logging
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL

import uvicorn

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.service.stores import Stores
from tailrace.web.application import OPEN, Application, Site
from tailrace.web.protocol import Connection
from tailrace.web.sessions import Sessions
from tailrace.web.signing_in import TOKEN

#: By which names of its own a machine is asked.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

MOST_CONNECTIONS = 500
_GRACE_SECONDS = 0.4
_BACKLOG = 128


def serve(
    stores: Stores,
    host: str,
    port: int,
    on_address: Callable[[str], None],
    on_bug: Callable[[Exception], None],
    *,
    open_metrics: bool = False,
) -> int:
    """Serve until an interrupt; returns its exit code. ``on_address`` is told each address with a one-time token.

    Raises CommandError for a host that others reach too, EnvironmentBroken for a port that cannot be had.
    """
    with bound(host, port) as listening:
        number = listening.getsockname()[1]
        sessions = Sessions(time.monotonic, lambda: secrets.token_urlsafe(32))

        def offer() -> None:
            on_address(f"http://{_shown(listening)}:{number}/?{TOKEN}={sessions.token}")

        names = frozenset({*LOOPBACK_NAMES, _shown(listening)})
        site = Site(number, names, OPEN | {"/metrics"} if open_metrics else OPEN)
        app = Application(stores, sessions, site, offer, on_bug)
        server = _Server(_config(app), app.end_streams)
        try:
            asyncio.run(server.serve_and_tell(listening, offer))
        finally:
            app.close()
        return 128 + server.ended_by


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there. Raises CommandError or EnvironmentBroken where that may not, or cannot, be."""
    family, address = _loopback(host)
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((address, port))
            listening.listen(_BACKLOG)
        except OSError as trouble:
            if trouble.errno == EADDRINUSE:
                raise EnvironmentBroken(
                    f"port {port} of {host} is in use, perhaps by another server of ours; --port N takes another"
                ) from None
            advice = {EACCES: "; --port N takes another", EADDRNOTAVAIL: "; leave --host out"}
            raise EnvironmentBroken(
                f"port {port} of {host} cannot be had: {trouble.strerror}{advice.get(trouble.errno or 0, '')}"
            ) from None
        yield listening


def _loopback(host: str) -> tuple[socket.AddressFamily, str]:
    """The address of a host that nobody reaches but this machine. Raises CommandError for any other."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CommandError(f"--host: there is no host {host!r}; leave it out, or give an address") from None
    addresses = [(family, str(address[0])) for family, _, _, _, address in found]
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for _, address in addresses):
        raise CommandError(
            f"--host: others reach {host}, and nobody would be asked who they are: only 127.0.0.1, ::1 and localhost "
            "are served yet; from elsewhere, `ssh -L 8080:127.0.0.1:8080 THIS_HOST` brings the page there"
        )
    return addresses[0]


def _shown(listening: socket.socket) -> str:
    address = str(listening.getsockname()[0])
    return f"[{address}]" if ":" in address else address


def _config(app: object) -> uvicorn.Config:
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).addHandler(logging.NullHandler())  # who sends nonsense fills no terminal
        logging.getLogger(name).propagate = False
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=Connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=32_768,
        timeout_graceful_shutdown=_GRACE_SECONDS,  # type: ignore[arg-type]  # it is only waited for
    )


class _Server(uvicorn.Server):
    """Ends within a second of its interrupt, and leaves the signal to who asks for the exit code."""

    ended_by = signal.SIGINT

    def __init__(self, config: uvicorn.Config, on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_end = on_end

    async def serve_and_tell(self, listening: socket.socket, tell: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end, number)
        tell()
        await self._serve([listening])

    def _end(self, number: signal.Signals) -> None:
        self.ended_by = number
        self.force_exit = self.should_exit
        self.should_exit = True
        self._on_end()
