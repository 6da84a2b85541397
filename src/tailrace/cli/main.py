"""The entry of the command line: the tree of commands, and what becomes of every error that reaches the top.

An error is one line on stderr and an exit code; a traceback is shown with -vv only.
"""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click
from click.shell_completion import shell_complete

from tailrace.cli.console import ENVIRONMENT_ERRNOS, Console, OutputClosed, os_error_text
from tailrace.cli.lazy import Lazy, LazyGroup
from tailrace.cli.remedies import text_of
from tailrace.cli.usage_errors import usage_text
from tailrace.errors import EnvironmentBroken, InternalError, TailraceError
from tailrace.metastore.db.address import hide_secrets
from tailrace.planning.messages import Refused, Unusable

_COMMANDS = {
    "init": Lazy("tailrace.cli.commands.init:init", "Write one DAG and print the next command."),
    "demo": Lazy("tailrace.cli.commands.demo:demo", "Backfill the bundled weather example."),
    "backfill": Lazy("tailrace.cli.commands.backfill:backfill", "Run a DAG over dates; list, show, pause, cancel."),
    "dags": Lazy("tailrace.cli.commands.dags:dags", "List, show, check, trigger, pause and count DAGs."),
    "runs": Lazy("tailrace.cli.commands.runs:runs", "List, show, explain, clear and mark runs."),
    "tasks": Lazy("tailrace.cli.commands.tasks:tasks", "List, try, explain, clear and mark tasks; read logs."),
    "grid": Lazy("tailrace.cli.commands.grid:grid", "Show the states of a DAG's tasks over its runs."),
    "xcom": Lazy("tailrace.cli.commands.xcom:xcom", "List and get what tasks left for others of their run."),
    "scheduler": Lazy("tailrace.cli.commands.scheduler:scheduler", "Create due runs, drive them and what is detached."),
    "web": Lazy("tailrace.cli.commands.web:web", "Serve a page to look at, and the HTTP API."),
    "jobs": Lazy("tailrace.cli.commands.jobs:jobs", "List what drives backfills and schedules."),
    "pools": Lazy("tailrace.cli.commands.pools:pools", "List, set and delete pools."),
    "variables": Lazy("tailrace.cli.commands.variables:variables", "List, get, set, import and export Variables."),
    "connections": Lazy("tailrace.cli.commands.connections:connections", "The same for Connections; test one."),
    "db": Lazy("tailrace.cli.commands.db:db", "Migrate, check and clean the metastore."),
    "audit": Lazy("tailrace.cli.commands.audit:audit", "Check the whole recorded history."),
    "config": Lazy("tailrace.cli.commands.config:config", "Show each setting and where it comes from."),
    "simulate": Lazy("tailrace.cli.commands.simulate:simulate", "Replay histories in the simulator."),
}

_COMPLETION = "_TAILRACE_COMPLETE"


@click.group(
    name="tailrace",
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings: tailrace.toml, then TAILRACE_* variables, then options; see `tailrace config show`. Times are "
    "shown in UTC and end in Z, or with their offset; dates typed without an offset are "
    "in the DAG's time zone.",
)
@click.version_option(package_name="tailrace", message="tailrace %(version)s")
def tailrace() -> None:
    """Runs DAGs of tasks over ranges of dates, and never lies about what happened.

    Start with `tailrace demo`, or `tailrace init` and then `tailrace backfill`.
    """


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    _open_what_is_closed()
    arguments = sys.argv[1:] if argv is None else list(argv)
    instruction = os.environ.get(_COMPLETION)
    if instruction:
        sys.exit(shell_complete(tailrace, {}, "tailrace", _COMPLETION, instruction))
    _leave(run(arguments))


def _open_what_is_closed() -> None:
    """A command that is typed with ``>&-`` has no such stream: what it prints there is lost."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nobody = os.open(os.devnull, os.O_RDWR)
            if nobody != number:
                os.dup2(nobody, number)
                os.close(nobody)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _leave(code: int) -> NoReturn:
    """End at once: taking the modules of a large program apart one by one costs a tenth of a second, for nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads any more
            code = code or 128 + signal.SIGPIPE
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error has been printed by then."""
    console = Console()
    try:
        with tailrace.make_context("tailrace", list(arguments), obj=console) as context:
            result = tailrace.invoke(context)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except BaseException as error:
        if console.verbosity >= 2:
            console.trace(hide_secrets(traceback.format_exc()))
        return _report(error, console)
    finally:
        if console.verbosity >= 2:
            for line in _library_logs():
                console.trace(hide_secrets(f"log: {line}"))


def _library_logs() -> tuple[str, ...]:
    """What database libraries logged by themselves, where any is loaded: asking must not load them."""
    module = sys.modules.get("tailrace.metastore.db.library_logs")
    return () if module is None else module.kept_library_logs()


def _report(error: BaseException, console: Console) -> int:
    """Print what happened in one line and return the exit code."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case click.exceptions.NoArgsIsHelpError():
            console.note(error.format_message())
            return 2
        case click.ClickException():
            console.error(usage_text(error))
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            console.note("interrupted")
            return 128 + signal.SIGINT
        case Refused() | Unusable():
            for message in error.messages:
                console.error(text_of(message))
            return error.exit_code
        case TailraceError():
            text = hide_secrets(str(error)) if isinstance(error, InternalError) else str(error)
            for line in text.split("\n"):
                console.error(line)
            return error.exit_code
        case OutputClosed():
            return 128 + signal.SIGPIPE
        case OSError() if error.errno in ENVIRONMENT_ERRNOS:
            console.error(os_error_text(error))
            return EnvironmentBroken.exit_code
        case _:
            text = hide_secrets(_one_line(f"{type(error).__name__}: {error}"))
            console.error(
                f"{text} — this is a bug in Tailrace; please report it with the output of the same command and -vv"
            )
            return TailraceError.exit_code


def _one_line(text: str) -> str:
    return " ".join(text.split())
