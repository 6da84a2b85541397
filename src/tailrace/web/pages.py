"""The page: one document for all of its addresses, and the files beside it, read once when the server starts.

A file is found by its name among those that there are: no path of a request is ever one of this machine.
"""

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from tailrace.web.replies import is_known

#: The addresses that the page itself tells apart.
PAGES = ("/", "/backfills", "/dags")

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_DOCUMENT = "index.html"

Answer = Callable[[Request], Awaitable[Response]]


def page_routes() -> list[tuple[str, Answer]]:
    """Each address of the page with what answers there."""
    found = dict(_files(files("tailrace.web") / "static", ""))
    document = _answer(found[_DOCUMENT], _DOCUMENT)
    beside = [(f"/static/{name}", _answer(content, name)) for name, content in found.items() if name != _DOCUMENT]
    return [*((page, document) for page in PAGES), *beside]


def _files(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        name = f"{path}{each.name}"
        if each.is_dir():
            found += _files(each, f"{name}/")
        elif name.rpartition(".")[2] in _TYPES:
            found.append((name, each.read_bytes()))
    return found


def _answer(content: bytes, name: str) -> Answer:
    tag = f'"{blake2b(content, digest_size=16).hexdigest()}"'
    headers = {"cache-control": "private, no-cache", "etag": tag}

    async def answer(request: Request) -> Response:
        if is_known(tag, request.headers.get("if-none-match")):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])

    return answer
