"""``tailrace init``: one DAG file to start from. Never overwrites anything."""

import os
from pathlib import Path

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.errors import CommandError

HELLO = '''\
"""A first DAG: three tasks for each day. See `tailrace dags show hello`."""

from datetime import datetime

from tailrace import DAG, BashOperator, task

with DAG("hello", schedule="@daily", start_date=datetime(2024, 1, 1)):

    @task
    def greet(ds=None):
        """What a task returns is kept, and handed to the tasks that take it."""
        return f"Hello from {ds}"

    @task
    def shout(greeting):
        print(greeting.upper())

    last = BashOperator(task_id="last", bash_command="echo the day of {{ ds }} is done")

    shout(greet()) >> last
'''

SETTINGS = """\
# Settings of this Tailrace project; `tailrace config show` lists them all.
dags = "dags"
"""


@click.command(cls=Command)
def init() -> None:
    """Write one DAG, ./dags/hello.py, and print the next command. Never overwrites a file."""
    console = current_console()
    folder = Path.cwd()
    dag_file = folder / "dags" / "hello.py"
    if dag_file.exists():
        raise CommandError(f"{dag_file.relative_to(folder)} exists already and is left as it is")
    settings_file = folder / "tailrace.toml"
    dag_file.parent.mkdir(mode=0o755, exist_ok=True)
    _create(dag_file, HELLO)
    written = [dag_file]
    if not settings_file.exists():
        _create(settings_file, SETTINGS)
        written.append(settings_file)
    for path in written:
        console.note(f"wrote {path.relative_to(folder)}")
    console.note("next:")
    console.print("tailrace backfill hello -s 2024-01-01 -e 2024-01-07")


def _create(path: Path, text: str) -> None:
    """Write a new file whole, or leave nothing; a file that appeared meanwhile is left as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)  # code is nobody else's to write
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{path.name} exists already and is left as it is") from None
    except OSError:
        path.unlink(missing_ok=True)
        raise
