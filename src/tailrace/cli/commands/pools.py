"""``tailrace pools``: how many slots the tasks of a pool may occupy together."""

import click

from tailrace.cli.completing import complete_pools
from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import WholeNumber, output_option, stores_with
from tailrace.cli.remedies import text_of
from tailrace.cli.tables import Column, show_table
from tailrace.errors import CommandError
from tailrace.service import changes, views

_HERE = "tailrace.cli.commands.pools"


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(f"{_HERE}:list_", "List pools: their slots and who takes them."),
        "set": Lazy(f"{_HERE}:set_", "Create a pool or change its slots."),
        "delete": Lazy(f"{_HERE}:delete", "Delete a pool."),
    },
)
def pools() -> None:
    """Pools: how many slots the tasks of a pool may occupy together, over all DAGs."""


@click.command("list", cls=Command)
@output_option
def list_(output: str) -> None:
    """List pools: their slots, who takes them, and who changed them last. Times are in UTC."""
    with stores_with() as stores:
        found = views.list_pools(stores)
    if output == "json":
        current_console().print_json(found)
        return
    columns = (
        Column("name"),
        Column("slots", number=True),
        Column("running", number=True),
        Column("queued", number=True),
        Column("open", number=True),
        Column("description"),
        Column("last change"),
    )
    rows = [
        (
            *(pool.name, str(pool.slots), str(pool.running), str(pool.queued), str(pool.open), pool.description),
            "" if pool.last_command is None else pool.last_command.text,
        )
        for pool in found
    ]
    show_table(columns, rows, empty="no pools yet; the first backfill makes default_pool")


@click.command("set", cls=Command)
@click.argument("name", shell_complete=complete_pools)
@click.argument("slots", type=WholeNumber(0))
@click.option("--description", default=None, help="What the pool is for.")
def set_(name: str, slots: int, description: str | None) -> None:
    """Create pool NAME with SLOTS slots, or change it. What runs goes on; what was deadlocked for it goes again.

    With 0 slots it is frozen: what needs it waits until it has slots again.
    """
    if not name:
        raise CommandError("a pool needs a name: `tailrace pools set NAME SLOTS`")
    with stores_with() as stores:
        plan = changes.set_pool(stores, name, slots, description)
    console = current_console()
    console.note(f"pool {name} has {plural(slots, 'slot')}")
    for notice in plan.notices:
        console.notice(text_of(notice))


@click.command(cls=Command)
@click.argument("name", shell_complete=complete_pools)
def delete(name: str) -> None:
    """Delete pool NAME. Refused while anything unfinished uses it."""
    with stores_with() as stores:
        changes.delete_pool(stores, name)
    current_console().note(f"pool {name} is deleted")
