"""BaseOperator: what every task says about itself. Its arguments have Airflow's names; wrong ones become mistakes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeVar, cast

from tailrace.authoring.arguments import (
    MOST_RETRIES,
    duration,
    flag,
    or_none,
    pool,
    text,
    time_limit,
    trigger_rule,
    weight_rule,
    whole,
)
from tailrace.authoring.dag import DAG
from tailrace.authoring.defaults import parameters_of, with_defaults
from tailrace.authoring.lacking import OF_TASKS, judge
from tailrace.authoring.mistakes import LEFT_OUT, where_written
from tailrace.authoring.relations import Relations
from tailrace.authoring.xcom_args import XComArg
from tailrace.model.names import wrong_with_id
from tailrace.model.plain_text import shown
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DEFAULT_POOL, Decides
from tailrace.model.suggestions import did_you_write

V = TypeVar("V")

#: What every operator takes, and what it is when nobody says so.
ARGUMENTS: Mapping[str, Any] = {
    "retries": 0,
    "retry_delay": timedelta(minutes=5),
    "retry_exponential_backoff": False,
    "max_retry_delay": None,
    "execution_timeout": None,
    "depends_on_past": False,
    "wait_for_downstream": False,
    "trigger_rule": TriggerRule.ALL_SUCCESS,
    "pool": DEFAULT_POOL,
    "pool_slots": 1,
    "priority_weight": 1,
    "weight_rule": "downstream",
    "max_active_tis_per_dag": None,
    "max_active_tis_per_dagrun": None,
    "do_xcom_push": True,
    "owner": "",
    "doc_md": "",
}


class BaseOperator(Relations):
    """One task of a DAG. Subclasses define ``execute(context)``; what it returns is JSON and becomes its XCom.

    Durations are timedeltas or seconds. ``wait_for_downstream`` implies ``depends_on_past``. What a subclass names in
    its own ``__init__`` can be in a DAG's default_args too.
    """

    template_fields: ClassVar[Sequence[str]] = ()
    template_ext: ClassVar[Sequence[str]] = ()  # a templated word with this ending names a file to render
    file_fields: ClassVar[Sequence[str] | None] = None  # in which fields; None is in every one
    decides: ClassVar[Decides] = Decides.NOTHING

    retries: int
    retry_delay: timedelta
    retry_exponential_backoff: bool
    max_retry_delay: timedelta | None
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
    do_xcom_push: bool
    owner: str
    doc_md: str

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = with_defaults(vars(cls)["__init__"])  # type: ignore[method-assign]

    def __init__(self, *, task_id: str = LEFT_OUT, dag: DAG | None = None, **arguments: Any) -> None:
        self._begin()
        self.upstream_task_ids: set[str] = set()
        self.downstream_task_ids: set[str] = set()
        named, given_dag = cast(Any, task_id), cast(Any, dag)  # whatever it may be
        wrong_with_it = wrong_with_id(named)
        self.task_id = shown(named) if wrong_with_it else named
        found = given_dag if isinstance(given_dag, DAG) else DAG.current()
        # A task outside any DAG is kept in one of its own, whose only mistake says so.
        self.dag = found or DAG("(no DAG)")
        if found is None:
            self.dag.mistakes.clear()
            self.mistake(f"task {task_id!r} is in no DAG; write it inside `with DAG(…):` or give it dag=")
        if given_dag is not None and not isinstance(given_dag, DAG):
            self.mistake(f"dag must be a DAG, not {shown(dag)}")
        if wrong_with_it:
            self.mistake(f"task_id must be {wrong_with_it}")
        self._look_at_lacking(arguments)
        defaults = {name: value for name, value in self.dag.default_args.items() if name in ARGUMENTS}
        self._took_defaults(self.dag, defaults.keys() - arguments.keys())
        for name, otherwise in ARGUMENTS.items():
            value = arguments.get(name, defaults.get(name, otherwise))
            setattr(self, name, self._read(name, _READERS[name], value, otherwise))
        if self.wait_for_downstream:
            self.depends_on_past = True
        self.dag.add_task(self)

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Do the task's work in its own process. Raise TaskSkipped to skip, TaskFailed to fail for good."""
        raise TypeError(f"{type(self).__name__} does not define execute(context)")

    def look_for_mistakes(self) -> None:
        """Note what is wrong with the task as it is once its whole file has been read."""

    @property
    def tasks_meant(self) -> "list[BaseOperator]":
        """An operator stands for itself."""
        return [self]

    @property
    def output(self) -> XComArg:
        """What the task will return, to hand to other tasks."""
        return XComArg(self)

    def __repr__(self) -> str:
        return f"<Task({type(self).__name__}): {self.task_id}>"

    def mistake(self, message: str) -> None:
        """Note a mistake where this task was written."""
        self.dag.mistake(f"task {self.task_id}: {message}", at=self.written_at)

    def _begin(self) -> None:
        """Keep where the task was written: the first ``__init__`` that runs asks, be it of an author's own class."""
        if "written_at" not in vars(self):
            self.written_at = where_written()
            self._from_defaults: set[str] = set()

    def _took_defaults(self, dag: DAG, names: Collection[str]) -> None:
        dag.defaults_taken.update(names)
        self._from_defaults.update(names)

    def _look_at_lacking(self, arguments: Mapping[str, Any]) -> None:
        given = {**self.dag.default_args, **arguments}
        for name in arguments:
            if name in OF_TASKS:
                judged = judge(OF_TASKS, name, given)
                if judged.mistake:
                    self.mistake(judged.mistake)
                if judged.has_no_effect:
                    self.dag.without_effect.add(name)
            elif name not in ARGUMENTS:
                self.mistake(
                    f"{type(self).__name__} has no argument {name!r}{did_you_write(name, names_of(type(self)))}"
                )

    def _read(self, name: str, read: Callable[[Any], V], value: object, otherwise: V) -> V:
        """What an argument means; a wrong one is a mistake of the task's, or of default_args, where it came from."""
        try:
            return read(value)
        except ValueError as wrong:
            if name in self._from_defaults:
                self.dag.mistake(f"default_args: {name} {wrong}")
            else:
                self.mistake(f"{name} {wrong}")
            return otherwise


def names_of(operator: type[BaseOperator]) -> set[str]:
    """Every argument that operators of this class take."""
    made = [vars(each).get("__init__") for each in operator.__mro__ if issubclass(each, BaseOperator)]
    return set(ARGUMENTS).union(*(parameters_of(each)[1] for each in made if each is not None)) - {"self", "dag"}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "retries": whole(0, MOST_RETRIES),
    "retry_delay": duration,
    "retry_exponential_backoff": flag,
    "max_retry_delay": or_none(duration),
    "execution_timeout": or_none(time_limit),
    "depends_on_past": flag,
    "wait_for_downstream": flag,
    "trigger_rule": trigger_rule,
    "pool": pool,
    "pool_slots": whole(1),
    "priority_weight": whole(0),
    "weight_rule": weight_rule,
    "max_active_tis_per_dag": or_none(whole(1)),
    "max_active_tis_per_dagrun": or_none(whole(1)),
    "do_xcom_push": flag,
    "owner": text,
    "doc_md": text,
}
