"""``tailrace backfill list|show``: how backfills stand, as the metastore has it."""

import click

from tailrace.cli.lazy import Command
from tailrace.cli.options import BACKFILL_ID, WholeNumber, optional_dag_argument, output_option, settings_with
from tailrace.cli.speaking import bullet_lines, counted, current_speaker, state_styled_answer
from tailrace.cli.stored import existing, require_known, say_empty
from tailrace.cli.summary import blocked_json
from tailrace.cli.tables import show_table
from tailrace.cli.views import BACKFILL_COLUMNS, RUN_COLUMNS, backfill_json, backfill_row, backfill_state, run_row
from tailrace.errors import CommandError

_MOST_RUNS_SHOWN = 30


@click.command("list", cls=Command)
@optional_dag_argument
@click.option("--limit", type=WholeNumber(1), default=50, show_default=True, help="At most so many.")
@output_option
def list_(dag_id: str | None, limit: int, output: str) -> None:
    """List the backfills of DAG_ID, or of every DAG, newest first."""
    settings = settings_with()
    with existing(settings) as metastore:
        if dag_id is not None:
            require_known(metastore, dag_id)
        found = () if metastore is None else metastore.list_backfills(dag_id, limit)
    if output == "json":
        current_speaker().answer_json([backfill_json(line) for line in found])
    elif metastore is None:
        say_empty(settings)
    else:
        empty = f"no backfills{f' of {dag_id}' if dag_id else ''}"
        show_table(BACKFILL_COLUMNS, [backfill_row(line) for line in found], empty=empty)


@click.command(cls=Command)
@click.argument("backfill_id", type=BACKFILL_ID, required=False, metavar="[ID]")
@output_option
def show(backfill_id: int | None, output: str) -> None:
    """Show one backfill and its runs; the newest by default."""
    with existing(settings_with()) as metastore:
        line = None if metastore is None else metastore.show_backfill(backfill_id)
        if metastore is None or line is None:
            if backfill_id is None:
                raise CommandError("no backfill yet; `tailrace backfill DAG_ID -s START -e END` makes one")
            raise CommandError(f"no backfill {backfill_id}; `tailrace backfill list` lists them")
        summary = metastore.backfill_summary(line.id)
        runs = () if output == "json" else metastore.runs_of_backfill(line.id, _MOST_RUNS_SHOWN)
    speaker = current_speaker()
    if output == "json":
        answer = backfill_json(line)
        answer["task_instances"] = dict(summary.task_instances)
        answer["blocked"] = [blocked_json(blocker) for blocker in summary.blocked]
        speaker.answer_json(answer)
        return
    inside = line.failures.inside.named
    state = state_styled_answer(backfill_state(line)) + (f", {inside}" if inside and line.state == "success" else "")
    speaker.answer(f"backfill {line.id} of {line.dag_id}: {state}")
    facts = [line.reason] if line.reason and line.state != "success" else []
    facts += [f"in runs that succeeded, {inside}"] if inside and line.state != "success" else []
    facts += [f"runs: {counted(line.runs)}", f"task instances: {counted(summary.task_instances)}"]
    if line.command:
        facts.append(line.command)
    root = summary.root_failure
    if root is not None:
        facts.insert(0, f"{root.try_key.task_instance.task_id} of {root.try_key.task_instance.run_id}: {root.reason}")
    speaker.answer(bullet_lines(facts))
    show_table(RUN_COLUMNS, [run_row(run) for run in runs], empty="it wants no runs")
    if len(runs) == _MOST_RUNS_SHOWN:
        speaker.note(f"the first {_MOST_RUNS_SHOWN} runs; `tailrace runs list {line.dag_id}` lists more")
