"""Where this process gets Variables and Connections from: its own environment, and then whoever ``ask`` leads to.

A task's process asks its worker, a process that loads DAG files asks its job; any other has its environment alone.
Whatever is a secret in what was found is masked before its caller gets it.
"""

import os
from collections.abc import Callable
from typing import NoReturn

from tailrace.errors import SecretNotFound, SecretUnreadable
from tailrace.model.plain_text import is_storable
from tailrace.secrets.known import learn
from tailrace.secrets.masked_values import secrets_of
from tailrace.secrets.names import SecretKind, in_environment, name_error
from tailrace.secrets.not_found import not_found_text
from tailrace.secrets.requests import (
    SecretFound,
    SecretQuery,
    SecretRefused,
    SecretReply,
    SecretRequest,
    VariableChange,
)

Ask = Callable[[SecretRequest], SecretReply]


class _Source:
    """What this process was told."""

    ask: Ask | None = None


def ask_by(ask: Ask | None) -> None:
    """Ask so from now on; None: there is nobody to ask."""
    _Source.ask = ask


def find(kind: SecretKind, name: str) -> str | None:
    """Its text; None where there is none. Raises SecretUnreadable where that cannot be known."""
    if wrong := name_error(kind, name):
        raise ValueError(f"the name of a {kind.shown} must be {wrong}")
    own = in_environment(kind, name, os.environ)
    if own is not None:
        text: str | None = own[1]
    elif _Source.ask is None:
        return None
    else:
        text = _replied(kind, name, SecretQuery(kind, str.__str__(name))).text
    if text is not None:
        learn(secrets_of(kind, name, text))
    return text


def change(request: VariableChange) -> str:
    """Set or delete a Variable; returns what stands before it wherever it is looked for ("": nothing does).

    Raises SecretUnreadable where that cannot be done.
    """
    kind = SecretKind.VARIABLE
    if wrong := name_error(kind, request.name):
        raise ValueError(f"the name of a {kind.shown} must be {wrong}")
    for what, text in (("value", request.value), ("description", request.description)):
        if text is not None and not is_storable(text):
            raise ValueError(
                f"the {what} of {kind.shown} {request.name!r} must be text that can be stored, without NUL"
            )
    if _Source.ask is None:
        raise SecretUnreadable(f"{kind.shown} {request.name!r} cannot be set from here: only a task that runs can")
    if request.value is not None:
        learn(secrets_of(kind, request.name, request.value))
    reply = _replied(kind, request.name, request)
    own = in_environment(kind, request.name, os.environ)
    return reply.origin if own is None else own[0]


def _replied(kind: SecretKind, name: str, request: SecretRequest) -> SecretFound:
    assert _Source.ask is not None, "it is looked at before"
    reply = _Source.ask(request)
    if isinstance(reply, SecretRefused):
        raise SecretUnreadable(f"{kind.shown} {name!r}: {reply.why}")
    return reply


def raise_not_found(kind: SecretKind, name: str) -> NoReturn:
    """Say that it is not there, where it was looked for, and how it is set."""
    raise SecretNotFound(not_found_text(kind, name), kind, name)
