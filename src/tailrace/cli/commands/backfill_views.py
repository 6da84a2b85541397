"""``tailrace backfill list|show``: how backfills stand, as the metastore has it."""

from functools import partial

import click

from tailrace.cli.completing import complete_backfills
from tailrace.cli.console import bullet_lines, counted, current_console
from tailrace.cli.lazy import Command
from tailrace.cli.listing import show_list
from tailrace.cli.options import (
    BACKFILL_ID,
    WholeNumber,
    optional_dag_argument,
    output_option,
    stores_with,
)
from tailrace.cli.shell_line import shell_line
from tailrace.cli.tables import show_table
from tailrace.cli.views import BACKFILL_COLUMNS, RUN_COLUMNS, backfill_row, driving_note, run_row, waiting_lines
from tailrace.service import views

_MOST_RUNS_SHOWN = 30


@click.command("list", cls=Command)
@optional_dag_argument
@click.option("--limit", type=WholeNumber(1), default=50, show_default=True, help="At most so many.")
@output_option
def list_(dag_id: str | None, limit: int, output: str) -> None:
    """List the backfills of DAG_ID, or of every DAG, newest first. Times are in UTC."""
    read = partial(views.list_backfills, dag_id=dag_id, limit=limit)
    none = f"no backfills{f' of {dag_id}' if dag_id else ''}"
    show_list(read, BACKFILL_COLUMNS, backfill_row, output=output, empty=none, limit=limit)


@click.command(cls=Command)
@click.argument("backfill_id", type=BACKFILL_ID, required=False, metavar="[ID]", shell_complete=complete_backfills)
@output_option
def show(backfill_id: int | None, output: str) -> None:
    """Show one backfill and its runs; the newest by default. Times are in UTC."""
    console = current_console()
    with stores_with() as stores:
        shown = views.show_backfill(stores, backfill_id)
        if output == "json":
            console.print_json(shown)
            return
        runs = views.runs_of_backfill(stores, shown.backfill_id, _MOST_RUNS_SHOWN)
    inside = shown.failed_inside.named
    more = f", {inside}" if inside and shown.state == "success" else ""
    console.tell(f"backfill {shown.backfill_id} of {shown.dag_id}: {shown.state}{more}", shown.state)
    facts = [shown.reason] if shown.reason and shown.state != "success" else []
    facts += [f"in runs that succeeded, {inside}"] if inside and shown.state != "success" else []
    facts += [note] if (note := driving_note(shown)) else []
    facts += list(waiting_lines(shown.waiting))
    facts += [f"a part of its DAG: {', '.join(shown.part)}"] if shown.part else []
    of_part = ", by how the part of each ended" if shown.part else ""
    facts += [f"runs{of_part}: {counted(shown.runs)}", f"task instances: {counted(shown.task_instances)}"]
    facts += [shown.created_by.text] if shown.created_by else []
    facts += [shown.last_command.text] if shown.last_command and not shown.last_command.is_creation else []
    if shown.command:
        facts.append(shown.command)
    root = shown.root_failure
    if root is not None:
        facts.insert(0, f"{root.try_key.task_instance.task_id} of {root.try_key.task_instance.run_id}: {root.reason}")
    console.tell(bullet_lines(facts))
    show_table(RUN_COLUMNS, [run_row(run) for run in runs], empty="it wants no runs")
    if len(runs) == _MOST_RUNS_SHOWN:
        rest = shell_line("tailrace", "runs", "list", shown.dag_id)
        console.note(f"the first {_MOST_RUNS_SHOWN} runs; `{rest}` lists more")
