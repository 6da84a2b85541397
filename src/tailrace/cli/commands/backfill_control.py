"""``tailrace backfill pause|resume|cancel``: what a person may do to a backfill that is under way."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from tailrace.cli.change_options import ChangeOptions, change, change_options
from tailrace.cli.completing import complete_backfills
from tailrace.cli.lazy import Command
from tailrace.cli.options import BACKFILL_ID, output_option
from tailrace.service import changes

F = TypeVar("F", bound=Callable[..., Any])


def _id_argument(command: F) -> F:
    return click.argument("backfill_id", type=BACKFILL_ID, metavar="ID", shell_complete=complete_backfills)(command)


@click.command(cls=Command)
@_id_argument
@output_option
def pause(backfill_id: int, output: str) -> int:
    """Let nothing more of backfill ID start. What runs finishes; then its job ends with exit code 6."""
    return _pause(backfill_id, output, paused=True)


@click.command(cls=Command)
@_id_argument
@output_option
def resume(backfill_id: int, output: str) -> int:
    """Let a paused backfill ID go on: its command typed again, or a scheduler if it is detached, drives it."""
    return _pause(backfill_id, output, paused=False)


@click.command(cls=Command)
@_id_argument
@change_options
def cancel(backfill_id: int, dry_run: bool, yes: bool, output: str) -> int:
    """End backfill ID. What runs is stopped; runs that another backfill or the schedule wants go on.

    Its job ends with exit code 5. The same command typed again is a new backfill, which does what was left.
    """
    return change(partial(changes.cancel, backfill_id=backfill_id), ChangeOptions(dry_run, yes, output))


def _pause(backfill_id: int, output: str, *, paused: bool) -> int:
    command = partial(changes.pause, backfill_id=backfill_id, paused=paused)
    return change(command, ChangeOptions(False, True, output), confirms=False)
