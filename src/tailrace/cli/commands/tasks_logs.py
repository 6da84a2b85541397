"""``tailrace tasks logs``: the log of one try, as its process wrote it."""

import sys
from pathlib import Path

import click

from tailrace.cli.lazy import Command
from tailrace.cli.log_text import log_text
from tailrace.cli.options import WholeNumber, dag_argument, settings_with
from tailrace.cli.speaking import current_speaker, has_colour
from tailrace.cli.stored import existing
from tailrace.cli.views import find_run
from tailrace.errors import CommandError
from tailrace.execution.logs import log_path
from tailrace.metastore.views import RunLine, TaskInstanceLine
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.suggestions import did_you_mean

_PIECE = 1 << 20


@click.command(cls=Command)
@dag_argument
@click.argument("task_id")
@click.argument("run")
@click.option("--try", "try_number", type=WholeNumber(1), metavar="N", help="Which try; the latest by default.")
def logs(dag_id: str, task_id: str, run: str, try_number: int | None) -> None:
    """Print the log of a task's try in RUN, a run id or a logical date."""
    settings = settings_with()
    with existing(settings) as metastore:
        found = find_run(metastore, dag_id, run)
        instances = () if metastore is None else metastore.task_instances_of(found.id)
    instance = _instance(found, task_id, instances)
    wanted = try_number or instance.try_number
    if wanted == 0:
        raise CommandError(f"{task_id} of {found.run_id} has had no try yet: it is {instance.state}{_why(instance)}")
    if wanted > instance.try_number:
        raise CommandError(f"{task_id} of {found.run_id} has had no try {wanted}: its latest is {instance.try_number}")
    key = TryKey(TaskInstanceKey(dag_id, found.run_id, task_id, instance.map_index), wanted)
    path = log_path(settings.home, key)
    if not path.is_file():
        raise CommandError(
            f"no log of {key} at {path}: its process never started, ran on another host, or the file was removed"
        )
    _print(path)


def _instance(run: RunLine, task_id: str, instances: tuple[TaskInstanceLine, ...]) -> TaskInstanceLine:
    if not instances:
        raise CommandError(f"{run.run_id} of {run.dag_id} is {run.state}: no task of it has run yet")
    for instance in instances:
        if instance.task_id == task_id:
            return instance
    names = [instance.task_id for instance in instances]
    raise CommandError(f"no task {task_id!r} in {run.run_id} of {run.dag_id}{did_you_mean(task_id, names)}")


def _why(instance: TaskInstanceLine) -> str:
    return f" ({instance.reason})" if instance.reason else ""


def _print(path: Path) -> None:
    """On a terminal, text that cannot steer it; else the bytes as they are: a log may hold anything."""
    speaker = current_speaker()
    speaker.note(f"{path}:")
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(_PIECE), b"")
        if sys.stdout.isatty():
            for text in log_text(pieces, colours=has_colour(sys.stdout)):
                speaker.answer_log(text)
        else:
            for piece in pieces:
                speaker.answer_bytes(piece)
