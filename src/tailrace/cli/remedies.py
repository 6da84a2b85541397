"""The command line that does what a remedy says. Nowhere else is one made of data, but for ``retyping``'s."""

from tailrace.cli.retyping import shell_line
from tailrace.errors import InternalError
from tailrace.planning.messages import Action, Message, Remedy


def command_of(remedy: Remedy) -> str:
    """What a person types."""
    if remedy.action is Action.REPEAT:
        return remedy.command or ""
    return shell_line("tailrace", *_words(remedy))


def told(message: Message) -> str:
    """A message as a person at a terminal reads it."""
    return message.told(command_of)


def _words(remedy: Remedy) -> list[str]:
    dag_id, run_id, backfill_id = str(remedy.dag_id), str(remedy.run_id), str(remedy.backfill_id)
    match remedy.action:
        case Action.BACKFILL:
            return ["backfill", dag_id, *_range(remedy)]
        case Action.LIST_BACKFILLS:
            return ["backfill", "list"]
        case Action.RESUME_BACKFILL:
            return ["backfill", "resume", backfill_id]
        case Action.CANCEL_BACKFILL:
            return ["backfill", "cancel", backfill_id]
        case Action.RUN_SCHEDULER:
            return ["scheduler"]
        case Action.UNPAUSE_DAG:
            return ["dags", "unpause", dag_id]
        case Action.LIST_RUNS:
            return ["runs", "list", dag_id]
        case Action.LIST_ALL_RUNS:
            return ["runs", "list"]
        case Action.EXPLAIN_RUN:
            return ["runs", "explain", dag_id, run_id]
        case Action.CLEAR_RUN:
            return ["runs", "clear", dag_id, run_id]
        case Action.CLEAR_TASK:
            return ["tasks", "clear", dag_id, str(remedy.task_id), run_id]
        case Action.SET_POOL:
            return ["pools", "set", str(remedy.pool), "SLOTS" if remedy.slots is None else str(remedy.slots)]
        case _:
            raise InternalError(f"no command line for {remedy.action}; this is a bug in Tailrace")


def _range(remedy: Remedy) -> list[str]:
    words = ["-s", str(remedy.start)]
    words += [] if remedy.end is None else ["-e", remedy.end]
    words += [] if remedy.pool is None else ["--pool", remedy.pool]
    words += ["--disable-retry"] if remedy.disable_retry else []
    return words + (["--mark-success"] if remedy.mark_success else [])
