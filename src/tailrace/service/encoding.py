"""Structs as JSON, for the command line and for HTTP alike. Moments are ISO 8601 with their offset."""

import json
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec import to_builtins


def builtins_of(value: object) -> Any:
    """What JSON is made of, with moments as they are."""
    return to_builtins(value, builtin_types=(datetime,), enc_hook=_plain)


def json_of(value: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A struct, or lists and mappings of structs, as JSON text."""
    return json.dumps(builtins_of(value), indent=indent, ensure_ascii=ascii_only, default=datetime.isoformat)


def _plain(value: object) -> object:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError(f"no JSON for a {type(value).__name__}")
