"""``tailrace tasks``: the group. Trying a task out and reading what is stored are in modules of their own."""

import click

from tailrace.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy("tailrace.cli.commands.tasks_list:list_", "List a DAG's tasks, or instances of them by state."),
        "test": Lazy("tailrace.cli.commands.tasks_files:test", "Run one task here and now; no state is written."),
        "render": Lazy("tailrace.cli.commands.tasks_files:render", "Show a task's templates rendered; nothing is run."),
        "explain": Lazy("tailrace.cli.commands.explain:explain_task_command", "Say what a task waits for, and why."),
        "clear": Lazy("tailrace.cli.commands.tasks_change:clear", "Have a task, and what is below it, done again."),
        "mark": Lazy("tailrace.cli.commands.tasks_change:mark", "Give a task an outcome without running it."),
        "logs": Lazy("tailrace.cli.commands.tasks_logs:logs", "Print the log of a try; the latest by default."),
    },
)
def tasks() -> None:
    """Tasks of a DAG, and the logs of their tries."""
