"""A reply that goes on: server-sent events, until its reader leaves, is too slow, or the server ends.

Where nothing happens a comment is sent, so that both ends know that the other is there. A stream does not go on for
ever: its reader comes back by itself, with the id of the last event, and its session is looked at again.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

from tailrace.web.problems import Refusal
from tailrace.web.replies import json_bytes

HEARTBEAT_SECONDS = 15.0
LONGEST_SECONDS = 3600.0
MOST_STREAMS = 200

_RETRY = b"retry: 1000\n\n"
_HEARTBEAT = b":\n\n"
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


def event(name: str, data: object, id: str | None = None) -> bytes:
    """One event. Its data is JSON, which has no end of a line in it."""
    known = b"" if id is None else f"id: {id}\n".encode()
    return b"%bevent: %b\ndata: %b\n\n" % (known, name.encode(), json_bytes(data))


class Streams:
    """The streams of one server."""

    def __init__(self, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._ending = asyncio.Event()
        self._heartbeat = heartbeat
        self._open = 0

    def end(self) -> None:
        """End them all, and any that is asked for from now on."""
        self._ending.set()

    @property
    def ending(self) -> asyncio.Event:
        """Set once they end."""
        return self._ending

    def require_room(self) -> None:
        """Raise Refusal where there are as many as there may be."""
        if self._open >= MOST_STREAMS:
            detail = f"{MOST_STREAMS} streams are open already"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, retry_after="5")

    def reply(self, events: AsyncGenerator[bytes, None], dropped: asyncio.Event | None = None) -> "EventStream":
        """A reply of these events; ``dropped`` ends it at once, whatever is still to be sent."""
        return EventStream(self, events, dropped or asyncio.Event())

    async def send_all(self, events: AsyncGenerator[bytes, None], send: Send) -> None:
        """Send every event, and comments between them."""
        self._open += 1
        coming: asyncio.Future[bytes] | None = None
        try:
            await _body(send, _RETRY)
            while True:
                coming = coming or asyncio.ensure_future(_next(events))
                done, _ = await asyncio.wait([coming], timeout=self._heartbeat)
                if not done:
                    await _body(send, _HEARTBEAT)
                    continue
                if not (found := coming.result()):
                    return
                coming = None
                await _body(send, found)
        finally:
            self._open -= 1
            if coming is not None:
                coming.cancel()
                await asyncio.wait([coming])
            await events.aclose()


class EventStream:
    """One reply, as an ASGI application."""

    def __init__(self, streams: Streams, events: AsyncGenerator[bytes, None], dropped: asyncio.Event) -> None:
        self._streams = streams
        self._events = events
        self._dropped = dropped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        ends = (_left(receive), self._dropped.wait(), self._streams.ending.wait(), asyncio.sleep(LONGEST_SECONDS))
        sending = asyncio.ensure_future(self._streams.send_all(self._events, send))
        waiting = [sending, *map(asyncio.ensure_future, ends)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            whole = sending.done() or not self._dropped.is_set()
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if whole:  # who is too slow is not waited for once more
            await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _next(events: AsyncGenerator[bytes, None]) -> bytes:
    """The next event; nothing where there is none."""
    return await anext(events, b"")


def _body(send: Send, content: bytes) -> Coroutine[Any, Any, None]:
    message = {"type": "http.response.body", "body": content, "more_body": True}
    return send(message)  # type: ignore[return-value]
