"""Whether the server can work, for those who watch over it: no name and no number of what it has to do."""

from starlette.requests import Request
from starlette.responses import Response

from tailrace.errors import EnvironmentBroken
from tailrace.service import views
from tailrace.service.stores import Stores
from tailrace.web.asking import Asking
from tailrace.web.problems import Refusal
from tailrace.web.replies import JSON, json_bytes


async def health(request: Request, *, asking: Asking) -> Response:
    """200 where the metastore replies, 503 where it does not; why not is told to those with a session only."""
    try:
        await asking.ask(_look)
    except (EnvironmentBroken, Refusal):
        return _health(503)
    return _health(200)


def _look(stores: Stores) -> None:
    views.list_pools(stores)


def _health(status: int) -> Response:
    return Response(json_bytes({"ok": status == 200}), status, {"cache-control": "no-store"}, JSON)
