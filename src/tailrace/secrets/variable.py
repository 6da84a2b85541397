"""``Variable``: a value that is set outside of DAG files, by name."""

import json
import logging
from typing import Any

from tailrace.errors import SecretUnreadable
from tailrace.model.plain_text import shown
from tailrace.secrets import source
from tailrace.secrets.names import SecretKind
from tailrace.secrets.requests import VariableChange

_KIND = SecretKind.VARIABLE


class _NotGiven:
    def __repr__(self) -> str:
        return "not given"


_NOT_GIVEN: Any = _NotGiven()


class Variable:
    """Reads, sets and deletes Variables: of the environment, of a secrets backend, or of the metastore."""

    @staticmethod
    def get(
        key: str, default: Any = _NOT_GIVEN, deserialize_json: bool = False, *, default_var: Any = _NOT_GIVEN
    ) -> Any:
        """The Variable's text; with ``deserialize_json`` what its JSON means.

        Without it and without a ``default`` (``default_var`` is Airflow 2's name for it) raises SecretNotFound, a
        KeyError. Raises SecretUnreadable where it is there and cannot be read.
        """
        text = source.find(_KIND, key)
        if text is None:
            default = default_var if default is _NOT_GIVEN else default
            if default is _NOT_GIVEN:
                source.raise_not_found(_KIND, key)
            return default
        return read_json(key, text) if deserialize_json else text

    @staticmethod
    def set(key: str, value: Any, description: str | None = None, serialize_json: bool = False) -> None:
        """Set a Variable in the metastore: text, or what ``str`` makes of it; with ``serialize_json`` its JSON."""
        text = _written_json(key, value) if serialize_json else value if isinstance(value, str) else str(value)
        _change(VariableChange(key, str.__str__(text), description))

    @staticmethod
    def setdefault(key: str, default: Any, description: str | None = None, deserialize_json: bool = False) -> Any:
        """The Variable's value; it is set to ``default`` if there is none."""
        text = source.find(_KIND, key)
        if text is None:
            Variable.set(key, default, description, serialize_json=deserialize_json)
            return default
        return read_json(key, text) if deserialize_json else text

    @staticmethod
    def delete(key: str) -> None:
        """Delete a Variable in the metastore; one that is not there stays so."""
        _change(VariableChange(key, None))


def _change(request: VariableChange) -> None:
    before = source.change(request)
    if before:
        done = "is deleted" if request.value is None else "is set"
        logging.getLogger("tailrace").warning(
            "Variable %s %s in the metastore, and %s goes before it", request.name, done, before
        )


def read_json(key: str, text: str) -> Any:
    """What the JSON of this Variable means. Raises SecretUnreadable."""
    try:
        return json.loads(text)
    except RecursionError:
        raise SecretUnreadable(f"Variable {key!r} is nested too deep to be read as JSON") from None
    except ValueError as wrong:
        where = f"line {wrong.lineno} column {wrong.colno}" if isinstance(wrong, json.JSONDecodeError) else "it"
        raise SecretUnreadable(f"Variable {key!r} is no JSON (at {where}); read it without deserialize_json") from None


def _written_json(key: str, value: Any) -> str:
    try:
        return json.dumps(value, indent=2)
    except (TypeError, ValueError, RecursionError):
        raise TypeError(f"Variable {key!r}: {shown(value)} is no JSON value") from None
