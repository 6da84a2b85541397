"""``tailrace audit``: checks the whole recorded history, and shows every row that must not be."""

import click

from tailrace.audit.records import Report, Violation
from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command
from tailrace.cli.options import note_empty, output_option, stores_with
from tailrace.cli.tables import Column, show_table
from tailrace.service import maintenance

_COLUMNS = (Column("history row", number=True), Column("check"), Column("about"), Column("what is wrong"))
_MOST_SHOWN = 200


@click.command(cls=Command)
@output_option
def audit(output: str) -> int:
    """Check the whole recorded history; exit 1 with the offending rows if it is not sound.

    Legal transitions only, one live try at most, tokens in order, limits kept, every skip and upstream_failed
    justified, every verdict a function of final states. Shares no code with the planner, writes nothing, and works
    while jobs run.
    """
    console = current_console()
    with stores_with() as stores:
        found = maintenance.audit(stores)
        report = found or Report((), {})
    if output == "json":
        console.print_json(report.violations)
    elif report.violations:
        show_table(_COLUMNS, [_row(violation) for violation in report.violations[:_MOST_SHOWN]], empty="")
    for note in report.notes:
        console.notice(note)
    if found is None:
        note_empty(stores.settings)
        return 0
    _summarize(report, output)
    return 1 if report.violations else 0


def _summarize(report: Report, output: str) -> None:
    """One line: the output itself, unless the output is JSON."""
    console = current_console()
    checked = ", ".join(_counted(name, count) for name, count in report.counts.items())
    if report.violations:
        rest = len(report.violations) - _MOST_SHOWN
        more = f", {rest:,} of them not shown (-o json has all)" if rest > 0 and output != "json" else ""
        console.error(f"{plural(len(report.violations), 'violation')} in {checked}{more}")
    elif output == "json":
        console.note(f"sound: {checked}")
    else:
        console.print(f"sound: {checked}")


def _counted(name: str, count: int) -> str:
    return plural(count, name.removesuffix("s"))


def _row(violation: Violation) -> tuple[str, ...]:
    place = "" if violation.history_id is None else str(violation.history_id)
    return (place, violation.check, violation.about, violation.text)
