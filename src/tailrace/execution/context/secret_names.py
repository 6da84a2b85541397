"""``var`` and ``conn`` of templates: Variables and Connections by their names."""

from typing import Any

from tailrace.secrets.connection import Connection
from tailrace.secrets.variable import Variable

_NOT_GIVEN = object()


class _ByName:
    """Has what ``get`` returns for a name as the attribute, and the item, of that name."""

    def get(self, name: str, default: Any = _NOT_GIVEN) -> Any:
        """What has this name, or the default."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)


class _Values(_ByName):
    """``var.value`` or ``var.json``: each Variable under its name."""

    def __init__(self, *, json: bool) -> None:
        self._json = json

    def get(self, key: str, default: Any = _NOT_GIVEN) -> Any:
        """The Variable of this name, or the default."""
        if default is _NOT_GIVEN:
            return Variable.get(key, deserialize_json=self._json)
        return Variable.get(key, default, deserialize_json=self._json)

    def __repr__(self) -> str:
        return f"<var.{'json' if self._json else 'value'}>"


class Variables:
    """``var``."""

    value = _Values(json=False)
    json = _Values(json=True)

    def __repr__(self) -> str:
        return "<var>"


class Connections(_ByName):
    """``conn``: each Connection under its id."""

    def get(self, conn_id: str, default: Any = _NOT_GIVEN) -> Any:
        """The Connection of this id, or the default."""
        try:
            return Connection.get(conn_id)
        except KeyError:
            if default is _NOT_GIVEN:
                raise
            return default

    def __repr__(self) -> str:
        return "<conn>"


VAR, CONN = Variables(), Connections()
