"""Lists page by page, as every interface asks for them: a cursor is text that says behind which row a list goes on."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import decode, encode

from tailrace.errors import CommandError
from tailrace.metastore.views.paging import Page, Place
from tailrace.model.plain_text import is_storable

T = TypeVar("T")

#: What the databases take for a number, and for a moment.
_Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Moment = Annotated[datetime, Meta(tz=True)]

#: By which cells each list is ordered.
BY_NAME = tuple[str]
BY_NUMBER = tuple[_Number]
BY_DATE = tuple[_Moment, _Number]
BY_DATE_AND_TASK = tuple[_Moment, _Number, _Number]


class Paging(Struct, frozen=True):
    """Which page of a list is asked for: so many behind the cursor; ``reverse``: in the other order."""

    limit: int = 100
    cursor: str | None = None
    reverse: bool = False


class Listed(Struct, Generic[T], frozen=True):
    """Some of a list, and the cursor with which it goes on; None: there is no more."""

    items: tuple[T, ...] = ()
    cursor: str | None = None


def place_of(paging: Paging, key: Any) -> Place:
    """Where in a list ordered by such a key that is. Raises CommandError for what is no cursor of it."""
    if paging.cursor is None:
        return Place(paging.limit, None, paging.reverse)
    try:
        after = decode(urlsafe_b64decode(paging.cursor.encode("ascii") + b"=="), type=key)
    except (MsgspecError, binascii.Error, UnicodeError):
        after = None
    if after is None or not all(is_storable(each) for each in after if isinstance(each, str)):
        raise CommandError("the cursor is none of this list; leave it out to begin at its beginning")
    return Place(paging.limit, after, paging.reverse)


def listed(page: Page[T]) -> Listed[T]:
    """A page of the metastore's, with its cursor."""
    cursor = None if page.last is None else urlsafe_b64encode(encode(page.last)).decode().rstrip("=")
    return Listed(page.items, cursor)
