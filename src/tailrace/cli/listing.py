"""Lists of what the metastore holds: as a table or as JSON, with what to do where there is nothing, or more."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from tailrace.cli.console import current_console
from tailrace.cli.options import note_empty, stores_with
from tailrace.cli.tables import Column, show_table

if TYPE_CHECKING:
    from tailrace.service.stores import Stores

T = TypeVar("T")


def show_list(
    read: Callable[["Stores"], Sequence[T]],
    columns: Sequence[Column],
    row: Callable[[T], tuple[str, ...]],
    *,
    output: str,
    empty: str,
    limit: int | None = None,
) -> None:
    """Show what ``read`` returns, a row each; ``empty`` is said where that is nothing. ``limit``: it is cut there."""
    with stores_with() as stores:
        found = read(stores)
        missing = stores.reading() is None
    if output == "json":
        current_console().print_json(found)
    elif missing:
        note_empty(stores.settings)
    else:
        show_table(columns, [row(each) for each in found], empty=empty)
        if limit is not None and len(found) == limit:
            current_console().note(f"the newest {limit}; --limit shows more")
