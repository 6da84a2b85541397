"""Tells every browser what has changed: one asks the metastore for all of them, and nobody while none listens.

Each event has the id up to which everything has been told, so that who comes back with it misses nothing; some of what
follows may be told again. Who cannot keep up is dropped, and comes back the same way.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial

from tailrace.errors import EnvironmentBroken
from tailrace.service.change_feed import Change, ChangesRead, read_changes
from tailrace.service.reason_structs import said_by
from tailrace.web.asking import Asking
from tailrace.web.change_ids import ChangeIds
from tailrace.web.event_stream import EventStream, Streams, event

POLL_SECONDS = 0.5
AWAY_SECONDS = 1.0

#: So many changes are read, and told, at a time; so many at most to who comes back, who else begins anew.
MOST_READ = 1000
MOST_REPLAYED = 5000

#: So many events wait for a reader.
MOST_WAITING = 64


class _Reader:
    """One browser that listens."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self.dropped = asyncio.Event()

    def tell(self, told: bytes) -> None:
        try:
            self.events.put_nowait(told)
        except asyncio.QueueFull:
            self.dropped.set()


class ChangeFeed:
    """What has changed, for the readers of one server."""

    def __init__(
        self,
        asking: Asking,
        streams: Streams,
        on_bug: Callable[[Exception], None],
    ) -> None:
        self._asking = asking
        self._on_bug = on_bug
        self._starting = asyncio.Lock()
        self._streams = streams
        self._readers: set[_Reader] = set()
        self._asks: asyncio.Task[None] | None = None
        self._ids = ChangeIds(0)
        self._away = False

    def reply(self, last: str | None) -> EventStream:
        """A stream of what changes from now on, or since the id of the last event that its reader has."""
        self._streams.require_room()
        reader = _Reader()
        return self._streams.reply(self._events(reader, last), reader.dropped)

    async def _events(self, reader: _Reader, last: str | None) -> AsyncGenerator[bytes, None]:
        try:
            yield await self._begin(reader, last)
            while True:
                yield await reader.events.get()
        finally:
            self._readers.discard(reader)
            if not self._readers and self._asks is not None:
                self._asks.cancel()
                self._asks = None

    async def _begin(self, reader: _Reader, last: str | None) -> bytes:
        """What a reader is told first: from where it listens, and what it has missed."""
        async with self._starting:
            if self._asks is None:
                try:
                    await self._look_first()
                    self._away = False
                except EnvironmentBroken as error:
                    self._away = True
                    reader.tell(self._trouble(error))
                self._asks = asyncio.ensure_future(self._ask())
            self._readers.add(reader)
        begun = event("begin", {}, str(self._ids.low))
        return begun if last is None else begun_after(begun, await self._missed(last))

    async def _missed(self, last: str) -> bytes:
        """What who has come back was not told; that it must begin anew where nobody knows, or it is too much."""
        low, high = self._ids.low, self._ids.high
        since = int(last) if last.isascii() and last.isdecimal() and len(last) < 19 else None
        if since is None or since > high:
            return _reset("nobody knows here what was told before")
        if since == high:
            return b""
        try:
            found = await self._asking.ask_apart(
                partial(read_changes, after=since, lacking=(), limit=MOST_REPLAYED + 1)
            )
        except EnvironmentBroken as error:
            return _reset(str(error))
        if len(found.changes) > MOST_REPLAYED:
            return _reset(f"more than {MOST_REPLAYED:,} changes were missed")
        return event("changes", found.changes, str(low))

    # --- one asks for all ----------------------------------------------------------------------------------

    async def _look_first(self) -> None:
        """Where it stands. What is taken and not committed yet is among the newest ids: their gaps are followed."""
        found = await self._read(0, 0)
        newest = found.newest
        self._ids = ChangeIds(newest)
        if found.horizon.next:
            behind = max(0, newest - MOST_READ)
            self._ids = ChangeIds(behind)
            recent = await self._read(behind, MOST_READ)
            self._ids.take([change.change_id for change in recent.changes])
            self._ids.forget()

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(AWAY_SECONDS if self._away else POLL_SECONDS)
            try:
                while await self._tell():
                    pass
            except EnvironmentBroken as error:
                if not self._away:
                    self._away = True
                    self._tell_all(self._trouble(error))
            except Exception as error:
                self._away = True
                self._on_bug(error)

    async def _tell(self) -> bool:
        """Tell all readers what has changed; whether there is more to tell at once."""
        ids = self._ids
        found = await self._asking.ask_apart(
            partial(read_changes, after=ids.high, lacking=ids.lacking, limit=MOST_READ)
        )
        if self._away:
            self._away = False
            self._tell_all(event("back", {}))
        if found.newest < ids.low:
            self._ids = ChangeIds(found.newest)
            self._tell_all(_reset("the metastore is another one, or an older copy", found.newest))
            return False
        is_whole = len(found.changes) < MOST_READ
        self._take(found, is_whole)
        return not is_whole

    def _take(self, found: ChangesRead, is_whole: bool) -> None:
        ids = self._ids
        ids.take([change.change_id for change in found.changes])
        if is_whole:
            ids.give_up(found.horizon.oldest, found.horizon.next)
        if ids.forget():
            self._tell_all(_reset("too much is written at a time to follow it", ids.low))
        elif found.changes:
            self._tell_all(told(found.changes, ids.low))

    async def _read(self, after: int, limit: int) -> ChangesRead:
        return await self._asking.ask_apart(partial(read_changes, after=after, lacking=(), limit=limit))

    def _trouble(self, error: EnvironmentBroken) -> bytes:
        return event("away", {"reasons": said_by(error, self._asking.stores.typed)})

    def _tell_all(self, what: bytes) -> None:
        for reader in self._readers:
            reader.tell(what)


def told(changes: tuple[Change, ...], low: int) -> bytes:
    """Changes, and up to which id all has been told."""
    return event("changes", changes, str(low))


def begun_after(begun: bytes, missed: bytes) -> bytes:
    """What was missed stands before the id from which it goes on."""
    return missed + begun


def _reset(why: str, low: int | None = None) -> bytes:
    """Whoever is told this asks for everything again."""
    return event("reset", {"why": why}, None if low is None else str(low))
