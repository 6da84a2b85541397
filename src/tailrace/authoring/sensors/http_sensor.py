"""A sensor of a web server: sends a request through a Connection and looks at the response."""

import base64
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from msgspec import Struct

from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.sensor_arguments import ENDPOINT, HttpArguments
from tailrace.authoring.context.calling import accepted_by
from tailrace.authoring.sensors.poking import BaseSensorOperator, PokeReturnValue
from tailrace.errors import SecretNotFound, TaskFailed
from tailrace.model.plain_text import shown, visible_line
from tailrace.secrets.connection import Connection

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import HttpSensorArguments

#: So long a request may take, in seconds, where ``extra_options`` says nothing else.
_TIMEOUT = 60.0
#: So much of a response is read, in bytes.
_LONGEST = 64 * 1024 * 1024
#: So much of one that is an error is shown.
_SHOWN = 500


class HttpResponse(Struct, frozen=True):
    """What a server has sent, by the names of the ``requests`` library."""

    status_code: int
    reason: str
    url: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def ok(self) -> bool:
        """Whether it is no error."""
        return self.status_code < 400

    @property
    def text(self) -> str:
        """Its content as text, in the charset that it names; UTF-8 if it names none."""
        charset = "utf-8"
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            charset = value.strip("\"'") if name.lower() == "charset" and value else charset
        try:
            return self.content.decode(charset, errors="replace")
        except LookupError:
            return self.content.decode(errors="replace")

    def json(self) -> Any:
        """What its content means as JSON. Raises ValueError."""
        return json.loads(self.content)


class HttpError(Exception):
    """A server has responded with an error that is not among those that mean *not yet*."""


class HttpSensor(BaseSensorOperator):
    """Waits until a request succeeds, and ``response_check(response)`` is true of the response.

    A status of ``response_error_codes_allowlist`` (404) is a no; another error fails the try. ``endpoint`` is a whole
    URL, or what stands behind the host of the Connection.
    """

    template_fields: ClassVar[Sequence[str]] = ("endpoint", "request_params", "headers")
    _declared = {**BaseSensorOperator._declared, **arguments_of(HttpArguments), "endpoint": ENDPOINT}
    endpoint: Any
    http_conn_id: str
    method: str
    request_params: Any
    headers: dict[str, Any]
    response_check: Callable[..., Any] | None
    response_error_codes_allowlist: tuple[str, ...]
    extra_options: dict[str, Any]

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[HttpSensorArguments]) -> None: ...

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        """Send the request, and look at the response."""
        response = self._sent()
        print(f"{self.method} {response.url}: {response.status_code} {response.reason}", flush=True)
        if not response.ok:
            if str(response.status_code) in self.response_error_codes_allowlist:
                return False
            said = visible_line(response.text[:_SHOWN].strip())
            raise HttpError(f"{response.status_code} {response.reason}" + (f": {said}" if said else ""))
        if self.response_check is None:
            return True
        found: bool | PokeReturnValue = self.response_check(
            response, **accepted_by(self.response_check, [response], context)
        )
        return found

    def _sent(self) -> HttpResponse:
        request_module: Any = importlib.import_module("urllib.request")
        parse: Any = importlib.import_module("urllib.parse")
        url, private = self._where()
        headers = dict(private)
        body: bytes | None = None
        params = self.request_params
        if params and self.method in ("GET", "HEAD", "DELETE"):
            query = params if isinstance(params, str) else parse.urlencode(params, doseq=True)
            url += ("&" if "?" in url else "?") + query
        elif params:
            body = (params if isinstance(params, str) else parse.urlencode(params, doseq=True)).encode()
        headers |= {name: str(value) for name, value in self.headers.items()}
        request = request_module.Request(url, data=body, headers=headers, method=self.method)
        try:
            with self._opener(request_module, private).open(
                request, timeout=self.extra_options.get("timeout", _TIMEOUT)
            ) as got:
                return _response(got, got.status)
        except importlib.import_module("urllib.error").HTTPError as error:
            with error:
                return _response(error, error.code)

    def _opener(self, request_module: Any, private: Mapping[str, str]) -> Any:
        """What sends the request. Another host that it is led to gets none of the ``private`` headers."""
        ssl: Any = importlib.import_module("ssl")
        verify = self.extra_options.get("verify", True)
        trust = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE

        class Redirects(request_module.HTTPRedirectHandler):  # type: ignore[misc]  # it is loaded where it is needed
            def redirect_request(self, request: Any, *more: Any) -> Any:
                new = super().redirect_request(request, *more)
                if new is not None and (new.type, new.host) != (request.type, request.host):
                    for name in private:
                        new.remove_header(name.capitalize())
                return new

        return request_module.build_opener(request_module.HTTPSHandler(context=trust), Redirects)

    def _where(self) -> tuple[str, dict[str, str]]:
        """The URL of the request, and the headers that the Connection has."""
        endpoint = str(self.endpoint)
        whole = endpoint.startswith(("http://", "https://"))
        if whole and not self.http_conn_id:
            return endpoint, {}
        conn_id = self.http_conn_id or "http_default"
        try:
            connection = Connection.get(conn_id)
        except SecretNotFound as missing:
            if self.http_conn_id:
                raise
            raise TaskFailed(f"endpoint {shown(endpoint)} is no URL, and {missing}") from None
        host = connection.host or ""
        base = host if "://" in host else f"{_scheme(connection)}://{host}"
        if connection.port:
            base = base.rstrip("/") + f":{connection.port}"
        url = endpoint if whole else f"{base.rstrip('/')}/{endpoint.lstrip('/')}"
        if not url.startswith(("http://", "https://")) or url.split("://", 1)[1].startswith("/"):
            raise TaskFailed(f"Connection {conn_id!r} and endpoint {shown(endpoint)} make no URL: {shown(url)}")
        headers = {name: str(value) for name, value in connection.extra_dejson.items()}
        if connection.login is not None:
            pair = f"{connection.login}:{connection.password or ''}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return url, headers


def _scheme(connection: Connection) -> str:
    return next((each for each in (connection.schema, connection.conn_type) if each in ("http", "https")), "http")


def _response(got: Any, status: int) -> HttpResponse:
    headers = {name.lower(): value for name, value in got.headers.items()}
    return HttpResponse(status, got.reason or "", got.url, headers, got.read(_LONGEST))
