"""Lets in who has a session, and begins one for who comes with the one-time token.

The token is gone from the address before anything else is loaded: the reply is a redirection, and says that nobody is
told where it came from. The cookie is no script's to read, and no other site's pages send it.
"""

from collections.abc import Callable, Collection
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace.errors import CommandError
from tailrace.web.operations import read_query
from tailrace.web.problems import Refusal
from tailrace.web.replies import TEXT, problem_reply
from tailrace.web.sessions import LONGEST_SECONDS, Sessions

TOKEN = "token"

_HOW = "open the address that was printed where the server was started; each is for one browser, and the next follows"


class SigningIn:
    """Between the guard and everything that has something to say. ``is_open`` are paths that need no session."""

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        port: int,
        is_open: Collection[str],
        on_signed_in: Callable[[], None],
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._cookie = cookie_name(port)
        self._open = frozenset(is_open)
        self._on_signed_in = on_signed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, app = scope["raw_path"].decode("latin-1"), self._app
        if path not in self._open:
            session = next((each for each in self._given(scope) if self._sessions.knows(each)), None)
            token = _token(scope) if path == "/" and scope["method"] == "GET" else None
            if token is not None:
                app = self._exchanged(token, session) or (_to_page() if session is not None else _stranger(path))
            elif session is None:
                app = _stranger(path)
        await app(scope, receive, send)

    def _exchanged(self, token: str, former: str | None) -> Response | None:
        session = self._sessions.exchange(token, former)
        if session is None:
            return None
        reply = _to_page()
        reply.set_cookie(
            self._cookie, session, max_age=int(LONGEST_SECONDS), path="/", httponly=True, samesite="strict"
        )
        self._on_signed_in()
        return reply

    def _given(self, scope: Scope) -> list[str]:
        """The sessions that a request says it has: pages of other ports of this host may have set more than one."""
        found = []
        for name, value in scope["headers"]:
            if name == b"cookie":
                for pair in value.decode("latin-1").split(";"):
                    key, _, cell = pair.strip().partition("=")
                    if key == self._cookie:
                        found.append(cell)
        return found


def cookie_name(port: int) -> str:
    """The name of a server's cookie: a browser sends cookies to every port of a host."""
    return f"tailrace-{port}"


def _token(scope: Scope) -> str | None:
    try:
        given = [value for name, value in read_query(scope["query_string"]) if name == TOKEN]
    except CommandError:
        return None
    return given[0] if given else None


def _to_page() -> Response:
    return Response(status_code=HTTPStatus.SEE_OTHER, headers={"location": "/", "cache-control": "no-store"})


def _stranger(path: str) -> Response:
    challenge = {"www-authenticate": 'Cookie realm="tailrace"', "cache-control": "no-store"}
    if path == "/":
        return Response(f"No session: {_HOW}.\n", HTTPStatus.UNAUTHORIZED, challenge, TEXT)
    refusal = Refusal(HTTPStatus.UNAUTHORIZED, "no-session", f"no session: {_HOW}")
    return problem_reply(refusal.problem, challenge)
