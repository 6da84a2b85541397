"""``tailrace audit``: checks the whole recorded history, and shows every row that must not be."""

from pathlib import Path

import click

from tailrace.audit.records import Report, Violation
from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command
from tailrace.cli.options import note_empty, output_option, stores_with
from tailrace.cli.tables import Column, show_table
from tailrace.service import maintenance
from tailrace.service.seal_files import read_seal, require_new, write_seal

_COLUMNS = (Column("history row", number=True), Column("check"), Column("about"), Column("what is wrong"))
_MOST_SHOWN = 200


@click.command(cls=Command)
@click.option(
    "--seal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="If it is sound, write to FILE where each chain of history stands. Keep it where nobody changes it.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check also that history goes on from where it stood when FILE was written with --seal.",
)
@output_option
def audit(seal: Path | None, against: Path | None, output: str) -> int:
    """Check the whole recorded history; exit 1 with the offending rows if it is not sound.

    Legal transitions only, one live try at most, tokens in order, limits kept, every skip and upstream_failed
    justified, every verdict a function of final states; every row of history as it was written, and every other row as
    its history led it, column by column. Shares no code with the planner, writes nothing, and works while jobs run.
    """
    console = current_console()
    if seal is not None and seal != against:
        require_new(seal)
    sealed = None if against is None else read_seal(against)
    with stores_with() as stores:
        found = maintenance.audit(stores, sealed)
        report = found or Report((), {})
    if output == "json":
        console.print_json(report.violations)
    elif report.violations:
        show_table(_COLUMNS, [_row(violation) for violation in report.violations[:_MOST_SHOWN]], empty="")
    for note in report.notes:
        console.notice(note)
    if report.unsealed:
        rows = plural(report.unsealed, "history row")
        console.notice(f"{rows} from before history was chained: nobody can say whether they are as they were written")
    if found is None:
        note_empty(stores.settings)
        if seal is not None:
            console.note(f"there is nothing to seal: {seal} was not written")
        return 0
    _summarize(report, output)
    if sealed is not None and not report.violations:
        console.note(f"{plural(len(sealed), 'chain')} as sealed in {against}")
    if seal is not None:
        if report.violations:
            console.error(f"no seal was written to {seal}: mend what is wrong first, or find out who changed it")
        else:
            root = write_seal(seal, report.chains)
            console.note(f"{plural(len(report.chains), 'chain')} sealed in {seal}, root {root}")
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
        console.tell(f"sound: {checked}")


def _counted(name: str, count: int) -> str:
    return plural(count, name.removesuffix("s"))


def _row(violation: Violation) -> tuple[str, ...]:
    place = "" if violation.history_id is None else str(violation.history_id)
    return (place, violation.check, violation.about, violation.text)
