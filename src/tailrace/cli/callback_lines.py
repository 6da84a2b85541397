"""How the callbacks of a run stand, line by line: those that were called are only counted."""

from collections.abc import Iterable, Iterator

from tailrace.cli.failure_lines import log_words
from tailrace.cli.remedies import command_of
from tailrace.cli.shell_line import shell_line
from tailrace.model.callbacks import EventState
from tailrace.model.keys import UNMAPPED, TaskInstanceKey, index_suffix
from tailrace.planning.explain_facts import CallbackFacts
from tailrace.planning.messages import Action, Remedy


def callback_lines(dag_id: str, run_id: str, callbacks: Iterable[CallbackFacts]) -> Iterator[str]:
    """A line for each that waits or failed; one for all others."""
    called = 0
    for each in callbacks:
        if each.state == EventState.CALLED:
            called += 1
        elif each.state == EventState.FAILED:
            yield f"{_name(each)} failed: {each.error}{_log(dag_id, run_id, each)}"
        else:
            yield f"{_name(each)} {_waits(each)}"
    if called:
        yield f"{called:,} callback event{'' if called == 1 else 's'} called"


def _name(each: CallbackFacts) -> str:
    if each.task_id is None:
        return f"{each.callback} of the run"
    place = each.task_id + index_suffix(UNMAPPED if each.map_index is None else each.map_index)
    return f"{each.callback} of {place}, try {each.try_number},"


def _waits(each: CallbackFacts) -> str:
    if each.called_by is not None:
        return f"is being called by {each.called_by}"
    if each.jobs:
        return f"waits for its turn: job {each.jobs[0]} calls it"
    runs = command_of(Remedy(Action.RUN_SCHEDULER))
    return f"waits: no live job has the DAG; `{runs}`, or a backfill of the DAG, calls it"


def _log(dag_id: str, run_id: str, each: CallbackFacts) -> str:
    if each.task_id is None or each.try_number is None:
        return ""
    key = TaskInstanceKey(dag_id, run_id, each.task_id, UNMAPPED if each.map_index is None else each.map_index)
    return f"; log: `{shell_line(*log_words(key), '--try', str(each.try_number), '--callbacks')}`"
