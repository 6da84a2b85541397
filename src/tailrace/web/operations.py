"""What can be asked: each operation is a path and one function, from whose types it is read, documented and checked.

The function takes the stores, or for a reply that goes on the server's streams, and a struct of what is asked. Of this
the fields that stand in the path are read from there, the others from the query; tuples may be given several times.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from inspect import getdoc
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import unquote_to_bytes

from msgspec import Meta, Struct, ValidationError, convert

from tailrace.errors import CommandError
from tailrace.model.plain_text import is_storable, visible_line
from tailrace.model.suggestions import did_you_mean
from tailrace.service.pages import Paging

T = TypeVar("T")

_MOST_FIELDS = 100
_SHOWN = 60


class Asked(Struct, frozen=True, kw_only=True):
    """What an operation is asked; it has no parameters of its own."""


class AskedList(Asked, frozen=True, kw_only=True):
    """The same for a list, of which there may be more: the header ``Link`` of a reply says where it goes on."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="At most so many.")] = 100
    cursor: Annotated[str | None, Meta(description="Where to go on; from the `Link` of a reply.")] = None
    reverse: Annotated[bool, Meta(description="In the other order: the oldest, or the last name, first.")] = False

    @property
    def paging(self) -> Paging:
        """As the service is asked."""
        return Paging(self.limit, self.cursor, self.reverse)


class Noticed(Struct, Generic[T], frozen=True):
    """A reply with what should be known before it is trusted: sent beside it, in headers."""

    value: T
    notices: tuple[str, ...] = ()


class Text(Struct, frozen=True):
    """A reply that is text, as bytes, with what there is to say of it."""

    content: bytes
    headers: Mapping[str, str]


class Operation:
    """One thing that can be asked, below ``/api/v1``."""

    def __init__(self, path: str, call: Callable[..., Any]) -> None:
        self.path = path
        self.call = call

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.call.__name__

    @property
    def summary(self) -> str:
        """What it says of itself."""
        return " ".join((getdoc(self.call) or "").split())

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        return get_type_hints(self.call, include_extras=True)

    @property
    def asked(self) -> type[Asked]:
        """The struct of its parameters."""
        found: type[Asked] = self._hints["asked"]
        return found

    @property
    def returned(self) -> Any:
        """The type of its reply."""
        return self._hints["return"]

    @cached_property
    def in_path(self) -> frozenset[str]:
        """The parameters that stand in its path."""
        parts = self.path.split("/")
        return frozenset(part[1:-1] for part in parts if part.startswith("{"))

    @cached_property
    def _several(self) -> frozenset[str]:
        hints = get_type_hints(self.asked)
        return frozenset(name for name, hint in hints.items() if get_origin(hint) is tuple)

    def read(self, path: Mapping[str, str], query: bytes) -> Asked:
        """What is asked by a path, whose parts are still quoted, and a query. Raises CommandError."""
        given: dict[str, Any] = {name: _text(name, unquote_to_bytes(part)) for name, part in path.items()}
        for name, value in read_query(query):
            if name in self.in_path or name not in self.asked.__struct_fields__:
                known = [each for each in self.asked.__struct_fields__ if each not in self.in_path]
                guess = did_you_mean(name, known) or (f"; there are {', '.join(known)}" if known else "; there is none")
                raise CommandError(f"unknown parameter {visible_line(name, _SHOWN)!r}{guess}")
            if name in self._several:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise CommandError(f"{name} is given twice")
            else:
                given[name] = value
        try:
            return convert(given, self.asked, strict=False)
        except ValidationError as wrong:
            what, _, where = str(wrong).partition(" - at `$.")
            name = where.removesuffix("`").partition("[")[0] or "the request"
            choices = _choices(get_type_hints(self.asked).get(name))
            shown = f"it is one of {', '.join(choices)}" if choices else f"{what[:1].lower()}{what[1:]}"
            raise CommandError(f"{name}: {shown}") from None


def _choices(hint: Any) -> list[str]:
    """The values of the enum in a type, if there is one."""
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return [str(each) for each in hint]
    return next((found for each in get_args(hint) if (found := _choices(each))), [])


def read_query(query: bytes) -> list[tuple[str, str]]:
    """The names and values of a query. Raises CommandError for what is no text."""
    pairs = [each.partition(b"=") for each in query.replace(b"+", b" ").split(b"&") if each]
    if len(pairs) > _MOST_FIELDS:
        raise CommandError(f"the query has more than {_MOST_FIELDS} parameters")
    return [(_parameter(name), _parameter(value)) for name, _, value in pairs]


def _parameter(part: bytes) -> str:
    return _text("a parameter", unquote_to_bytes(part))


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise CommandError(f"{name} is no text in UTF-8") from None
    if not is_storable(text):
        raise CommandError(f"{name} holds a character that no name has")
    return text
