"""Secrets backends: classes of a person's own that know Variables and Connections, from a vault say.

``secrets_backend = "package.module:Class"``, or the name that a package has registered as an entry point of the group
``tailrace.secrets_backends``. The class is made with ``secrets_backend_kwargs`` and has one method or both:
``get_variable(key)`` and ``get_connection(conn_id)``. Each returns None where it knows none, so that the next is asked.
A Variable is text; a Connection is a URI, JSON, a dict of its fields, or a ``tailrace.Connection``.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tailrace.errors import EnvironmentBroken
from tailrace.model.plain_text import visible_line
from tailrace.named_classes import class_of
from tailrace.secrets.connection import Connection
from tailrace.secrets.connection_text import NotAConnection, fields_of_dict, json_of
from tailrace.secrets.names import SecretKind
from tailrace.secrets.requests import SecretFound, SecretQuery, SecretRefused, SecretReply

GROUP = "tailrace.secrets_backends"

#: One that takes longer is not waited for: whoever asks has a lease to renew.
SECONDS = 5.0


class Backend(Protocol):
    """What a secrets backend is. A method that it does not have knows nothing."""

    def get_variable(self, key: str) -> str | None:
        """The text of a Variable."""

    def get_connection(self, conn_id: str) -> Any:
        """A Connection."""


class NamedBackend:
    """A backend, by the name that the settings have for it; made when it is first asked."""

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name = name
        self._arguments = dict(arguments)
        self._made: Any = None

    def ask(self, query: SecretQuery) -> SecretReply | None:
        """Its reply; None: it knows none of that name. What is wrong with it is a reply too."""
        result: list[SecretReply | None] = []
        thread = threading.Thread(target=lambda: result.append(self._ask(query)), daemon=True)
        thread.start()
        thread.join(SECONDS)
        if not result:
            return SecretRefused(f"the secrets backend {self.name} did not reply within {SECONDS:g} s")
        return result[0]

    def _ask(self, query: SecretQuery) -> SecretReply | None:
        try:
            self._made = self._made or class_of(self.name, GROUP, "secrets_backend", "secrets backend")(
                **self._arguments
            )
            method = getattr(self._made, f"get_{query.kind}", None)
            found = None if method is None else method(query.name)
            return None if found is None else SecretFound(_text(query, found), f"secrets backend {self.name}")
        except EnvironmentBroken as wrong:
            return SecretRefused(str(wrong))
        except NotAConnection as wrong:
            return SecretRefused(f"what the secrets backend {self.name} returned for it is no Connection: {wrong}")
        except BaseException as wrong:  # code of the person's own; its text may hold what it looked for
            return SecretRefused(f"the secrets backend {self.name} raised {visible_line(type(wrong).__name__)}")


def backends_of(names: Sequence[str], arguments: Mapping[str, Any]) -> tuple[NamedBackend, ...]:
    """The backends of these names, in order. Arguments stand under the name of each, where there are several."""
    if len(names) == 1:
        return (NamedBackend(names[0], arguments),)
    return tuple(NamedBackend(name, arguments.get(name, {})) for name in names)


def _text(query: SecretQuery, found: Any) -> str:
    if query.kind is SecretKind.VARIABLE:
        return str(found)
    if isinstance(found, Connection):
        return found.as_json()
    if isinstance(found, Mapping):
        return json_of(fields_of_dict(found))
    return str(found)
