"""The command line that repeats a command: what a summary advises a person to type next."""

from collections.abc import Mapping

from tailrace.cli.shell_line import shell_line
from tailrace.planning.backfills import Reprocess
from tailrace.service.backfill_report import BackfillCommand

_FLAGS = (
    ("backwards", "--backwards"),
    ("stop_on_failure", "--stop-on-failure"),
    ("disable_retry", "--disable-retry"),
    ("mark_success", "--mark-success"),
    ("ignore_first_depends_on_past", "--ignore-first-depends-on-past"),
    ("upstream", "--upstream"),
    ("downstream", "--downstream"),
)


def command_line(
    command: BackfillCommand, settings_options: Mapping[str, object], *, reprocess: Reprocess | None = None
) -> str:
    """``tailrace backfill …`` as text for a shell, as ``command_words`` has it."""
    return shell_line(*command_words(command, settings_options, reprocess=reprocess))


def command_words(
    command: BackfillCommand,
    settings_options: Mapping[str, object],
    *,
    reprocess: Reprocess | None = None,
    start: str | None = None,
) -> list[str]:
    """The words of ``tailrace backfill …``, without --new: typed again, it continues the same backfill.

    ``settings_options`` are the options that only override settings (dags, workers…), by setting name; ``reprocess``
    and ``start`` stand in for what was typed, where one date alone is then the last.
    """
    arguments = ["tailrace", "backfill", command.dag_id]
    arguments += _pair("-s", start or command.start)
    arguments += _pair("-e", command.end or (command.start if start else None))
    wanted = reprocess or command.reprocess
    if wanted is not Reprocess.MISSING:
        arguments += ["--reprocess", str(wanted)]
    arguments += [word for pattern in command.tasks for word in ("--tasks", pattern)]
    arguments += _pair("--max-active-runs", command.max_active_runs) + _pair("--pool", command.pool)
    arguments += [flag for name, flag in _FLAGS if getattr(command, name)]
    arguments += _pair("--conf", command.conf)
    for name, value in settings_options.items():
        arguments += _setting(name.replace("_", "-"), value)
    return arguments


def _setting(option: str, value: object | None) -> list[str]:
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    return _pair(f"--{option}", value)


def _pair(option: str, value: object | None) -> list[str]:
    return [] if value is None else [option, str(value)]
