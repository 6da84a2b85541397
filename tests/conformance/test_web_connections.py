"""What a neighbour may do with a connection itself: real sockets on this machine."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from uvicorn.server import ServerState

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.web import server
from tailrace.web.protocol import Connection

_MEGABYTE = b"x" * 1_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Sends a megabyte after the other until nobody takes any."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100):
        await send({"type": "http.response.body", "body": _MEGABYTE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Refuses whatever is sent, unread."""
    await send({"type": "http.response.start", "status": 413, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b"no"})


@asynccontextmanager
async def connected(application: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config, state = server._config(application), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(config, state, {}, loop), "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            for each in list(state.connections):
                each.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            while state.tasks:
                await asyncio.wait(state.tasks)


def within(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, 60)

    asyncio.run(bounded())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "])
def test_who_asks_for_nothing_in_time_is_let_go(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr("tailrace.web.protocol.HEAD_SECONDS", 0.05)

    async def wait() -> None:
        async with connected(app) as (reader, writer):
            writer.write(begun)
            with pytest.raises(ConnectionResetError):
                if not await reader.read():
                    raise ConnectionResetError

    within(wait())


def test_who_takes_nothing_of_what_is_sent_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.web.protocol.TAKE_SECONDS", 0.05)
    ended = asyncio.Event()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        ended.set()

    async def wait() -> None:
        async with connected(watched) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await ended.wait()  # it sends to nobody from then on, and is done at once
            taken = 0
            while piece := await reader.read(1 << 20):
                taken += len(piece)
            assert taken < 100 * len(_MEGABYTE)

    within(wait())


def test_nonsense_is_refused_and_nobody_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    async def send() -> None:
        for nonsense in (b"\x00\xff\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"b" * 100_000):
            async with connected(app) as (reader, writer):
                writer.write(nonsense)
                assert b"400 Bad Request" in await reader.read()

    within(send())
    assert capfd.readouterr() == ("", "")


def test_a_body_that_is_refused_is_not_read() -> None:
    async def send() -> None:
        async with connected(refusing) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n" + _MEGABYTE)
            assert b"413" in await reader.readline()

    within(send())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "8.8.8.8"])
def test_hosts_that_others_reach_are_refused(host: str) -> None:
    with pytest.raises(CommandError, match="others reach"), server.bound(host, 0):
        pass


@pytest.mark.parametrize("host", ["no host", "", "a\0b", "127.0.0.1:80"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises((CommandError, EnvironmentBroken)) as refused, server.bound(host, 0):
        pass
    assert "\n" not in str(refused.value)


def test_a_port_that_is_taken_is_said() -> None:
    with server.bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with (
            pytest.raises(EnvironmentBroken, match=f"port {port} of 127.0.0.1 is in use"),
            server.bound("127.0.0.1", port),
        ):
            pass
