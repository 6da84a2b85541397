"""``tailrace dags trigger``: one run that a person asks for."""

from pathlib import Path

import click

from tailrace.cli.dagfiles import bundled_file, require_dags
from tailrace.cli.lazy import Command
from tailrace.cli.options import canonical_conf, dag_argument, dags_option, output_option, settings_with
from tailrace.cli.speaking import current_speaker
from tailrace.errors import CommandError
from tailrace.model.names import wrong_with_run_id
from tailrace.runtime.dates import interval_json
from tailrace.runtime.launch import trigger_run

_RESERVED = ("backfill__", "scheduled__")


@click.command(cls=Command)
@dag_argument
@click.option("--logical-date", metavar="DATE", help="Of the run; now by default.")
@click.option("--run-id", metavar="ID", help="Its name; manual__ and the logical date by default.")
@click.option("--conf", metavar="JSON", help="A JSON object, `{{ dag_run.conf }}` in templates.")
@dags_option
@output_option
def trigger(
    dag_id: str, logical_date: str | None, run_id: str | None, conf: str | None, dags: Path | None, output: str
) -> None:
    """Create one run of DAG_ID, whatever its schedule. A scheduler drives it.

    A logical date of the schedule has its own data interval; any other has the last that has ended by then.
    """
    settings = settings_with(dags=dags)
    if bundled_file(dag_id, settings) is not None:
        raise CommandError(
            f"{dag_id} is a bundled example, which no scheduler loads; run it with `tailrace backfill {dag_id}`"
        )
    require_dags(dag_id, settings)
    speaker = current_speaker()
    plan = trigger_run(dag_id, logical_date, _checked(run_id), canonical_conf(conf), settings, speaker.notice)
    if output == "json":
        speaker.answer_json(
            {
                "schema": 1,
                "dag_id": dag_id,
                "run_id": plan.run_id,
                "logical_date": plan.logical_date.isoformat(),
                "data_interval": interval_json(plan.interval),
                "state": "queued",
                "notices": list(plan.notices),
            }
        )
        return
    speaker.answer(plan.run_id)
    for notice in plan.notices:
        speaker.notice(notice)
    speaker.note(f"created; a scheduler drives it (`tailrace scheduler`); `tailrace runs show {dag_id} {plan.run_id}`")


def _checked(run_id: str | None) -> str | None:
    """A run id is told from a date by the ``__`` in it, and names a folder of logs."""
    if run_id is None:
        return None
    if wrong := wrong_with_run_id(run_id):
        raise CommandError(f"--run-id must be {wrong}")
    if "__" not in run_id or run_id.startswith(_RESERVED):
        raise CommandError(
            f"--run-id {run_id!r}: write it as two words with two underscores between, such as manual__first; "
            "backfill__ and scheduled__ are taken"
        )
    return run_id
