"""Messages for people, as codes with data: sentences are made of them here, command lines only by who prints them.

A ``Message`` is a tagged struct: its code is the name of its class, its fields are the data, ``template`` the sentence.
A ``Remedy`` says what a person can do about something; how that is typed depends on where they are, so whoever shows a
message says how a remedy is ``Typed``.
"""

import re
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import ClassVar

from msgspec import Struct, to_builtins

from tailrace.errors import CommandError, EnvironmentBroken


class Action(StrEnum):
    """What a person can do."""

    BACKFILL = "backfill"  # a range of dates, or one date
    REPEAT = "repeat"  # a backfill's command, as it was typed
    LIST_BACKFILLS = "list_backfills"
    TRIGGER = "trigger"  # one run, of a logical date
    RESUME_BACKFILL = "resume_backfill"
    CANCEL_BACKFILL = "cancel_backfill"
    RUN_SCHEDULER = "run_scheduler"
    UNPAUSE_DAG = "unpause_dag"
    LIST_RUNS = "list_runs"
    LIST_ALL_RUNS = "list_all_runs"
    EXPLAIN_RUN = "explain_run"
    CLEAR_RUN = "clear_run"
    CLEAR_FAILED_OF_RUN = "clear_failed_of_run"
    CLEAR_TASK = "clear_task"
    CLEAR_DOWNSTREAM_FAILED = "clear_downstream_failed"
    LIST_POOLS = "list_pools"
    SET_POOL = "set_pool"
    SET_VARIABLE = "set_variable"
    SET_CONNECTION = "set_connection"
    LIST_DAGS = "list_dags"
    CHECK_DAGS = "check_dags"
    WRITE_FIRST_DAG = "write_first_dag"
    MIGRATE = "migrate"
    CHECK_METASTORE = "check_metastore"


class Remedy(Struct, frozen=True, omit_defaults=True):
    """What a person can do about something; which of the fields there are depends on the action."""

    action: Action
    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    backfill_id: int | None = None
    pool: str | None = None
    slots: int | None = None
    name: str | None = None  # of a Variable or a Connection
    start: str | None = None
    end: str | None = None
    disable_retry: bool = False
    mark_success: bool = False
    command: str | None = None
    map_index: int | None = None
    state: str | None = None
    part: tuple[str, ...] = ()  # tasks that a backfill is to do alone


_REMEDY = tuple(name for name in Remedy.__struct_fields__ if name != "action")

#: How a remedy is named in a sentence.
Typed = Callable[[Remedy], str]


def plainly(remedy: Remedy) -> str:
    """A remedy in a sentence for nobody in particular: in records, and where no command can be typed."""
    return remedy.action.replace("_", " ")


class _Sentences(Formatter):
    """``{0.count:1 run|# runs}`` chooses by number, ``{0.names:none}`` joins, ``{0.at:seconds}`` is a moment."""

    def format_field(self, value: object, format_spec: str) -> str:
        if isinstance(value, tuple):
            return ", ".join(map(str, value)) or format_spec
        if isinstance(value, datetime):
            return value.isoformat(timespec=format_spec or "auto")
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return (one if value == 1 else many).replace("#", str(value))
        return str(super().format_field(value, format_spec))


_SENTENCES = _Sentences()


def _code(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Message(Struct, frozen=True, tag_field="code", tag=_code):
    """A message for a person.

    ``{0.field}`` in its template is data, ``{1}`` the remedy: its ``action``, with those fields that the message has.
    """

    template = ""
    action: ClassVar[Action | None] = None

    @property
    def code(self) -> str:
        """What it is, for programs."""
        return _code(type(self).__name__)

    @property
    def fields(self) -> dict[str, object]:
        """Its data as JSON."""
        return {name: value for name, value in to_builtins(self).items() if name != "code"}

    @property
    def remedy(self) -> Remedy | None:
        """What a person can do about it, if anything."""
        return None if self.action is None else self.remedy_of(self.action)

    def remedy_of(self, action: Action) -> Remedy:
        """An action, with those fields of it that this message has."""
        return Remedy(action, **{name: getattr(self, name) for name in _REMEDY if name in self.__struct_fields__})

    def render(self, typed: Typed) -> str:
        """The sentence."""
        remedy = self.remedy
        return _SENTENCES.format(self.template, self, "" if remedy is None else f"`{typed(remedy)}`")

    def __str__(self) -> str:
        return self.render(plainly)


class Sentence(Message, frozen=True):
    """One that has no code: of records from before there were any, or about what no program decides by."""

    sentence: str
    template = "{0.sentence}"


class Advised(Message, frozen=True):
    """One that has no code either, and says what can be done: the remedies stand where they are named."""

    parts: tuple[str | Remedy, ...]
    template = "parts"

    @property
    def remedy(self) -> Remedy | None:
        """The first that is named."""
        return next((part for part in self.parts if isinstance(part, Remedy)), None)

    def render(self, typed: Typed) -> str:
        """The sentence."""
        return "".join(part if isinstance(part, str) else f"`{typed(part)}`" for part in self.parts)


class Refused(CommandError):
    """A command that means nothing, or may not be done: every reason why."""

    def __init__(self, *messages: Message) -> None:
        super().__init__("\n".join(map(str, messages)))
        self.messages = messages


class Unusable(EnvironmentBroken):
    """A metastore that is not as it must be, and what makes it so."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.messages = (message,)
