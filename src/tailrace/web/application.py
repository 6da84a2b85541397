"""The whole of the server as one ASGI application: guard, sessions, and behind them the operations by path.

A path is matched as it was sent: an encoded slash is part of a name.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.service.stores import Stores
from tailrace.web.api.about import health
from tailrace.web.api.catalogue import OPERATIONS
from tailrace.web.asking import Asking
from tailrace.web.change_feed import ChangeFeed
from tailrace.web.event_stream import EventStream, Streams
from tailrace.web.guarding import Guarding
from tailrace.web.metrics import Metrics
from tailrace.web.openapi import document
from tailrace.web.operations import Operation
from tailrace.web.pages import page_routes
from tailrace.web.problems import Refusal, problem_of
from tailrace.web.replies import found_reply, problem_reply
from tailrace.web.sessions import Sessions
from tailrace.web.signing_in import SigningIn
from tailrace.web.streaming import STREAMS, Streaming

API = "/api/v1"

#: What is said to whoever asks, with or without a session: whether the server can work.
OPEN = frozenset({"/health"})


class Site(Struct, frozen=True):
    """Where a server is: its port, by which names it is asked, and which paths need no session."""

    port: int
    names: frozenset[str]
    open_paths: frozenset[str] = OPEN


class Application:
    """The application of one server, and what of it must be told that it ends."""

    def __init__(
        self,
        stores: Stores,
        sessions: Sessions,
        site: Site,
        on_signed_in: Callable[[], None],
        on_bug: Callable[[Exception], None],
    ) -> None:
        asking, streams = Asking(stores), Streams()
        streaming = Streaming(asking, streams, ChangeFeed(asking, streams, on_bug))
        router = Router(_routes(streaming), redirect_slashes=False, default=_nothing_there)
        answering = Answering(router, stores, on_bug)
        self._asking, self._streams = asking, streams
        self._app = Guarding(SigningIn(answering, sessions, site.port, site.open_paths, on_signed_in), site.names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def end_streams(self) -> None:
        """Let nobody wait for more."""
        self._streams.end()

    def close(self) -> None:
        """Ask nothing more."""
        self._asking.close()


class Answering:
    """Matches the path as it was sent, and makes a reply of every error."""

    def __init__(self, app: ASGIApp, stores: Stores, on_bug: Callable[[Exception], None]) -> None:
        self._app = app
        self._stores = stores
        self._on_bug = on_bug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def send_and_know(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send_and_know)
        except Exception as error:
            problem = problem_of(error, self._stores)
            if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                self._on_bug(error)
            if begun:
                return  # the connection is closed, so that nobody takes for whole what was sent
            headers = error.headers if isinstance(error, Refusal) else {}
            await problem_reply(problem, headers)(scope, receive, send)


def _routes(streaming: Streaming) -> list[BaseRoute]:
    asking = streaming.asking
    get: list[tuple[str, Callable[[Request], Awaitable[Response | EventStream]]]] = [
        *page_routes(),
        ("/health", partial(health, asking=asking)),
        ("/metrics", Metrics(asking).reply),
        (f"{API}/openapi.json", _openapi),
        *((API + each.path, _endpoint(asking, each)) for each in OPERATIONS),
        *((API + each.path, _stream(streaming, each)) for each in STREAMS),
    ]
    return [Route(path, answer, methods=["GET"]) for path, answer in get]


def _stream(streaming: Streaming, operation: Operation) -> Callable[[Request], Awaitable[EventStream]]:
    async def answer(request: Request) -> EventStream:
        asked = operation.read(request.path_params, request.scope["query_string"])
        found: EventStream = await operation.call(streaming, asked, request.headers.get("last-event-id"))
        return found

    return answer


def _endpoint(asking: Asking, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        query, known = request.scope["query_string"], request.headers.get("if-none-match")
        asked = operation.read(request.path_params, query)

        def question(stores: Stores) -> Response:
            return found_reply(operation.call(stores, asked), request.scope["path"], query, known)

        return await asking.ask(question)

    return answer


async def _openapi(request: Request) -> Response:
    return found_reply(document(), request.scope["path"], b"", request.headers.get("if-none-match"))


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal(HTTPStatus.NOT_FOUND, "no-such-path", f"there is nothing here; {API}/openapi.json says what there is")
