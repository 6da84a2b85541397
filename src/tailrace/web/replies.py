"""Replies as bytes: JSON as the command line has it, with a tag by which a browser need not be sent the same twice."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from tailrace.service.encoding import builtins_of
from tailrace.service.pages import Listed
from tailrace.web.operations import Noticed, Text, read_query
from tailrace.web.problems import MEDIA_TYPE, Problem

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

#: What a path may hold in a header of ours: neither an end of a line nor of the link.
_SAFE = "/%:+@!$&'()*,;=~-._"


def json_bytes(value: object) -> bytes:
    """As JSON that any reader takes: a number that JSON has not (NaN, Infinity) is sent as its name."""
    plain = builtins_of(value)
    try:
        text = json.dumps(plain, ensure_ascii=False, default=datetime.isoformat, allow_nan=False)
    except ValueError:
        text = json.dumps(_named(plain), ensure_ascii=False, default=datetime.isoformat)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a character
        return json.dumps(_named(plain), default=datetime.isoformat).encode()


def _named(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _named(each) for name, each in value.items()}
    return [_named(each) for each in value] if isinstance(value, list | tuple) else value


def found_reply(value: object, path: str, query: bytes, known: str | None) -> Response:
    """What the service has returned, as 200 or, where the asker has it already (``known``), as 304."""
    headers: dict[str, str] = {"cache-control": "private, no-cache"}
    if isinstance(value, Noticed):
        if value.notices:
            headers["tailrace-notices"] = json.dumps(value.notices)
        value = value.value
    if isinstance(value, Listed):
        if value.cursor is not None:
            pairs = [(name, each) for name, each in read_query(query) if name != "cursor"]
            there = f"{quote(path, safe=_SAFE)}?{urlencode([*pairs, ('cursor', value.cursor)])}"
            headers["link"] = f'<{there}>; rel="next"'
        value = value.items
    media_type, body = JSON, b""
    if isinstance(value, Text):
        headers.update(value.headers)
        media_type, body = TEXT, value.content
    else:
        body = json_bytes(value)
    headers["etag"] = tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    if is_known(tag, known):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def is_known(tag: str, known: str | None) -> bool:
    """Whether it is one of the tags of an ``If-None-Match``."""
    if known is None:
        return False
    tags = [each.strip().removeprefix("W/") for each in known.split(",")]
    return tag in tags or "*" in tags


def problem_reply(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """A problem, which nobody keeps."""
    kept = {"cache-control": "no-store", **(headers or {})}
    return Response(json_bytes(problem), problem.status, kept, MEDIA_TYPE)
