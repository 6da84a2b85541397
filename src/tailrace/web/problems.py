"""Errors as HTTP has them: one JSON object for a program, in it the sentences, codes and remedies of the command line.

Nothing that nobody foresaw is repeated to who asked: it is reported where the server was started.
"""

from http import HTTPStatus

from msgspec import Struct

from tailrace.errors import CommandError, EnvironmentBroken, NotFound, TailraceError
from tailrace.service.reason_structs import Said, said_by
from tailrace.service.stores import Stores

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, frozen=True):
    """What is wrong: as in RFC 9457, and ``reasons`` with their codes; ``exit_code`` is that of the same command."""

    type: str
    title: str
    status: int
    detail: str
    exit_code: int | None = None
    reasons: tuple[Said, ...] = ()


class Refusal(Exception):
    """What was asked for is refused before the service is asked, or could not be."""

    def __init__(self, status: HTTPStatus, name: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.problem = Problem(f"urn:tailrace:problem:{name}", status.phrase, status.value, detail)
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


def problem_of(error: Exception, stores: Stores) -> Problem:
    """The error as it is sent."""
    match error:
        case Refusal():
            return error.problem
        case NotFound():
            status, name = HTTPStatus.NOT_FOUND, "not-found"
        case CommandError():
            status, name = HTTPStatus.BAD_REQUEST, "bad-request"
        case EnvironmentBroken():
            status, name = HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"
        case _:
            status, name = HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error"
            detail = "this is a bug in Tailrace; where the server was started it says more"
            return Problem(f"urn:tailrace:problem:{name}", status.phrase, status.value, detail, TailraceError.exit_code)
    reasons = said_by(error, stores.typed)
    detail = "\n".join(each.text for each in reasons)
    return Problem(f"urn:tailrace:problem:{name}", status.phrase, status.value, detail, error.exit_code, reasons)
