"""The DAG an author writes: a context manager that gathers tasks, and ``@dag``."""

import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tailrace.authoring.arguments import arguments, is_name, text, texts, whole
from tailrace.authoring.mistakes import Mistake, nearest, where_written
from tailrace.timetable import read_schedule, validate

if TYPE_CHECKING:
    from tailrace.authoring.operator import BaseOperator

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


class DAG:
    """Tasks and the order between them, on a schedule.

    ``schedule``: cron text, a preset such as ``@daily``, a timedelta, or None. ``start_date`` and ``end_date``: naive
    ones are in ``timezone``, which defaults to the zone of an aware ``start_date``, else UTC. ``default_args`` are
    arguments for every operator that does not give its own. Mistakes are collected, not raised.
    """

    _open: ClassVar[list["DAG"]] = []
    _loaded: ClassVar[list["DAG"]] = []  # every DAG made since ``collect`` was last called

    def __init__(
        self,
        dag_id: str,
        *,
        schedule: str | timedelta | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        timezone: str | None = None,
        catchup: bool = False,
        default_args: Mapping[str, Any] | None = None,
        max_active_runs: int = 16,
        max_active_tasks: int = 16,
        description: str | None = "",
        tags: Iterable[str] | None = (),
        user_defined_macros: Mapping[str, Any] | None = None,
        doc_md: str = "",
        **unknown: Any,
    ) -> None:
        self.file, self.line = where_written()
        self.dag_id = dag_id
        self.mistakes: list[Mistake] = []
        for name in unknown:
            self.mistake(f"DAG has no argument {name!r}{nearest(name, DAG.__init__.__kwdefaults__ or ())}")
        self.task_dict: dict[str, BaseOperator] = {}
        self.timezone = self._zone(timezone, start_date)
        self.start_date = self._aware(start_date)
        self.end_date = self._aware(end_date)
        self.catchup = catchup
        self.default_args = self._read("default_args", arguments, default_args, dict[str, Any]())
        self.max_active_runs = self._read("max_active_runs", whole(1), max_active_runs, 1)
        self.max_active_tasks = self._read("max_active_tasks", whole(1), max_active_tasks, 1)
        self.description = self._read("description", text, description, "")
        self.doc_md = doc_md
        self.tags = self._read("tags", texts, tags, tuple[str, ...]())
        self.user_defined_macros = dict(user_defined_macros or {})
        try:
            self.schedule = read_schedule(schedule, self.timezone)
        except TypeError as wrong:
            self.mistake(str(wrong))
            self.schedule = read_schedule(None, self.timezone)
        if (wrong_with_it := validate(self.schedule)) is not None:
            self.mistake(wrong_with_it)
        if not is_name(dag_id):
            self.mistake(f"dag_id must be a name without spaces or slashes, not {dag_id!r}")
        DAG._loaded.append(self)

    def __enter__(self) -> Self:
        DAG._open.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        DAG._open.remove(self)

    def __repr__(self) -> str:
        return f"<DAG: {self.dag_id}>"

    @classmethod
    def current(cls) -> "DAG | None":
        """The DAG whose ``with`` block is innermost."""
        return cls._open[-1] if cls._open else None

    @classmethod
    def collect(cls) -> list["DAG"]:
        """The DAGs made since the last call, in order, and forget them."""
        made, cls._loaded = cls._loaded, []
        cls._open.clear()
        return made

    @property
    def tasks(self) -> list["BaseOperator"]:
        """The tasks in the order they were written."""
        return list(self.task_dict.values())

    def get_task(self, task_id: str) -> "BaseOperator":
        """The task of this id. Raises KeyError."""
        return self.task_dict[task_id]

    def add_task(self, task: "BaseOperator") -> None:
        """Take a task in; a second one of the same id is a mistake."""
        former = self.task_dict.get(task.task_id)
        if former is not None:
            self.mistake(
                f"duplicate task_id {task.task_id!r}; the first is at line {former.line}",
                line=task.line,
                file=task.file,
            )
            return
        self.task_dict[task.task_id] = task

    def mistake(self, message: str, *, line: int | None = None, file: str | None = None) -> None:
        """Note a mistake; by default where the DAG was written."""
        self.mistakes.append(Mistake(file or self.file, self.line if line is None else line, self.dag_id, message))

    def _zone(self, timezone: str | None, start_date: datetime | None) -> str:
        if timezone is None:
            zone = getattr(start_date, "tzinfo", None)
            return getattr(zone, "key", "UTC") if zone is not None else "UTC"
        try:
            return ZoneInfo(timezone).key
        except (ZoneInfoNotFoundError, ValueError, TypeError):
            self.mistake(f"unknown time zone {timezone!r}; use an IANA name such as 'Europe/Berlin'")
            return "UTC"

    def _aware(self, moment: object) -> datetime | None:
        if moment is None:
            return None
        if not isinstance(moment, datetime):
            self.mistake(f"start_date and end_date must be datetimes, not {type(moment).__name__}")
            return None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(self.timezone))
        try:
            aware.astimezone(UTC)
        except OverflowError:
            self.mistake(f"{aware.isoformat()} is no date in UTC")
            return None
        return aware

    def _read(self, name: str, read: Callable[[Any], V], value: object, otherwise: V) -> V:
        try:
            return read(value)
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return otherwise


@overload
def dag(dag_id: Callable[P, object]) -> Callable[P, DAG]: ...
@overload
def dag(dag_id: str | None = None, **arguments: Any) -> Callable[[Callable[P, object]], Callable[P, DAG]]: ...
def dag(dag_id: str | Callable[..., Any] | None = None, **arguments: Any) -> Any:
    """Make a function into a DAG factory: its body is the ``with`` block; calling it makes the DAG.

    Usable as ``@dag`` or ``@dag("name", schedule=…)``; the id defaults to the function's name. Unlike in Airflow a
    decorated function that is never called makes no DAG either.
    """
    if callable(dag_id):
        return dag()(dag_id)
    named = dag_id

    def decorate(function: Callable[P, object]) -> Callable[P, DAG]:
        @functools.wraps(function)
        def make(*args: P.args, **kwargs: P.kwargs) -> DAG:
            described = {"description": (function.__doc__ or "").strip().partition("\n")[0], **arguments}
            with DAG(named or function.__name__, **described) as made:
                function(*args, **kwargs)
            return made

        return make

    return decorate
