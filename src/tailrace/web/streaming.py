"""What can be asked and goes on: what changes, and a log as it is written. Each is an operation as others are."""

from msgspec import Struct

from tailrace.web.api.task_instances import TASK, OneTry
from tailrace.web.asking import Asking
from tailrace.web.change_feed import ChangeFeed
from tailrace.web.event_stream import EventStream, Streams
from tailrace.web.log_stream import LogStream
from tailrace.web.operations import Asked, Operation


class Streaming(Struct, frozen=True):
    """What the streams of one server are made of."""

    asking: Asking
    streams: Streams
    changes: ChangeFeed


async def follow_changes(server: Streaming, asked: Asked, last: str | None) -> EventStream:
    """What changes: events `begin`, `changes` (a list of them), `reset` (ask for everything again), `away`, `back`.

    The id of an event, sent back as `Last-Event-ID`, goes on from there; some changes may be sent again.
    """
    return server.changes.reply(last)


async def follow_log(server: Streaming, asked: OneTry, last: str | None) -> EventStream:
    """The log of a task instance as it is written, over all its tries: events `try`, `log`, and at last `end`.

    The id of an event, sent back as `Last-Event-ID`, goes on from there.
    """
    server.streams.require_room()
    return server.streams.reply(await LogStream(server.asking, asked.log, last).begin())


CHANGES = Operation("/events", follow_changes)
STREAMS = (CHANGES, Operation(f"{TASK}/log/follow", follow_log))
