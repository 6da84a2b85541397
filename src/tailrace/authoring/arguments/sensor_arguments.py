"""The arguments of sensors: those of every one, and those of each that ships with Tailrace."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from tailrace.authoring.arguments import reading as read
from tailrace.authoring.arguments.declarations import Argument
from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.model.plain_text import shown

Duration: TypeAlias = timedelta | float
Mode: TypeAlias = Literal["poke", "reschedule"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

#: A sensor that says nothing else gives up after so long.
WEEK = timedelta(days=7)
MINUTE = timedelta(minutes=1)


def _mode(value: Any) -> str:
    if isinstance(value, str) and value in ("poke", "reschedule"):
        return str.__str__(value)
    raise ValueError(f"must be 'poke' or 'reschedule', not {shown(value)}")


def _path(value: Any) -> Any:
    if isinstance(value, (str, os.PathLike, XComArg)) and value:
        return os.fspath(value) if isinstance(value, os.PathLike) else value
    raise ValueError(f"must be a path, not {shown(value)}")


def _name(value: Any) -> str:
    if isinstance(value, str) and value:
        return str.__str__(value)
    raise ValueError(f"must be the id of a Connection, not {shown(value)}")


def _query(value: Any) -> Any:
    if isinstance(value, XComArg) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError(f"must be text, not {shown(value)}")


def _placeholders(value: Any) -> Any:
    if value is None or isinstance(value, (list, tuple, Mapping, XComArg)):
        return value
    raise ValueError(f"must be a list or a dict, not {shown(value)}")


def _method(value: Any) -> str:
    if isinstance(value, str) and value.upper() in METHODS:
        return value.upper()
    raise ValueError(f"must be one of {', '.join(METHODS)}, not {shown(value)}")


def _form(value: Any) -> Any:
    return value if isinstance(value, (str, XComArg)) else read.arguments(value)


def _statuses(value: Any) -> tuple[str, ...]:
    found = tuple(map(str, read.items(value)))
    if not all(each.isdecimal() and each.isascii() and 400 <= int(each) <= 599 for each in found):
        raise ValueError(f"must be statuses from 400 to 599, not {shown(value)}")
    return found


def _options(value: Any) -> dict[str, Any]:
    found = read.arguments(value)
    for name, each in found.items():
        if name == "timeout":
            found[name] = read.time_limit(each).total_seconds()
        elif name != "verify" or not isinstance(each, (bool, str)):
            raise ValueError(
                f"takes timeout (seconds) and verify (True, False or a file), not {shown(name)}: {shown(each)}"
            )
    return found


def _target(value: Any) -> Any:
    if isinstance(value, (datetime, XComArg)) or (isinstance(value, str) and value):
        return value
    raise ValueError(f"must be a datetime, or its text in ISO 8601, not {shown(value)}")


MODE = Argument("whether it holds its worker between two looks (poke), or gives it back (reschedule)", _mode, "poke")


class WaitArguments(TypedDict, total=False):
    """How a sensor waits, and what becomes of it."""

    poke_interval: Annotated[Duration, Argument("how long it waits between two looks", read.time_limit, MINUTE)]
    timeout: Annotated[
        Duration, Argument("how long it waits in all, from the start of its try on; then it fails", read.duration, WEEK)
    ]
    soft_fail: Annotated[bool, Argument("whether it is skipped where it would fail for good", read.flag, False)]
    silent_fail: Annotated[bool, Argument("whether a look that fails counts as a no", read.flag, False)]
    never_fail: Annotated[bool, Argument("whether it is skipped where a look fails", read.flag, False)]
    exponential_backoff: Annotated[bool, Argument("whether each wait is twice the one before", read.flag, False)]
    max_wait: Annotated[Duration | None, Argument("the longest such wait", read.or_none(read.time_limit))]


class SensorArguments(WaitArguments, total=False):
    """What every sensor takes, besides what every task does."""

    mode: Annotated[Mode, MODE]


FILEPATH = Argument("the file, or a pattern such as `/data/*.csv`", _path, MISSING, holds_outputs=True)
TARGET_TIME = Argument(
    "the moment it waits for; as text in ISO 8601, and without a zone in the DAG's",
    _target,
    MISSING,
    holds_outputs=True,
)
DELTA = Argument("how long after the end of the data interval", read.duration, MISSING)


CONN_ID = Argument("the Connection, of type sqlite or postgres", _name, MISSING)
SQL = Argument("the query, or a template file that ends in `.sql`", _query, MISSING, holds_outputs=True)
ENDPOINT = Argument("a URL, or what stands behind the host of the Connection", _query, MISSING, holds_outputs=True)


class SqlArguments(TypedDict, total=False):
    """What a query is run with, and what is looked for in its first row."""

    parameters: Annotated[
        Sequence[Any] | Mapping[str, Any] | XComArg[Any] | None,
        Argument("values for the query's placeholders, by position or by name", _placeholders, holds_outputs=True),
    ]
    success: Annotated[
        Callable[[Any], Any] | None,
        Argument("the function that says whether the cell is what is waited for", read.or_none(read.function)),
    ]
    failure: Annotated[
        Callable[[Any], Any] | None,
        Argument("the function that says whether the cell fails the task for good", read.or_none(read.function)),
    ]
    selector: Annotated[
        Callable[[Any], Any] | None,
        Argument(
            "the function that takes the cell out of the first row; None takes the first", read.or_none(read.function)
        ),
    ]
    fail_on_empty: Annotated[bool, Argument("whether no row fails the try", read.flag, False)]


class HttpArguments(TypedDict, total=False):
    """What is sent, and what is looked for in the response."""

    http_conn_id: Annotated[
        str | None,
        Argument("the Connection; without one `endpoint` is a URL, or `http_default` has the host", read.text, ""),
    ]
    method: Annotated[str, Argument("the HTTP method", _method, "GET")]
    request_params: Annotated[
        Mapping[str, Any] | str | None,
        Argument(
            "what is asked for by GET, or sent as a form otherwise; text is sent as it is", _form, holds_outputs=True
        ),
    ]
    headers: Annotated[Mapping[str, Any] | None, Argument("headers", read.arguments, holds_outputs=True)]
    response_check: Annotated[
        Callable[..., Any] | None,
        Argument(
            "the function that says of the response whether it is what is waited for", read.or_none(read.function)
        ),
    ]
    response_error_codes_allowlist: Annotated[
        Sequence[str | int] | None, Argument("the statuses that mean: not yet", _statuses, ("404",))
    ]
    extra_options: Annotated[
        Mapping[str, Any] | None,
        Argument(
            "`timeout` in seconds; `verify`: whether certificates are, or a file of those that are trusted", _options
        ),
    ]


class FileArguments(TypedDict, total=False):
    """Which files are looked for."""

    fs_conn_id: Annotated[
        str | None, Argument("a Connection whose extra has the `path` that `filepath` begins at", read.text, "")
    ]
    recursive: Annotated[bool, Argument("whether `**` in the pattern stands for folders below, too", read.flag, False)]
