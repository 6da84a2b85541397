"""A Connection as text: a URI, as Airflow writes it, or JSON. No mistake repeats the text: a password may be in it.

``TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA?NAME=VALUE``; each part percent-encoded, the pairs at the end are ``extra``.
An ``extra`` that is no plain pairs stands in ``__extra__``. The host may have a protocol of its own in front of the
login: ``http://https://LOGIN@HOST``.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

FIELDS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")

_EXTRA = "__extra__"
_TYPE = re.compile("[A-Za-z][A-Za-z0-9+._-]*")
#: Types that Airflow knows by another name.
_OTHER_NAMES = {"postgresql": "postgres"}
_GREATEST_PORT = 65535


class NotAConnection(ValueError):
    """The text is no Connection; the message says what is wrong and repeats nothing of it."""


def fields_of(text: str) -> dict[str, Any]:
    """The fields of a Connection that is written as a URI or as a JSON object. Raises NotAConnection."""
    stripped = text.strip()
    if stripped.startswith("{"):
        return fields_of_json(stripped)
    if "://" not in stripped:
        raise NotAConnection("it is neither a URI (TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA) nor a JSON object")
    return fields_of_uri(stripped)


def fields_of_json(text: str) -> dict[str, Any]:
    """The same, of JSON. Raises NotAConnection."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise NotAConnection("it is no JSON object")
    return fields_of_dict(given)


def fields_of_dict(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same, of a dict of fields, or of one that has a ``uri``. Raises NotAConnection."""
    fields = {name: value for name, value in given.items() if name != "conn_id"}
    if fields.keys() == {"uri"} and isinstance(fields["uri"], str):
        return fields_of_uri(fields["uri"])
    if strange := sorted(map(str, fields.keys() - set(FIELDS))):
        raise NotAConnection(f"a Connection has no field {strange[0]!r}; it has {', '.join(FIELDS)}")
    return checked(fields)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, each of the type that it must have, with those that were not given. Raises NotAConnection."""
    fields: dict[str, Any] = dict.fromkeys(FIELDS) | dict(given)
    for name in FIELDS:
        value = fields[name]
        if name == "extra":
            fields[name] = extra_text(value)
        elif name == "port":
            fields[name] = _port(value)
        elif value is not None and not isinstance(value, str):
            raise NotAConnection(f"its {name} must be text")
    if fields["conn_type"]:
        fields["conn_type"] = normal_type(fields["conn_type"])
    return fields


def extra_text(value: Any) -> str | None:
    """``extra`` as it is kept: text, JSON if it was given as a dict. Raises NotAConnection."""
    if value is None or isinstance(value, str):
        return value or None
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        raise NotAConnection("its extra must be text or a JSON object") from None


def normal_type(name: str) -> str:
    """The type as Airflow writes it: ``google-cloud`` is ``google_cloud``. Raises NotAConnection."""
    if not _TYPE.fullmatch(name):
        raise NotAConnection("its type must be letters, digits and underscores (postgres, http, aws)")
    plain = name.lower().replace("-", "_")
    return _OTHER_NAMES.get(plain, plain)


def fields_of_uri(uri: str) -> dict[str, Any]:
    """The same, of a URI. Raises NotAConnection."""
    scheme, _, rest = uri.partition("://")
    if not scheme or "://" in scheme or not _TYPE.fullmatch(scheme):
        raise NotAConnection("a URI begins with its type: postgres://…")
    rest, _, query = rest.partition("?")
    if "#" in rest or "#" in query:
        raise NotAConnection("a # in a URI must be percent-encoded as %23")
    protocol, found, behind = rest.partition("://")
    if found:
        if not _TYPE.fullmatch(protocol):
            raise NotAConnection("a : or / in its login or password must be percent-encoded (%3A, %2F)")
        rest = behind
    authority, _, schema = rest.partition("/")
    user, at, place = authority.rpartition("@")
    login, colon, password = user.partition(":")
    host, port = _host_and_port(place)
    host = _unquoted(host)
    if found:
        host = f"{protocol}://{host}"
    if "/" in schema:
        raise NotAConnection("a / in its schema, login or password must be percent-encoded as %2F")
    return checked(
        {
            "conn_type": scheme,
            "host": host or None,
            "login": _unquoted(login) if at and login else None,
            "password": _unquoted(password) if colon and password else None,
            "schema": _unquoted(schema) or None,
            "port": port,
            "extra": _extra_of(query),
        }
    )


def _host_and_port(place: str) -> tuple[str, int | None]:
    if place.startswith("["):  # an IPv6 address
        host, bracket, behind = place[1:].partition("]")
        if not bracket or (behind and not behind.startswith(":")):
            raise NotAConnection("its host begins with [ and is no IPv6 address")
        return f"[{host}]", _port(behind[1:] or None)
    host, _, port = place.partition(":")
    return host, _port(port or None)


def _port(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _GREATEST_PORT:
        raise NotAConnection(
            "its port must be a number from 0 to 65535; a : / @ in a login or password must be percent-encoded"
        )
    return value


def _extra_of(query: str) -> str | None:
    if not query:
        return None
    try:
        pairs = dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=10_000))
    except (ValueError, UnicodeError):
        raise NotAConnection("what stands behind its ? must be NAME=VALUE pairs, percent-encoded") from None
    if not pairs:
        return None
    return pairs[_EXTRA] if _EXTRA in pairs else json.dumps(pairs)


def uri_of(fields: Mapping[str, Any]) -> str:
    """The URI that means these fields; the description has no place in it."""
    conn_type, host, extra = fields["conn_type"] or "", fields["host"] or "", fields["extra"]
    uri = f"{conn_type.replace('_', '-')}://"
    protocol, found, behind = host.partition("://")
    if found and _TYPE.fullmatch(protocol):
        uri, host = f"{uri}{protocol}://", behind
    if fields["login"] or fields["password"]:
        uri += _quoted(fields["login"])
        uri += f":{_quoted(fields['password'])}" if fields["password"] else ""
        uri += "@"
    uri += host if _is_ipv6(host) else _quoted(host)
    uri += "" if fields["port"] is None else f":{fields['port']}"
    uri += f"/{_quoted(fields['schema'])}" if fields["schema"] else ""
    if extra:
        uri += ("?" if fields["schema"] else "/?") + _query(extra)
    return uri


def _is_ipv6(host: str) -> bool:
    return re.fullmatch(r"\[[0-9A-Fa-f:.]+\]", host) is not None


def _query(extra: str) -> str:
    try:
        pairs = json.loads(extra)
    except (ValueError, RecursionError):
        pairs = None
    plain = isinstance(pairs, dict) and pairs and all(isinstance(value, str) for value in pairs.values())
    if plain and _EXTRA not in pairs and json.dumps(pairs) == extra:
        return urlencode(pairs, errors="surrogatepass")
    return urlencode({_EXTRA: extra}, errors="surrogatepass")


def _quoted(text: str | None) -> str:
    return quote(text or "", safe="", errors="surrogatepass")


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeError:
        raise NotAConnection("what is percent-encoded in it must be UTF-8") from None


def json_of(fields: Mapping[str, Any]) -> str:
    """As JSON: only what is there."""
    return json.dumps({name: fields[name] for name in FIELDS if fields[name] is not None})
