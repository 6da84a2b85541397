"""Which texts are secrets, of what a Variable or a Connection holds: a policy, in one place.

Of a Variable whose name says so (``is_sensitive``) all of it, and each text in it if it is JSON. Of any other one, what
stands in its JSON under such a name, and passwords in URLs. Of a Connection, its password, what stands in its ``extra``
under such a name, and the form in which a password travels in HTTP.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from tailrace.secrets.connection_text import NotAConnection, fields_of
from tailrace.secrets.names import SecretKind, is_sensitive

#: In characters. Shorter ones would make logs unreadable, and hide nothing.
SHORTEST_SECRET = 4

_NO_SECRETS = frozenset({"true", "false", "none", "null"})
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@?#]*:([^/\s@]+)@")


def secrets_of(kind: SecretKind, name: str, text: str) -> set[str]:
    """Every text in it that is not to be seen; too short ones are left out."""
    return {each for each in _all_of(kind, name, text) if can_be_masked(each)}


def has_short_secret(kind: SecretKind, name: str, text: str) -> bool:
    """Whether there is one that is too short to be masked."""
    return any(each.strip() and not can_be_masked(each) for each in _all_of(kind, name, text))


def can_be_masked(text: str) -> bool:
    """Whether a text is long enough, and of its own."""
    return len(text.strip()) >= SHORTEST_SECRET and text.strip().lower() not in _NO_SECRETS


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, numbers as they are written."""
    if isinstance(value, dict):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _all_of(kind: SecretKind, name: str, text: str) -> Iterator[str]:
    return _of_connection(text) if kind is SecretKind.CONNECTION else _of_variable(name, text)


def _of_variable(name: str, text: str) -> Iterator[str]:
    value = _json(text)
    if is_sensitive(name):
        yield text
        if isinstance(value, dict | list):
            yield from texts_in(value)
        return
    yield from _under_sensitive_names(value)
    yield from _PASSWORD_IN_URL.findall(text)


def _of_connection(text: str) -> Iterator[str]:
    try:
        fields = fields_of(text)
    except NotAConnection:  # whoever wanted it gets an error, which does not repeat it
        yield text
        return
    password, login = fields["password"], fields["login"]
    if password:
        yield password
        if login:
            yield base64.b64encode(f"{login}:{password}".encode("utf-8", "surrogatepass")).decode()
    if fields["extra"]:
        yield from _under_sensitive_names(_json(fields["extra"]))
        yield from _PASSWORD_IN_URL.findall(fields["extra"])


def _under_sensitive_names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if is_sensitive(name):
                yield from texts_in(each)
            else:
                yield from _under_sensitive_names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _under_sensitive_names(each)


def _json(text: str) -> Any:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
