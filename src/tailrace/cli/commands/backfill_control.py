"""``tailrace backfill pause|resume|cancel``: what a person may do to a backfill that is under way."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from tailrace.cli.changes import Manner, change, manner_options
from tailrace.cli.lazy import Command
from tailrace.cli.options import BACKFILL_ID, output_option
from tailrace.errors import CommandError
from tailrace.metastore.store import Metastore
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.commands import CommandFacts, CommandPlan, CommandScope

F = TypeVar("F", bound=Callable[..., Any])


def _id_argument(command: F) -> F:
    return click.argument("backfill_id", type=BACKFILL_ID, metavar="ID")(command)


@click.command(cls=Command)
@_id_argument
@output_option
def pause(backfill_id: int, output: str) -> int:
    """Let nothing more of backfill ID start. What runs finishes; then its job ends with exit code 6."""
    return _control(backfill_id, partial(plan_pause, paused=True), Manner(False, True, output), asks=False)


@click.command(cls=Command)
@_id_argument
@output_option
def resume(backfill_id: int, output: str) -> int:
    """Let a paused backfill ID go on: its command typed again, or a scheduler if it is detached, drives it."""
    return _control(backfill_id, partial(plan_pause, paused=False), Manner(False, True, output), asks=False)


@click.command(cls=Command)
@_id_argument
@manner_options
def cancel(backfill_id: int, dry_run: bool, yes: bool, output: str) -> int:
    """End backfill ID. What runs is stopped; runs that another backfill or the schedule wants go on.

    Its job ends with exit code 5. The same command typed again is a new backfill, which does what was left.
    """
    return _control(backfill_id, plan_cancel, Manner(dry_run, yes, output))


def _control(
    backfill_id: int, planned: Callable[[CommandFacts], CommandPlan], manner: Manner, *, asks: bool = True
) -> int:
    def scoped(metastore: Metastore) -> CommandScope:
        if metastore.show_backfill(backfill_id) is None:
            raise CommandError(f"no backfill {backfill_id}; `tailrace backfill list` lists them")
        return CommandScope(backfill_id=backfill_id)

    return change(scoped, planned, manner, about=f"backfill {backfill_id}", asks=asks)
