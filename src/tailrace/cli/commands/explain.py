"""``tailrace runs explain`` and ``tailrace tasks explain``: the planner read aloud, with what would release it."""

import click

from tailrace.cli.explaining import EXPLAINED_COLUMNS, explained_row, run_json, run_lines, task_json, task_lines
from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, output_option, settings_with
from tailrace.cli.speaking import current_speaker
from tailrace.cli.stored import asked
from tailrace.cli.tables import show_table
from tailrace.cli.views import find_run
from tailrace.errors import CommandError
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.explaining import RunExplanation, TaskInstanceExplanation, explain_run


@click.command("explain", cls=Command)
@dag_argument
@click.argument("run")
@output_option
def explain_run_command(dag_id: str, run: str, output: str) -> None:
    """Say what a run and each of its task instances wait for, and what would release them.

    RUN is a run id or a logical date. Asks the planner itself about what is recorded now; needs no DAG file and writes
    nothing.
    """
    explained = _explained(dag_id, run)
    speaker = current_speaker()
    if output == "json":
        speaker.answer_json(run_json(explained))
        return
    for line in run_lines(explained):
        speaker.answer(line)
    rows = [explained_row(each) for each in explained.task_instances]
    show_table(EXPLAINED_COLUMNS, rows, empty="it has not been activated: no task instances yet")


@click.command("explain", cls=Command)
@dag_argument
@click.argument("task_id")
@click.argument("run")
@output_option
def explain_task_command(dag_id: str, task_id: str, run: str, output: str) -> None:
    """Say what a task instance waits for, or why it ended as it did, and what would release it.

    RUN is a run id or a logical date. Asks the planner itself about what is recorded now; needs no DAG file and writes
    nothing.
    """
    explained = _explained(dag_id, run)
    speaker = current_speaker()
    instances = _instances(explained, task_id)
    if output == "json":
        run_facts = {**run_json(explained)}
        del run_facts["task_instances"]
        speaker.answer_json({**task_json(instances[0]), "run": run_facts})
        return
    for instance in instances:
        for line in task_lines(instance, explained.facts):
            speaker.answer(line)


def _explained(dag_id: str, run: str) -> RunExplanation:
    with asked(settings_with()) as metastore:
        found = find_run(metastore, dag_id, run)
        assert metastore is not None  # else no run is found
        return explain_run(metastore.explained(found.id))


def _instances(explained: RunExplanation, task_id: str) -> list[TaskInstanceExplanation]:
    """The instances of this task. Raises CommandError with the nearest name, or with why there are none yet."""
    found = [each for each in explained.task_instances if each.key.task_id == task_id]
    if found:
        return found
    facts = explained.facts
    names = [task.task_id for task in facts.snapshot.dag.tasks]
    if task_id in names:
        release = "" if explained.release is None else f"; released by: {explained.release.text}"
        raise CommandError(
            f"{facts.run.run_id} of {facts.dag_id} is {facts.run.state}, no task of it has begun: "
            f"{explained.waits}{release}"
        )
    raise CommandError(f"no task {task_id!r} in {facts.run.run_id} of {facts.dag_id}{did_you_mean(task_id, names)}")
