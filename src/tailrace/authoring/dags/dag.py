"""What an author writes: a DAG, a context manager that gathers tasks, and its tasks, which every operator is.

They know each other, so they stand together. Neither raises for what is wrong: mistakes are collected.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Required, Self, TypeVar, Unpack

from tailrace.authoring.arguments.callbacks import CallsOfDag, CallsOfTask
from tailrace.authoring.arguments.dag_arguments import DAG_ARGUMENTS, UNSUPPORTED_DAG_ARGUMENTS, DagArguments
from tailrace.authoring.arguments.declarations import Argument, arguments_of, unsupported_of
from tailrace.authoring.arguments.defaults import OF_ONE_TASK, parameters_of, with_defaults
from tailrace.authoring.arguments.params import Params
from tailrace.authoring.arguments.retry_policy import ExceptionRetryPolicy
from tailrace.authoring.arguments.task_arguments import IN_GROUP, CommonArguments
from tailrace.authoring.arguments.unsupported import Unsupported, judge
from tailrace.authoring.context.variables import VARIABLES
from tailrace.authoring.dags.dag_dates import Dated
from tailrace.authoring.dags.tested import Testable
from tailrace.authoring.mistakes.dag_errors import MISSING, DagError, Note, where_written
from tailrace.authoring.relations.edges import Task, relate
from tailrace.authoring.relations.groups import Group
from tailrace.authoring.relations.partial import Partial
from tailrace.authoring.relations.xcom_args import Pull, XComArg, outputs_in
from tailrace.model.names import id_error, task_id_error
from tailrace.model.plain_text import on_one_line, shown, visible_line
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import BranchKind, DeadlineSpec, Over, Schedule
from tailrace.model.suggestions import did_you_write

M = TypeVar("M", bound=DagError)


class DAG(Dated, Testable, CallsOfDag):
    """Tasks and the order between them, on a schedule.

    ``schedule``: cron text, a preset such as ``@daily``, a timedelta, or None. ``start_date`` and ``end_date``: naive
    ones are in ``timezone``, which defaults to the zone of an aware ``start_date``, else UTC. ``default_args`` are
    arguments for every operator that takes them and does not give its own; a ``start_date`` or ``end_date`` among them
    is the DAG's. ``template_searchpath``: folders of template files, besides that of the DAG's file.
    """

    keeps_relations = True
    _loaded: ClassVar[list["DAG"]] = []  # every DAG made since ``collect`` was last called

    schedule: Schedule
    start_date: datetime | None
    end_date: datetime | None
    timezone: str
    catchup: bool
    default_args: dict[str, Any]
    max_active_runs: int
    max_active_tasks: int
    description: str
    tags: tuple[str, ...]
    user_defined_macros: dict[str, Any]
    user_defined_filters: dict[str, Callable[..., Any]]
    render_template_as_native_obj: bool
    template_searchpath: tuple[str, ...]
    is_paused_upon_creation: bool | None
    dagrun_timeout: timedelta | None
    max_consecutive_failed_dag_runs: int
    deadline: DeadlineSpec | None
    fail_fast: bool
    params: Params
    doc_md: str

    def __init__(self, dag_id: str, **arguments: Unpack[DagArguments]) -> None:
        self.file, self.line = where_written()
        self.folder = Path(self.file).parent  # once it is loaded, that of the file it was loaded from
        self.dag_id = dag_id if isinstance(dag_id, str) else shown(dag_id)
        self.mistakes: list[DagError] = []
        self.notes: list[Note] = []
        self.without_effect: set[str] = set()  # arguments that are kept and change nothing
        self.task_dict: dict[str, BaseOperator] = {}
        self.task_group = Group(self)  # holds everything in it that is in no other group
        self.task_group_dict: dict[str, Group] = {}
        given: Mapping[str, Any] = {**arguments}
        for name, argument in DAG_ARGUMENTS.items():
            setattr(self, name, self._read(name, argument, given.get(name, argument.default)))
        self.task_group.own_defaults = self.default_args
        for name in sorted(VARIABLES.keys() & self.user_defined_macros):
            self.mistake(f"user_defined_macros: {name} is a variable of every template; take another name")
        self._add_default_params()
        self._check_unsupported(given)
        self.read_dates(given.get("timezone"), given.get("start_date"), given.get("end_date"))
        self.read_schedule(given.get("schedule"))
        self.read_late_callbacks(given.get("deadline"))
        if wrong := id_error(dag_id):
            self.mistake(f"dag_id must be {wrong}")
        DAG._loaded.append(self)

    def __enter__(self) -> Self:
        self.task_group.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.task_group.close()

    def __repr__(self) -> str:
        return f"<DAG: {self.dag_id}>"

    @classmethod
    def current(cls) -> "DAG | None":
        """The DAG whose ``with`` block is innermost."""
        group = Group.current()
        found: DAG | None = None if group is None else group.dag
        return found

    @classmethod
    def collect(cls) -> list["DAG"]:
        """The DAGs made since the last call, in order, and forget them."""
        made, cls._loaded = cls._loaded, []
        Group.close_all()
        return made

    @classmethod
    @contextmanager
    def gathered(cls, into: "list[DAG]") -> Iterator[None]:
        """DAGs made within go into this list, and tasks into none that was open before."""
        outside, cls._loaded = cls._loaded, into
        try:
            with Group.none_open():
                yield
        finally:
            cls._loaded = outside

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
        group = self.task_group_dict.get(task.task_id)
        if former is not None:
            self.mistake(
                f"duplicate task_id {task.task_id!r}; the first is at line {former.written_at[1]}",
                at=task.written_at,
            )
            return
        if group is not None:
            task.mistake(f"its id is that of the task group at line {group.written_at[1]}; take another one")
        self.task_dict[task.task_id] = task
        task.task_group.children[task.task_id] = task

    def mistake(self, message: str, *, at: tuple[str, int] | None = None) -> None:
        """Note a mistake, once; by default where the DAG was written."""
        mistake = self._placed(DagError, message, at)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def note(self, message: str, *, at: tuple[str, int] | None = None) -> None:
        """Note what the DAG's author should know about it; by default where it was written."""
        self.notes.append(self._placed(Note, message, at))

    def _placed(self, kind: type[M], message: str, at: tuple[str, int] | None) -> M:
        file, line = at or (self.file, self.line)
        whose: object = self.dag_id  # as written, which may be anything
        dag_id = visible_line(whose) if isinstance(whose, str) else None
        return kind(on_one_line(file), line, dag_id, message)

    def _check_unsupported(self, given: Mapping[str, Any]) -> None:
        for name in given:
            if name in UNSUPPORTED_DAG_ARGUMENTS:
                judged = judge(UNSUPPORTED_DAG_ARGUMENTS, name, given)
                if judged.mistake:
                    self.mistake(judged.mistake)
                if judged.has_no_effect:
                    self.without_effect.add(name)
            elif name not in DAG_ARGUMENTS:
                self.mistake(f"DAG has no argument {name!r}{did_you_write(name, DAG_ARGUMENTS)}")

    def _add_default_params(self) -> None:
        """Those in default_args are the DAG's, as in Airflow."""
        if "params" in self.default_args:
            self.task_group.defaults_taken.add("params")
            given = self._read("default_args: params", DAG_ARGUMENTS["params"], self.default_args["params"])
            own = {each.name for each in self.params.specs}
            self.params = Params((*(each for each in given.specs if each.name not in own), *self.params.specs))


