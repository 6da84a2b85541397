"""What every request must be like before anything looks at it, and what every reply says of itself.

The server speaks to this machine alone, and browsers are told to let no other page near it: a page elsewhere whose name
was made to lead here (DNS rebinding) sends its own name as the host.
"""

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.web.problems import Refusal
from tailrace.web.replies import problem_reply

LONGEST_TARGET = 8_192
LONGEST_BODY = 65_536
MOST_HEADERS = 100

_HOST = re.compile(rb"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_READS = ("GET", "HEAD")

#: Nothing but what this server sends itself, in no frame, and no address of it given away.
HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guarding:
    """Refuses what is none of this server's to answer. ``names`` are the hosts that it is asked as."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(name.encode() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        try:
            self._require(scope)
        except Refusal as refusal:
            reply = problem_reply(refusal.problem, {**refusal.headers, "connection": "close"})
            await reply(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _require(self, scope: Scope) -> None:
        """Raise Refusal for what is refused unread."""
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_TARGET:
            raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "address-too-long", f"at most {LONGEST_TARGET:,} characters")
        if len(scope["headers"]) > MOST_HEADERS:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise Refusal(status, "too-many-headers", f"at most {MOST_HEADERS} headers")
        self._require_host([value for name, value in scope["headers"] if name == b"host"])
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > LONGEST_BODY:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", f"at most {LONGEST_BODY:,} bytes")
        site, mode = headers.get(b"sec-fetch-site", b"none"), headers.get(b"sec-fetch-mode", b"")
        if site not in (b"none", b"same-origin") and mode != b"navigate":
            raise Refusal(HTTPStatus.FORBIDDEN, "cross-site", "a page of another site may ask for nothing here")
        if scope["method"] not in _READS:
            detail = "this API reads, so far: give commands on the command line"
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "reads-only", detail, allow=", ".join(_READS))

    def _require_host(self, hosts: list[bytes]) -> None:
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "no-host", "a request names its host, once")
        if found["name"].lower() not in self._names:
            detail = "this server is asked by the address that it has printed, and by no other name"
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, "other-host", detail)
