"""``Connection``: where another system is and how to log in there, by name."""

import json
from collections.abc import Mapping
from typing import Any

from tailrace.errors import SecretUnreadable
from tailrace.secrets import source
from tailrace.secrets.connection_text import NotAConnection, checked, fields_of, fields_of_uri, json_of, uri_of
from tailrace.secrets.names import SecretKind

_KIND = SecretKind.CONNECTION


class Connection:
    """A Connection: its type, host, login, password, schema, port and whatever else it has in ``extra``, as JSON."""

    conn_id: str | None
    conn_type: str | None
    description: str | None
    host: str | None
    login: str | None
    password: str | None
    schema: str | None
    port: int | None
    extra: str | None

    def __init__(
        self,
        conn_id: str | None = None,
        conn_type: str | None = None,
        description: str | None = None,
        host: str | None = None,
        login: str | None = None,
        password: str | None = None,
        schema: str | None = None,
        port: int | None = None,
        extra: str | Mapping[str, Any] | None = None,
        uri: str | None = None,
    ) -> None:
        self.conn_id = conn_id
        given = {
            "conn_type": conn_type,
            "description": description,
            "host": host,
            "login": login,
            "password": password,
            "schema": schema,
            "port": port,
            "extra": extra,
        }
        if uri is None:
            fields = checked(given)
        elif any(value is not None for name, value in given.items() if name != "description"):
            raise NotAConnection("give a Connection a uri, or its fields, not both")
        else:
            fields = fields_of_uri(uri) | {"description": description}
        self.__dict__.update(fields)

    @classmethod
    def get(cls, conn_id: str) -> "Connection":
        """The Connection of this id: of the environment, of a secrets backend, or of the metastore.

        Raises SecretNotFound, a KeyError, where there is none, SecretUnreadable where it cannot be read.
        """
        text = source.find(_KIND, conn_id)
        if text is None:
            source.raise_not_found(_KIND, conn_id)
        return cls.from_text(conn_id, text)

    @classmethod
    def from_text(cls, conn_id: str, text: str) -> "Connection":
        """The Connection that a URI or a JSON object describes. Raises SecretUnreadable, which repeats none of it."""
        try:
            fields = fields_of(text)
        except NotAConnection as wrong:
            raise SecretUnreadable(f"Connection {conn_id!r}: {wrong}") from None
        return cls(conn_id, **fields)

    @classmethod
    def from_json(cls, value: str, conn_id: str | None = None) -> "Connection":
        """The Connection that a JSON object describes."""
        return cls.from_text(conn_id or "", value)

    def get_uri(self) -> str:
        """The URI that means this Connection; the password is in it."""
        return uri_of(self.__dict__)

    def as_json(self) -> str:
        """The JSON object that means this Connection; the password is in it."""
        return json_of(self.__dict__)

    def get_password(self) -> str | None:
        """The password."""
        return self.password

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """What the JSON of ``extra`` means; an empty dict if there is none. Raises SecretUnreadable."""
        if not self.extra:
            return {}
        try:
            value = json.loads(self.extra)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise SecretUnreadable(f"Connection {self.conn_id!r}: its extra is no JSON object")
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connection) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # its fields may be changed

    def __repr__(self) -> str:
        return f"Connection({self.conn_id!r}, conn_type={self.conn_type!r}, host={self.host!r}, …)"

    def __str__(self) -> str:
        return self.conn_id or ""