class TaskArguments(CommonArguments, total=False):
    """What every operator takes: to be unpacked in the ``__init__`` of your own."""

    task_id: Annotated[Required[str], Argument("its name in the DAG", default=MISSING)]
    dag: Annotated[DAG | None, Argument("the DAG it is in, where it is not written inside `with DAG(…):`")]
    task_group: IN_GROUP
    start_date: Annotated[None, Unsupported("is the DAG's: a task has none of its own")]
    end_date: Annotated[None, Unsupported("is the DAG's: a task has none of its own")]


UNSUPPORTED_TASK_ARGUMENTS = unsupported_of(TaskArguments)


class BaseOperator(Task, CallsOfTask):
    """One task of a DAG. Subclasses define ``execute(context)``; what it returns is JSON and becomes its XCom.

    Durations are timedeltas or seconds. ``wait_for_downstream`` implies ``depends_on_past``. What a subclass names in
    its own ``__init__`` can be in a DAG's default_args too.
    """

    template_fields: ClassVar[Sequence[str]] = ()
    template_ext: ClassVar[Sequence[str]] = ()  # a templated word with this ending names a file to render
    file_fields: ClassVar[Sequence[str] | None] = None  # in which fields; None is in every one
    decides: ClassVar[BranchKind] = BranchKind.NOTHING
    mapped_over: tuple[Over, ...] | None = None  # None: it is one task instance
    _declared: ClassVar[Mapping[str, Argument]] = arguments_of(TaskArguments)

    dag: DAG
    retries: int
    retry_delay: timedelta
    retry_exponential_backoff: bool
    max_retry_delay: timedelta | None
    retry_policy: ExceptionRetryPolicy | None
    execution_timeout: timedelta | None
    depends_on_past: bool
    wait_for_downstream: bool
    trigger_rule: TriggerRule
    pool: str
    pool_slots: int
    priority_weight: int
    weight_rule: str
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    render_template_as_native_obj: bool | None
    do_xcom_push: bool
    map_index_template: str | None
    params: Params
    owner: str
    doc_md: str

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = with_defaults(vars(cls)["__init__"])  # type: ignore[method-assign]

    def __init__(self, **arguments: Unpack[TaskArguments]) -> None:
        given: Mapping[str, Any] = {**arguments}
        named = given.get("task_id", MISSING)
        found = self._begin(given)
        self.upstream_task_ids = set()
        self.downstream_task_ids = set()
        self.task_group = found or nowhere()
        self.dag = self.task_group.dag
        in_dag = self.task_group.child_id(named)
        wrong_with_it = task_id_error(in_dag)
        self.task_id = shown(in_dag) if wrong_with_it else in_dag
        if found is None:
            self.mistake(f"task {named!r} is in no DAG; write it inside `with DAG(…):` or give it dag=")
        if misplaced := wrong_with_place(self.dag, given.get("dag"), "task_group", given.get("task_group")):
            self.mistake(misplaced)
        if wrong_with_it:
            self.mistake(f"task_id must be {wrong_with_it}")
        self._check_unsupported(given)
        self._read_arguments(given)
        if self.wait_for_downstream:
            self.depends_on_past = True
        self.add_email()
        self.dag.add_task(self)
        self._on_arguments_read()

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Do the task's work in its own process. Raise TaskSkipped to skip, TaskFailed to fail for good."""
        raise TypeError(f"{type(self).__name__} does not define execute(context)")

    @classmethod
    def partial(cls, **arguments: Any) -> Partial:
        """The arguments that are the same for all instances of a mapped task: ``.expand(…)`` makes that task."""
        return Partial(cls, arguments)

    def for_index(self, index: int, pull: Pull) -> "BaseOperator":
        """What runs as the instance of this map index; ``pull`` returns the XComs it is made of."""
        return self

    def look_for_mistakes(self) -> None:
        """Note what is wrong with the task as it is once its whole file has been read."""

    @property
    def made_by(self) -> type["BaseOperator"]:
        """The operator that does the task's work."""
        return type(self)

    @property
    def log(self) -> logging.Logger:
        """Where an operator of your own writes to the task's log."""
        return logging.getLogger(f"tailrace.task.{type(self).__name__}")

    @property
    def output(self) -> XComArg[Any]:
        """What the task will return, to hand to other tasks."""
        return XComArg(self)

    def __repr__(self) -> str:
        return f"<Task({type(self).__name__}): {self.task_id}>"

    def mistake(self, message: str) -> None:
        """Note a mistake where this task was written."""
        self.dag.mistake(f"task {self.task_id}: {message}", at=self.written_at)

    def _begin(self, given: Mapping[str, Any]) -> Group | None:
        """The group that the task is in, be it the DAG's. The first ``__init__``, an author's own too, keeps where."""
        if "written_at" not in vars(self):
            self.written_at = where_written()
            self._from_defaults: set[str] = set()
        return group_for(given.get("dag"), given.get("task_group"))

    def _took_defaults(self, group: Group, names: Collection[str]) -> None:
        for each in group.lineage:
            each.defaults_taken.update(names)
        self._from_defaults.update(names)

    def _on_arguments_read(self) -> None:
        """What an operator makes of its arguments."""

    def _check_unsupported(self, arguments: Mapping[str, Any]) -> None:
        given = {**self.task_group.default_args, **arguments}
        for name in arguments:
            if name in UNSUPPORTED_TASK_ARGUMENTS:
                judged = judge(UNSUPPORTED_TASK_ARGUMENTS, name, given)
                if judged.mistake:
                    self.mistake(judged.mistake)
                if judged.has_no_effect:
                    self.dag.without_effect.add(name)
            elif name not in self._declared:
                hint = did_you_write(name, names_of(type(self)) | {"task_group"})
                self.mistake(f"{type(self).__name__} has no argument {name!r}{hint}")

    def _read_arguments(self, given: Mapping[str, Any]) -> None:
        defaults = {name: value for name, value in self.task_group.default_args.items() if name in self._declared}
        if "params" in defaults and self.task_group.giver_of("params").task_group is None:
            del defaults["params"]  # they are the DAG's
        self._took_defaults(self.task_group, defaults.keys() - given.keys() - OF_ONE_TASK)
        for name, argument in self._declared.items():
            if name not in OF_ONE_TASK:
                value = self._read(name, argument, given.get(name, defaults.get(name, argument.default)))
                setattr(self, name, value)
                if argument.holds_outputs:
                    relate([output.operator for output in outputs_in(value)], [self])

    def _read(self, name: str, argument: Argument, value: object) -> Any:
        """What an argument means; a wrong one is a mistake of the task's, or of default_args, where it came from."""
        try:
            return argument.read(value)
        except ValueError as wrong:
            if name in self._from_defaults:
                self.task_group.giver_of(name).mistake(f"default_args: {name} {wrong}")
            else:
                self.mistake(f"{name} {wrong}")
            return argument.otherwise


