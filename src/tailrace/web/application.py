"""The whole of the server as one ASGI application: guard, sessions, and behind them the operations by path.

A path is matched as it was sent: an encoded slash is part of a name.
"""

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from tailrace.service.stores import Stores
from tailrace.web.api.about import health
from tailrace.web.api.catalogue import OPERATIONS
from tailrace.web.asking import Asking
from tailrace.web.guarding import Guarding
from tailrace.web.openapi import document
from tailrace.web.operations import Operation
from tailrace.web.problems import Refusal, problem_of
from tailrace.web.replies import TEXT, found_reply, problem_reply
from tailrace.web.sessions import Sessions
from tailrace.web.signing_in import SigningIn

API = "/api/v1"

#: What is said to whoever asks, with or without a session: whether the server can work.
OPEN = ("/health",)


def application(
    asking: Asking,
    sessions: Sessions,
    *,
    port: int,
    names: Collection[str],
    on_signed_in: Callable[[], None],
    on_bug: Callable[[Exception], None],
) -> ASGIApp:
    """The application of a server on this port that is asked by these names; ``on_bug`` reports what nobody foresaw."""
    routes: list[BaseRoute] = [Route(API + each.path, _endpoint(asking, each), methods=["GET"]) for each in OPERATIONS]
    routes.append(Route("/", _welcome, methods=["GET"]))
    routes.append(Route(f"{API}/openapi.json", _openapi, methods=["GET"]))
    routes.append(Route("/health", partial(health, asking=asking), methods=["GET"]))
    router = Router(routes, redirect_slashes=False, default=_nothing_there)
    answering = Answering(router, asking.stores, on_bug)
    return Guarding(SigningIn(answering, sessions, port, OPEN, on_signed_in), names)


class Answering:
    """Matches the path as it was sent, and makes a reply of every error."""

    def __init__(self, app: ASGIApp, stores: Stores, on_bug: Callable[[Exception], None]) -> None:
        self._app = app
        self._stores = stores
        self._on_bug = on_bug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._app({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)
        except Exception as error:
            problem = problem_of(error, self._stores)
            if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                self._on_bug(error)
            headers = error.headers if isinstance(error, Refusal) else {}
            await problem_reply(problem, headers)(scope, receive, send)


def _endpoint(asking: Asking, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        query, known = request.scope["query_string"], request.headers.get("if-none-match")
        asked = operation.read(request.path_params, query)

        def question(stores: Stores) -> Response:
            return found_reply(operation.call(stores, asked), request.scope["path"], query, known)

        return await asking.ask(question)

    return answer


async def _welcome(request: Request) -> Response:
    return Response(f"Signed in. {API}/openapi.json says what can be asked here.\n", media_type=TEXT)


async def _openapi(request: Request) -> Response:
    return found_reply(document(), request.scope["path"], b"", request.headers.get("if-none-match"))


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal(HTTPStatus.NOT_FOUND, "no-such-path", f"there is nothing here; {API}/openapi.json says what there is")
