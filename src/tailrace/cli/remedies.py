"""The command line that does what a remedy says. ``command_line`` makes that of a backfill as it was typed."""

from tailrace.cli.shell_line import shell_line
from tailrace.planning.messages import Action, Message, Remedy


def command_of(remedy: Remedy) -> str:
    """What a person types."""
    if remedy.action is Action.REPEAT:
        return remedy.command or ""
    return shell_line("tailrace", *_text(remedy))


def text_of(message: Message) -> str:
    """A message as a person at a terminal reads it."""
    return message.render(command_of)


_FIXED = {
    Action.LIST_BACKFILLS: ("backfill", "list"),
    Action.RUN_SCHEDULER: ("scheduler",),
    Action.LIST_ALL_RUNS: ("runs", "list"),
    Action.LIST_POOLS: ("pools", "list"),
    Action.LIST_DAGS: ("dags", "list"),
    Action.CHECK_DAGS: ("dags", "check"),
    Action.WRITE_FIRST_DAG: ("init",),
    Action.MIGRATE: ("db", "migrate"),
    Action.CHECK_METASTORE: ("db", "check"),
}
_NAMING = {
    Action.RESUME_BACKFILL: (("backfill", "resume"), ("backfill_id",)),
    Action.CANCEL_BACKFILL: (("backfill", "cancel"), ("backfill_id",)),
    Action.UNPAUSE_DAG: (("dags", "unpause"), ("dag_id",)),
    Action.LIST_RUNS: (("runs", "list"), ("dag_id",)),
    Action.EXPLAIN_RUN: (("runs", "explain"), ("dag_id", "run_id")),
    Action.CLEAR_RUN: (("runs", "clear"), ("dag_id", "run_id")),
    Action.CLEAR_FAILED_OF_RUN: (("runs", "clear"), ("dag_id", "run_id")),
    Action.CLEAR_TASK: (("tasks", "clear"), ("dag_id", "task_id", "run_id")),
    Action.CLEAR_DOWNSTREAM_FAILED: (("tasks", "mark"), ("dag_id", "task_id", "run_id")),
}


def _text(remedy: Remedy) -> list[str]:
    if remedy.action is Action.BACKFILL:
        return ["backfill", *_range(remedy)]
    if remedy.action is Action.TRIGGER:
        return ["dags", "trigger", str(remedy.dag_id), "--logical-date", str(remedy.start)]
    if remedy.action is Action.SET_POOL:
        return ["pools", "set", str(remedy.pool), "SLOTS" if remedy.slots is None else str(remedy.slots)]
    if remedy.action is Action.SET_VARIABLE:
        return ["variables", "set", str(remedy.name), "VALUE"]
    if remedy.action is Action.SET_CONNECTION:
        return ["connections", "set", str(remedy.name), "URI"]
    if remedy.action in _FIXED:
        return list(_FIXED[remedy.action])
    arguments, names = _NAMING[remedy.action]
    index = [] if remedy.map_index is None else ["--map-index", str(remedy.map_index)]
    marks = ["--only-failed"] if remedy.action is Action.CLEAR_FAILED_OF_RUN else []
    if remedy.action is Action.CLEAR_DOWNSTREAM_FAILED:
        marks = ["--state", str(remedy.state), "--downstream-failed"]
    return [*arguments, *(str(getattr(remedy, name)) for name in names), *index, *marks]


def _range(remedy: Remedy) -> list[str]:
    if remedy.dag_id is None:
        return ["DAG_ID", "-s", "START", "-e", "END"]
    arguments = [remedy.dag_id, "-s", str(remedy.start)]
    arguments += [] if remedy.end is None else ["-e", remedy.end]
    arguments += [word for task_id in remedy.part for word in ("--tasks", task_id)]
    arguments += [] if remedy.pool is None else ["--pool", remedy.pool]
    arguments += ["--disable-retry"] if remedy.disable_retry else []
    return arguments + (["--mark-success"] if remedy.mark_success else [])
