"""The log of a task instance as it is written, over all of its tries: server-sent events that a browser can go on with.

The id of an event is the try and the byte behind it. The file is looked at often, the metastore once a second.
"""

import asyncio
import codecs
import time
from collections.abc import AsyncGenerator
from functools import partial

from msgspec.structs import replace

from tailrace.errors import NotFound, TailraceError
from tailrace.service.log_files import LogPiece, read_piece
from tailrace.service.logs import LogFollowed, LogNamed, TryLog
from tailrace.service.reason_structs import said_by
from tailrace.service.stores import Stores
from tailrace.web.asking import Asking
from tailrace.web.event_stream import event

LOOK_SECONDS = 0.25
_ASK_SECONDS = 1.0
_PIECE = 64 * 1024


class LogStream:
    """Follows one task instance, from a try and a byte of its log on."""

    def __init__(self, asking: Asking, named: LogNamed, last: str | None) -> None:
        self._asking = asking
        number, offset = _place(last)
        self._named = named if number is None else replace(named, try_number=number)
        self._offset = offset
        self._number = 0

    async def begin(self) -> AsyncGenerator[bytes, None]:
        """Find the task instance, so that one that is not there is an error and no stream; its events."""
        followed = await self._asking.ask(partial(LogFollowed, named=self._named))
        return self._events(followed)

    async def _events(self, followed: LogFollowed) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self._number = followed.number
                async for each in self._of_try(followed):
                    yield each
                log, _, more = await self._look(followed)
                if not more:
                    yield event("end", {"stands": log.stands, "missing": log.missing or None}, self._id)
                    return
                followed.number += 1
                self._offset = 0
        except TailraceError as error:  # whoever comes back finds what is there by then
            yield event("away", {"reasons": said_by(error, self._asking.stores.typed)})

    async def _of_try(self, followed: LogFollowed) -> AsyncGenerator[bytes, None]:
        """All of one try's log, and what is added until it is over."""
        log, over, _ = await self._look(followed)
        looked = time.monotonic()
        yield event("try", {"try_number": self._number, "stands": log.stands, "missing": log.missing or None})
        while True:
            piece = await self._piece(followed, log)
            whole = _whole(piece.content, is_last=over)
            if whole:
                self._offset = piece.offset + len(whole)
                text = {"try_number": self._number, "offset": piece.offset, "text": whole.decode(errors="replace")}
                yield event("log", text, self._id)
                continue
            if over:
                return
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() - looked >= _ASK_SECONDS:
                log, over, _ = await self._look(followed)  # asked first: what was written by then is read after it
                looked = time.monotonic()

    async def _look(self, followed: LogFollowed) -> tuple[TryLog, bool, bool]:
        return await self._asking.ask(lambda stores: followed.look())

    async def _piece(self, followed: LogFollowed, log: TryLog) -> LogPiece:
        def read(stores: Stores) -> LogPiece:
            try:
                return read_piece(followed.logs, log.path, self._offset, _PIECE)
            except NotFound:
                if not log.missing:
                    raise
                return LogPiece(self._offset, 0, b"")

        return await self._asking.ask(read)

    @property
    def _id(self) -> str:
        return f"{self._number}.{self._offset}"


def _place(last: str | None) -> tuple[int | None, int]:
    """The try and the byte that an id says; the beginning for none, or what is none."""
    number, _, offset = (last or "").partition(".")
    if all(each.isascii() and each.isdecimal() and len(each) < 16 for each in (number, offset)) and int(number):
        return int(number), int(offset)
    return None, 0


def _whole(content: bytes, *, is_last: bool) -> bytes:
    """Without the beginning of a character that is cut, unless nothing will follow."""
    if is_last:
        return content
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(content)
    held, _ = decoder.getstate()
    return content[: len(content) - len(held)]
