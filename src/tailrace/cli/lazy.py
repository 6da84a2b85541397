"""Groups whose commands are imported only when invoked, and which suggest the nearest name for a mistyped
one.

``tailrace --help`` must stay under a quarter of a second: listing a group reads the table given here, never a
module.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click
from msgspec import Struct

from tailrace.cli.console import Console
from tailrace.cli.help_sections import write_options, write_zones
from tailrace.errors import CommandError
from tailrace.model.plain_text import is_storable, visible_line
from tailrace.model.suggestions import did_you_mean


class Lazy(Struct, frozen=True):
    """Where a command is (``module:attribute``) and the line that ``--help`` lists it with."""

    where: str
    summary: str


def _more_verbose(context: click.Context, parameter: click.Parameter, value: int) -> None:
    console = context.find_object(Console)
    if console is not None:
        console.verbosity += value


def _quieter(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    console = context.find_object(Console)
    if console is not None and value:
        console.quiet = True


def verbosity_options() -> list[click.Parameter]:
    """-v and -q, the same on every command."""
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_more_verbose,
            help="Tell each decision and its reasons; -vv adds tracebacks.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_quieter,
            help="No progress and no notices.",
        ),
    ]


class Command(click.Command):
    """A command that also takes -v and -q, wherever on the line they are typed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(verbosity_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line; a number below zero, which looks like an option, is refused as the number it is."""
        typed = list(args)
        if ctx.resilient_parsing and args and args[-1].startswith("-"):
            del args[-1]  # its value is being completed: with it click forgets the arguments that stand before it
        try:
            left = super().parse_args(ctx, args)
            self._require_text(ctx)
            return left
        except click.NoSuchOption as unknown:
            name = unknown.option_name
            if not name[1:].isdigit():
                raise
            number = next((argument for argument in typed if argument.startswith(name)), name)
            raise click.UsageError(f"{number} is no option, and no number below zero is expected here", ctx) from None
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # whose command line it is
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options, those of a long command in sections; and say what zone dates are in."""
        write_options(self, ctx, formatter)
        write_zones(self, formatter)

    def _require_text(self, ctx: click.Context) -> None:
        """Raise CommandError for a word that is no text in UTF-8: only a path may be any bytes."""
        for parameter in self.params:
            value = ctx.params.get(parameter.name or "")
            for argument in value if isinstance(value, tuple) else (value,):
                if isinstance(argument, str) and not is_storable(argument):
                    name = parameter.opts[0] if isinstance(parameter, click.Option) else str(parameter.name).upper()
                    raise CommandError(f"{name} {visible_line(argument, 200)} is no text in UTF-8; type it in UTF-8")


class LazyGroup(click.Group):
    """A group made from a table of lazy commands."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})
        self.params.extend(verbosity_options())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return it; None for a name that is not in the table."""
        found = self.lazy.get(cmd_name)
        if found is None:
            return None
        module, _, attribute = found.where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, or say which names are near it."""
        name = args[0]
        if name not in self.lazy and not name.startswith("-") and not ctx.resilient_parsing:
            guess = did_you_mean(name, self.lazy) or f"; see {ctx.command_path} --help"
            raise click.UsageError(f"no such command: {ctx.command_path} {name}{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, found.summary) for name, found in self.lazy.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["click.shell_completion.CompletionItem"]:
        """Complete a command's name from the table; options as click does."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            click.shell_completion.CompletionItem(name, help=found.summary)
            for name, found in self.lazy.items()
            if name.startswith(incomplete)
        ]
