"""``tailrace backfill``: the group; with a DAG id instead of a command's name it is short for ``backfill
run``.
"""

import click
from click.shell_completion import CompletionItem

from tailrace.cli.lazy import Lazy, LazyGroup

_COMMANDS = {
    "run": Lazy("tailrace.cli.commands.backfill_run:run", "Create a backfill or continue it (`run` may be left out)."),
    "list": Lazy("tailrace.cli.commands.backfill_views:list_", "List backfills, newest first."),
    "show": Lazy("tailrace.cli.commands.backfill_views:show", "Show one backfill; the newest by default."),
    "pause": Lazy("tailrace.cli.commands.backfill_control:pause", "Let nothing more of a backfill start."),
    "resume": Lazy("tailrace.cli.commands.backfill_control:resume", "Let a paused backfill go on."),
    "cancel": Lazy("tailrace.cli.commands.backfill_control:cancel", "End a backfill; what only it wants is stopped."),
}


class BackfillGroup(LazyGroup):
    """Takes everything that does not begin with a command's name as the arguments of ``run``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``run`` in front where it was left out."""
        if args and args[0] not in self.lazy and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and what ``run`` would complete: DAG ids, or its options."""
        run = self.get_command(ctx, "run")
        assert run is not None
        if incomplete.startswith("-"):
            return run.shell_complete(ctx, incomplete)
        return [*super().shell_complete(ctx, incomplete), *run.params[0].shell_complete(ctx, incomplete)]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help of ``run``, for that is what people ask about, and the other commands below it."""
        run = self.get_command(ctx, "run")
        assert run is not None
        formatter.write_usage(ctx.command_path, "[run] DAG_ID -s START -e END [OPTIONS]")
        formatter.write_usage(ctx.command_path, "list|show|pause|resume|cancel [OPTIONS] [ID]", prefix="       ")
        run.format_help_text(ctx, formatter)
        run.format_options(click.Context(run, info_name="run", parent=ctx), formatter)
        self.format_commands(ctx, formatter)
        run.format_epilog(ctx, formatter)


@click.group(cls=BackfillGroup, lazy=_COMMANDS)
def backfill() -> None:
    """Run a DAG over a range of dates."""