def names_of(operator: type[BaseOperator]) -> set[str]:
    """Every argument that operators of this class take."""
    made = [vars(each).get("__init__") for each in operator.__mro__ if issubclass(each, BaseOperator)]
    own = (parameters_of(each)[1] for each in made if each is not None)
    return set(operator._declared).union(*own) - {"self", "dag", "task_group"}


def group_for(dag: object, group: object) -> Group | None:
    """The group that something written here is in: the one it is given, else the innermost one that is open."""
    if isinstance(group, Group):
        return group
    current = Group.current()
    if isinstance(dag, DAG) and (current is None or current.dag is not dag):
        return dag.task_group
    return current


def wrong_with_place(found: DAG, dag: object, name: str, group: object) -> str | None:
    """Why something cannot be in this DAG and this group, which it was given by this name; None where it can."""
    if dag is not None and not isinstance(dag, DAG):
        return f"dag must be a DAG, not {shown(dag)}"
    if group is not None and not isinstance(group, Group):
        return f"{name} must be a TaskGroup, not {shown(group)}"
    if isinstance(dag, DAG) and found is not dag:
        return f"{name} is in another DAG, {found.dag_id}, than dag={dag.dag_id}"
    return None


def nowhere() -> Group:
    """Where what is in no DAG is kept: in one of its own, whose only mistake says so."""
    dag = DAG("(no DAG)")
    dag.mistakes.clear()
    return dag.task_group
