"""Asks an ASGI application as a server would, byte for byte: what a client library would mend or refuse is sent too."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

Headers = Iterable[tuple[bytes, bytes]]


class Reply(Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, as a strict reader of JSON has it."""

        def refuse(name: str) -> None:
            raise ValueError(f"{name} is no JSON")

        return json.loads(self.body, parse_constant=refuse)


def scope_of(target: str, method: str = "GET", headers: Headers = (), host: bytes | None = b"localhost") -> Any:
    """A request as uvicorn gives it."""
    raw_path, _, query = target.encode("latin-1").partition(b"?")
    sent = ([] if host is None else [(b"host", host)]) + list(headers)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "",  # nothing of ours may rely on it
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": sent,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }


class Asker:
    """Asks one application; ``headers`` are sent with every request."""

    def __init__(self, app: Callable[..., Any], *headers: tuple[bytes, bytes]) -> None:
        self.app = app
        self.headers = list(headers)

    def get(self, target: str, *headers: tuple[bytes, bytes], **more: Any) -> Reply:
        """One request, answered whole."""
        return asyncio.run(self.get_here(target, *headers, **more))

    async def get_here(self, target: str, *headers: tuple[bytes, bytes], **more: Any) -> Reply:
        """The same, within a loop."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope_of(target, headers=[*self.headers, *headers], **more), _nothing_more(), send)
        start = next(each for each in sent if each["type"] == "http.response.start")
        body = b"".join(each.get("body", b"") for each in sent if each["type"] == "http.response.body")
        named = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
        return Reply(start["status"], named, body)

    @asynccontextmanager
    async def stream(self, target: str, *headers: tuple[bytes, bytes], room: int = 1000) -> AsyncIterator["Stream"]:
        """A request whose reply goes on; its client reads as fast as ``room`` allows, and has left at the end."""
        stream = Stream(room)
        scope = scope_of(target, headers=[*self.headers, *headers])
        running = asyncio.ensure_future(self.app(scope, stream.receive, stream.send))
        running.add_done_callback(lambda _: stream.finished.set())
        try:
            yield stream
        finally:
            stream.left.set()
            await asyncio.wait([running], timeout=60)
            assert running.done(), "the reply goes on although its client has left"
            running.result()


class Stream:
    """The client's end of a reply that goes on."""

    def __init__(self, room: int) -> None:
        self.left = asyncio.Event()
        self.finished = asyncio.Event()
        self._read = b""
        self.messages: asyncio.Queue[Any] = asyncio.Queue(room)

    async def receive(self) -> Any:
        """The client says nothing more, and at last that it has left."""
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Waits while nobody reads and there is no more room, as a socket does."""
        await self.messages.put(message)

    async def next(self) -> Any:
        """The next message."""
        return await asyncio.wait_for(self.messages.get(), 60)

    async def event(self) -> dict[str, str]:
        """The next server-sent event, by its fields; a comment is under ``""``."""
        while b"\n\n" not in self._read:
            self._read += (await self.next()).get("body", b"")
        text, _, self._read = self._read.partition(b"\n\n")
        found: dict[str, str] = {}
        for line in text.decode().split("\n"):
            name, _, value = line.partition(":")
            found[name] = f"{found[name]}\n{value.strip()}" if name in found else value.strip()
        return found


def _nothing_more() -> Callable[[], Any]:
    messages = iter(({"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}))

    async def receive() -> Any:
        return next(messages)

    return receive
