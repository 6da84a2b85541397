"""The DAG an author writes: a context manager that gathers tasks, and ``@dag``."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar, overload

from tailrace.authoring.arguments import arguments, flag, items, short_text, text, texts, whole
from tailrace.authoring.datetimes import datetime_in, zone_of
from tailrace.authoring.lacking import OF_DAGS, judge
from tailrace.authoring.mistakes import Mistake, Note, where_written
from tailrace.authoring.variables import VARIABLES
from tailrace.model.names import wrong_with_id
from tailrace.model.plain_text import on_one_line, shown, visible_line
from tailrace.model.spec import ScheduleKind
from tailrace.model.suggestions import did_you_write
from tailrace.timetable import read_schedule, validate

if TYPE_CHECKING:
    from tailrace.authoring.operator import BaseOperator

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")
M = TypeVar("M", bound=Mistake)


class DAG:
    """Tasks and the order between them, on a schedule.

    ``schedule``: cron text, a preset such as ``@daily``, a timedelta, or None. ``start_date`` and ``end_date``: naive
    ones are in ``timezone``, which defaults to the zone of an aware ``start_date``, else UTC. ``default_args`` are
    arguments for every operator that takes them and does not give its own; a ``start_date`` or ``end_date`` among them
    is the DAG's. ``template_searchpath``: folders of template files, besides that of the DAG's file. Mistakes are
    collected, not raised.
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
        timezone: str | tzinfo | None = None,
        catchup: bool = False,
        default_args: Mapping[str, Any] | None = None,
        max_active_runs: int = 16,
        max_active_tasks: int = 16,
        description: str | None = "",
        tags: Iterable[str] | None = (),
        user_defined_macros: Mapping[str, Any] | None = None,
        template_searchpath: str | Iterable[str] | None = None,
        doc_md: str | None = "",
        **unknown: Any,
    ) -> None:
        self.file, self.line = where_written()
        self.folder = Path(self.file).parent  # once it is loaded, that of the file it was loaded from
        self.dag_id = dag_id if isinstance(dag_id, str) else shown(dag_id)
        self.mistakes: list[Mistake] = []
        self.notes: list[Note] = []
        self.without_effect: set[str] = set()  # arguments that are kept and change nothing
        self.defaults_taken: set[str] = set()  # what of default_args some task has taken
        self.task_dict: dict[str, BaseOperator] = {}
        self.default_args = self._read("default_args", arguments, default_args, dict[str, Any]())
        self.catchup = self._read("catchup", flag, catchup, False)
        self.max_active_runs = self._read("max_active_runs", whole(1), max_active_runs, 1)
        self.max_active_tasks = self._read("max_active_tasks", whole(1), max_active_tasks, 1)
        self.description = self._read("description", short_text, description, "")
        self.doc_md = self._read("doc_md", text, doc_md, "")
        self.tags = self._read("tags", texts, tags, tuple[str, ...]())
        self.user_defined_macros = self._read("user_defined_macros", arguments, user_defined_macros, dict[str, Any]())
        for name in sorted(VARIABLES.intersection(self.user_defined_macros)):
            self.mistake(f"user_defined_macros: {name} is a variable of every template; take another name")
        self.template_searchpath = self._read("template_searchpath", folders, template_searchpath, tuple[str, ...]())
        self._look_at_unknown({**unknown, "doc_md": doc_md})
        self._read_dates(timezone, start_date, end_date)
        self._read_schedule(schedule)
        if wrong := wrong_with_id(dag_id):
            self.mistake(f"dag_id must be {wrong}")
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

    @classmethod
    @contextmanager
    def gathered(cls, into: "list[DAG]") -> Iterator[None]:
        """DAGs made within go into this list, and tasks into none that was open before."""
        outside = cls._open, cls._loaded
        cls._open, cls._loaded = [], into
        try:
            yield
        finally:
            cls._open, cls._loaded = outside

    @property
    def tasks(self) -> list["BaseOperator"]:
        """The tasks in the order they were written."""
        return list(self.task_dict.values())

    def get_task(self, task_id: str) -> "BaseOperator":
        """The task of this id. Raises KeyError."""
        return self.task_dict[task_id]

    @property
    def template_folders(self) -> tuple[str, ...]:
        """Where files that templates name are looked for: beside the DAG's file, then along its searchpath."""
        return (str(self.folder), *(str(self.folder / folder) for folder in self.template_searchpath))

    def add_task(self, task: "BaseOperator") -> None:
        """Take a task in; a second one of the same id is a mistake."""
        former = self.task_dict.get(task.task_id)
        if former is not None:
            self.mistake(
                f"duplicate task_id {task.task_id!r}; the first is at line {former.written_at[1]}",
                at=task.written_at,
            )
            return
        self.task_dict[task.task_id] = task

    def mistake(self, message: str, *, at: tuple[str, int] | None = None) -> None:
        """Note a mistake, once; by default where the DAG was written."""
        mistake = self._told(Mistake, message, at)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def note(self, message: str, *, at: tuple[str, int] | None = None) -> None:
        """Note what the DAG's author should know about it; by default where it was written."""
        self.notes.append(self._told(Note, message, at))

    def _told(self, kind: type[M], message: str, at: tuple[str, int] | None) -> M:
        file, line = at or (self.file, self.line)
        whose: object = self.dag_id  # as written, which may be anything
        dag_id = visible_line(whose) if isinstance(whose, str) else None
        return kind(on_one_line(file), line, dag_id, message)

    def _look_at_unknown(self, unknown: Mapping[str, Any]) -> None:
        for name in unknown:
            if name in OF_DAGS:
                judged = judge(OF_DAGS, name, unknown)
                if judged.mistake:
                    self.mistake(judged.mistake)
                if judged.has_no_effect:
                    self.without_effect.add(name)
            else:
                self.mistake(f"DAG has no argument {name!r}{did_you_write(name, DAG.__init__.__kwdefaults__ or ())}")

    def _read_dates(self, timezone: object, start_date: object, end_date: object) -> None:
        """The zone, and the DAG's own dates; what default_args has of them is the DAG's."""
        defaults = self.default_args
        self.defaults_taken |= {"start_date", "end_date"}
        start_date = defaults.get("start_date") if start_date is None else start_date
        end_date = defaults.get("end_date") if end_date is None else end_date
        self.timezone = "UTC"
        if timezone is not None:
            self.timezone = self._read("timezone:", zone_of, timezone, "UTC")
        elif (zone := getattr(start_date, "tzinfo", None)) is not None:
            self.timezone = self._read("the zone of start_date:", zone_of, zone, "UTC")
        self.start_date = self._date("start_date", start_date)
        self.end_date = self._date("end_date", end_date)
        if self.start_date is not None and self.end_date is not None and self.end_date < self.start_date:
            self.mistake(f"end_date {self.end_date.isoformat()} is before start_date {self.start_date.isoformat()}")
        self._compare_date("start_date", self.start_date, later_counts=True)
        self._compare_date("end_date", self.end_date, later_counts=False)

    def _compare_date(self, name: str, own: datetime | None, *, later_counts: bool) -> None:
        """In Airflow a task runs in its own dates and the DAG's; here there are only the DAG's."""
        default = self._date(name, self.default_args.get(name), told=False)
        if default is None or own is None or default == own:
            return
        if (default > own) is later_counts:
            self.mistake(
                f"default_args: {name} {default.isoformat()} is not the DAG's, {own.isoformat()}: "
                f"tasks have none of their own; leave one of the two out"
            )
        else:
            self.without_effect.add(f"{name} in default_args")

    def _date(self, name: str, written: object, told: bool = True) -> datetime | None:
        if written is None:
            return None
        try:
            read = datetime_in(self.timezone, written)
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return None
        if read.note and told:
            self.note(f"{name} {read.note}")
        return read.moment

    def _read_schedule(self, schedule: str | timedelta | None) -> None:
        try:
            self.schedule = read_schedule(schedule, self.timezone)
        except TypeError as wrong:
            self.mistake(str(wrong))
            self.schedule = read_schedule(None, self.timezone)
        if (wrong_with_it := validate(self.schedule)) is not None:
            self.mistake(wrong_with_it)
        kind = self.schedule.kind
        if self.start_date is None and kind is ScheduleKind.ONCE:
            self.mistake("schedule '@once' needs a start_date: that is the date of its one run")
        if self.start_date is None and self.catchup and kind in (ScheduleKind.CRON, ScheduleKind.INTERVAL):
            self.mistake("catchup=True needs a start_date: from there on it catches up")
        if self.catchup and kind is ScheduleKind.NONE:
            self.without_effect.add("catchup (there is no schedule)")

    def _read(self, name: str, read: Callable[[Any], V], value: object, otherwise: V) -> V:
        try:
            return read(value)
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return otherwise


def folders(written: Any) -> tuple[str, ...]:
    """Reads a folder's path, or several."""
    found = items([written] if isinstance(written, (str, os.PathLike)) else written)
    for each in found:
        if not isinstance(each, (str, os.PathLike)):
            raise ValueError(f"must be a folder's path, or several, not {shown(written)}")
    return tuple(map(os.fspath, found))


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
            with DAG(function.__name__ if named is None else named, **described) as made:
                function(*args, **kwargs)
            return made

        return make

    return decorate
