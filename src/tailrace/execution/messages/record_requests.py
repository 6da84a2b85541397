"""A task's questions about what runs have recorded, as messages to its worker: XComs, runs, task instances."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import convert, to_builtins

from tailrace.execution.messages.channel import Asked, NotToBeAsked, ProtocolError
from tailrace.model.names import search_error
from tailrace.model.recorded import (
    MOST_VALUES,
    Counted,
    RecordsQuery,
    RecordsRefused,
    RecordsReply,
    RunsFound,
    TaskInstancesFound,
)
from tailrace.model.tagged_values import Tagged

if TYPE_CHECKING:
    from tailrace.authoring.context.recorded import Ask

#: How a reply of each kind is called in a message.
_KINDS: dict[type, str] = {
    RunsFound: "runs",
    TaskInstancesFound: "task_instances",
    Counted: "count",
    RecordsRefused: "no_records",
}


class PullXCom(Protocol):
    """Returns [task id, map index, value] for each XCom that exists."""

    def __call__(
        self,
        dag_id: str,
        run_id: str,
        task_ids: tuple[str, ...],
        name: str,
        map_index: int | None,
        until: datetime | None = None,
        /,
    ) -> list[Any]:
        """Those of these tasks (of any: no ids) under this name; with ``until`` also of earlier logical dates."""


def pulling(channel: Asked) -> PullXCom:
    """How a task's process gets XComs: it asks whoever is at the other end."""

    def pull(
        dag_id: str,
        run_id: str,
        task_ids: tuple[str, ...],
        name: str,
        map_index: int | None,
        until: datetime | None = None,
    ) -> list[Any]:
        query: dict[str, Any] = {"dag_id": dag_id, "run_id": run_id, "task_ids": task_ids, "key": name}
        query["map_index"] = map_index
        if until is not None:
            query["until"] = until.isoformat()
        reply = channel.ask({"query": query})
        if reply is None:
            raise ConnectionError("the worker of this task is gone")
        if "refused" in reply:
            raise LookupError(reply["refused"])
        values: list[Any] = reply["xcom"]
        for at in reply.get("tagged", ()):
            values[at][2] = Tagged(values[at][2])
        return values

    return pull


def asking(channel: Asked) -> "Ask":
    """How a task's process asks for runs and task instances."""

    def ask(query: RecordsQuery) -> RecordsReply:
        try:
            reply = channel.ask({"records": to_builtins(query)})
        except NotToBeAsked as no:
            return RecordsRefused(f"what runs have done: {no}")
        if reply is None:
            raise ConnectionError("the worker of this task is gone")
        if "refused" in reply:
            return RecordsRefused(reply["refused"])
        for kind, name in _KINDS.items():
            if name in reply:
                found: RecordsReply = convert(reply[name], kind)
                return found
        raise ConnectionError("the worker of this task has sent what is no reply")

    return ask


def records_reply(number: int, reply: RecordsReply) -> dict[str, Any]:
    """The reply to a task's question of this number, as it travels."""
    return {"reply_to": number, _KINDS[type(reply)]: to_builtins(reply)}


def checked(query: RecordsQuery) -> RecordsQuery:
    """What a task has asked. Raises ProtocolError for what ours would not ask."""
    texts = [query.dag_id, *(() if query.task_group_id is None else (query.task_group_id,))]
    several = [query.run_ids, query.states, query.run_types, query.task_ids, query.logical_dates]
    for values in several:
        if values is not None and len(values) > MOST_VALUES:
            raise ProtocolError("a query for more than can be asked for")
        texts += [value for value in values or () if isinstance(value, str)]
    moments = [query.before, query.first, query.last, *(query.logical_dates or ())]
    if any(map(search_error, texts)) or not all(each is None or each.utcoffset() == timedelta(0) for each in moments):
        raise ProtocolError("a query for what cannot be")
    return query
