"""A process's requests for Variables and Connections, as messages: of a task to its worker, of a load to its job."""

import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tailrace.execution.messages.channel import Asked, NotToBeAsked, what_is_open
from tailrace.secrets.names import SecretKind, in_environment
from tailrace.secrets.requests import (
    SecretFound,
    SecretQuery,
    SecretRefused,
    SecretReply,
    SecretRequest,
    VariableChange,
)
from tailrace.secrets.source import Ask

#: A reply is sent in pieces of at most so many bytes, behind one that says how long it is.
_PIECE = 1 << 16
_LENGTH = struct.Struct("!Q")


class Replies(Protocol):
    """Who replies to the queries of a process that loads DAG files."""

    def reply(self, query: SecretQuery) -> SecretReply:
        """The reply."""

    def close(self) -> None:
        """Close what was opened for that: no query may follow soon."""


class OfEnvironment:
    """Replies with what this process's own environment holds, and nothing else."""

    def reply(self, query: SecretQuery) -> SecretReply:
        """The text of a variable, if one holds it."""
        found = in_environment(query.kind, query.name, os.environ)
        return SecretFound(None) if found is None else SecretFound(found[1], f"environment {found[0]}")

    def close(self) -> None:
        """Nothing is open."""


# --- of a task ---------------------------------------------------------------------------------------------


def asking(channel: Asked) -> Ask:
    """How a task's process asks its worker."""

    def ask(request: SecretRequest) -> SecretReply:
        try:
            reply = channel.ask(_message(request))
        except NotToBeAsked as no:
            return SecretRefused(str(no))
        if reply is None:
            raise ConnectionError("the worker of this task is gone")
        if "refused" in reply:
            return SecretRefused(reply["refused"])
        return SecretFound(reply["found"], reply["origin"])

    return ask


def _message(request: SecretRequest) -> dict[str, Any]:
    if isinstance(request, SecretQuery):
        return {"secret": {"kind": str(request.kind), "name": request.name}}
    return {"variable": {"name": request.name, "value": request.value, "description": request.description}}


def secret_reply(number: int, reply: SecretReply) -> dict[str, Any]:
    """The reply to a task's request of this number, as it travels."""
    if isinstance(reply, SecretRefused):
        return {"reply_to": number, "refused": reply.why}
    return {"reply_to": number, "found": reply.text, "origin": reply.origin}


# --- of a load ---------------------------------------------------------------------------------------------


class _Packed(Struct, frozen=True):
    found: str | None = None
    origin: str = ""
    refused: str | None = None


def packed_query(query: SecretQuery) -> bytes:
    """A query as a load sends it."""
    return msgspec.msgpack.encode((str(query.kind), query.name))


def unpacked_query(packed: bytes) -> SecretQuery:
    """The query; raises ValueError for what is none."""
    kind, name = msgspec.msgpack.decode(packed, type=tuple[SecretKind, str])
    return SecretQuery(kind, name)


def send_reply(line: socket.socket, reply: SecretReply) -> None:
    """Send a load the reply. Raises OSError where it is gone."""
    refused = reply.why if isinstance(reply, SecretRefused) else None
    found, origin = (None, "") if isinstance(reply, SecretRefused) else (reply.text, reply.origin)
    packed = msgspec.msgpack.encode(_Packed(found, origin, refused))
    line.send(_LENGTH.pack(len(packed)))
    for at in range(0, len(packed), _PIECE):
        line.send(packed[at : at + _PIECE])


def asking_job(line: int, send: Callable[[bytes], None]) -> Ask:
    """How a process that loads DAG files asks its job: ``send`` takes the query, the reply comes on ``line``."""
    opened, own, turn = what_is_open(line), os.getpid(), threading.Lock()

    def ask(request: SecretRequest) -> SecretReply:
        if isinstance(request, VariableChange):
            return SecretRefused("it is set by a task that runs, not while DAG files are loaded")
        if os.getpid() != own:
            return SecretRefused("only the process itself that loads the DAG files can ask for it, not one of its own")
        with turn:
            if what_is_open(line) != opened:
                return SecretRefused("the DAG file has closed the connection over which it is asked for")
            send(packed_query(request))
            packed = msgspec.msgpack.decode(_received(line), type=_Packed)
        return SecretFound(packed.found, packed.origin) if packed.refused is None else SecretRefused(packed.refused)

    return ask


def _received(line: int) -> bytes:
    end = socket.socket(fileno=os.dup(line))
    with end:
        (length,), received = _LENGTH.unpack(_some(end, _LENGTH.size)), b""
        while len(received) < length:
            received += _some(end, _PIECE)
    return received


def _some(end: socket.socket, size: int) -> bytes:
    piece = end.recv(size)
    if not piece:
        raise ConnectionError("the job that these DAG files are loaded for is gone")
    return piece
