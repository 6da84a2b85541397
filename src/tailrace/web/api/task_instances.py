"""Task instances: those of many runs, or those of one task in one run, with tries, logs and XComs."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tailrace.model.keys import GREATEST_MAP_INDEX, UNMAPPED
from tailrace.model.states import TaskInstanceState
from tailrace.service import explanations, log_files, views, xcoms
from tailrace.service.explanations import ExplainedTaskOfRun
from tailrace.service.logs import LogNamed
from tailrace.service.pages import Listed
from tailrace.service.shown import TaskInstanceOfRun, TryFacts
from tailrace.service.stores import Stores
from tailrace.web.api.runs import Dated, OneRun
from tailrace.web.operations import Noticed, Operation, Text

_GREATEST = 2**31 - 1
_LONGEST_PIECE = 4 * 1024 * 1024
_FARTHEST = 2**53 - 1  # what a number of JavaScript's is exact to

MapIndex = Annotated[int, Meta(ge=UNMAPPED, le=GREATEST_MAP_INDEX, description="Of a mapped task this index only.")]


class SomeTaskInstances(Dated, frozen=True, kw_only=True):
    """Which task instances."""

    state: Annotated[tuple[TaskInstanceState, ...], Meta(description="In this state; may be given several times.")] = ()
    task: Annotated[
        tuple[str, ...], Meta(description="Of this task, of all in a group, or whose ids fit a pattern; several times.")
    ] = ()


class OneTask(OneRun, frozen=True, kw_only=True):
    """A task of a run; of a mapped one, all its instances or one."""

    task_id: str
    map_index: MapIndex | None = None


class OneTry(OneTask, frozen=True, kw_only=True):
    """A try of a task instance."""

    try_number: Annotated[int, Meta(ge=1, le=_GREATEST, description="Which try; the latest by default.")] | None = None

    @property
    def log(self) -> LogNamed:
        """As the service is asked."""
        return LogNamed(self.dag_id, self.task_id, self.run, self.try_number, self.map_index)


class PieceOfLog(OneTry, frozen=True, kw_only=True):
    """Some of a try's log."""

    offset: Annotated[
        int, Meta(ge=-_FARTHEST, le=_FARTHEST, description="Begin at this byte; below zero, so far before its end.")
    ] = 0
    length: Annotated[int, Meta(ge=0, le=_LONGEST_PIECE, description="At most so many bytes.")] = 1024 * 1024


class OneXCom(OneTask, frozen=True, kw_only=True):
    """An XCom."""

    key: str


class TriesOfTaskInstance(Struct, frozen=True):
    """The tries of one task instance."""

    task_id: str
    map_index: int
    state: str
    try_number: int
    tries: tuple[TryFacts, ...]


def list_task_instances(stores: Stores, asked: SomeTaskInstances) -> Listed[TaskInstanceOfRun]:
    """Task instances, newest logical date first."""
    states = tuple(map(str, asked.state))
    return views.page_of_task_instances(stores, asked.wanted, states, asked.task, asked.paging)


def explain_task_instances(stores: Stores, asked: OneTask) -> tuple[ExplainedTaskOfRun, ...]:
    """What a task's instances wait for, or why they ended as they did, and what would release them.

    `task_id` may also be the id of a group, or a pattern.
    """
    explained = explanations.explained(stores, asked.dag_id, asked.run)
    found = explanations.instances_of(explained, asked.task_id, asked.map_index, stores.typed)
    return tuple(explanations.explained_task(explained, each, stores.typed) for each in found)


def list_tries(stores: Stores, asked: OneTask) -> tuple[TriesOfTaskInstance, ...]:
    """The tries of a task's instances: when each was queued, began and ended, and what became of it."""
    found = explain_task_instances(stores, asked)
    return tuple(
        TriesOfTaskInstance(each.task_id, each.map_index, each.state, each.try_number, each.tries) for each in found
    )


def read_log(stores: Stores, asked: PieceOfLog) -> Text:
    """Some of the log of a try, as its process wrote it.

    Headers say where it began, where it goes on, how long the log is now, and how the task instance stands.
    """
    log, piece = log_files.log_piece(stores, asked.log, asked.offset, asked.length)
    return Text(piece.content, {**_about(piece), "tailrace-log-try": str(log.key.try_number)})


def read_callbacks_log(stores: Stores, asked: PieceOfLog) -> Text:
    """The same of what callbacks have printed that were called for the try."""
    piece = log_files.callbacks_piece(stores, asked.log, asked.offset, asked.length)
    return Text(piece.content, _about(piece))


def get_xcom(stores: Stores, asked: OneXCom) -> Noticed[Any]:
    """The value that a task has left; of a mapped one without an index, the list of all its values."""
    key = (asked.dag_id, asked.task_id, asked.run, asked.key, asked.map_index)
    value, lacking = xcoms.get_xcom(stores, *key)
    return Noticed(value, tuple(f"not in it, for nothing was recorded: {each}" for each in lacking))


def _about(piece: log_files.LogPiece) -> dict[str, str]:
    return {
        "tailrace-log-offset": str(piece.offset),
        "tailrace-log-behind": str(piece.behind),
        "tailrace-log-size": str(piece.size),
    }


TASK = "/dags/{dag_id}/runs/{run}/tasks/{task_id}"
OPERATIONS = (
    Operation("/task-instances", list_task_instances),
    Operation(TASK, explain_task_instances),
    Operation(f"{TASK}/tries", list_tries),
    Operation(f"{TASK}/log", read_log),
    Operation(f"{TASK}/callbacks-log", read_callbacks_log),
    Operation(TASK + "/xcoms/{key}", get_xcom),
)
