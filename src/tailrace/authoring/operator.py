"""BaseOperator: what every task says about itself. Its arguments have Airflow's names; wrong ones become mistakes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from tailrace.authoring.arguments import duration, is_name, or_none, pool, trigger_rule, weight_rule, whole
from tailrace.authoring.dag import DAG
from tailrace.authoring.mistakes import LEFT_OUT, nearest, where_written
from tailrace.authoring.relations import Relations
from tailrace.authoring.xcom_args import XComArg
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DEFAULT_POOL, Decides

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

    Durations are timedeltas or seconds. ``wait_for_downstream`` implies ``depends_on_past``.
    """

    template_fields: ClassVar[Sequence[str]] = ()
    template_ext: ClassVar[Sequence[str]] = ()  # a templated value with this ending names a file to render
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

    def __init__(self, *, task_id: str = LEFT_OUT, dag: DAG | None = None, **arguments: Any) -> None:
        self.file, self.line = where_written()
        self.upstream_task_ids: set[str] = set()
        self.downstream_task_ids: set[str] = set()
        self.task_id = task_id
        found = dag or DAG.current()
        # A task outside any DAG is kept in one of its own, whose only mistake says so.
        self.dag = found or DAG("(no DAG)")
        if found is None:
            self.dag.mistakes.clear()
            self.mistake(f"task {task_id!r} is in no DAG; write it inside `with DAG(…):` or give it dag=")
        if not is_name(task_id):
            self.mistake(f"task_id must be a name without spaces or slashes, not {task_id!r}")
            self.task_id = str(task_id)
        for name in arguments:
            if name not in ARGUMENTS:
                self.mistake(f"{type(self).__name__} has no argument {name!r}{nearest(name, _names_of(type(self)))}")
        given = {**ARGUMENTS, **_known(self.dag.default_args), **_known(arguments)}
        for name, value in given.items():
            setattr(self, name, self._read(name, value))
        if self.wait_for_downstream:
            self.depends_on_past = True
        self.dag.add_task(self)

    def execute(self, context: Mapping[str, Any]) -> Any:
        """Do the task's work in its own process. Raise TaskSkipped to skip, TaskFailed to fail for good."""
        raise TypeError(f"{type(self).__name__} does not define execute(context)")

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
        self.dag.mistake(f"task {self.task_id}: {message}", line=self.line, file=self.file)

    def _read(self, name: str, value: Any) -> Any:
        reader = _READERS.get(name)
        if reader is None:
            return value
        try:
            return reader(value)
        except ValueError as wrong:
            self.mistake(f"{name} {wrong}")
            return ARGUMENTS[name]


def _names_of(operator: type[BaseOperator]) -> set[str]:
    """Every argument that operators of this class take."""
    makers = [vars(each).get("__init__") for each in operator.__mro__]
    named = {name for each in makers for name in getattr(each, "__kwdefaults__", None) or ()}
    return named | set(ARGUMENTS)


def _known(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name in ARGUMENTS}


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "retries": whole(0),
    "retry_delay": duration,
    "max_retry_delay": or_none(duration),
    "execution_timeout": or_none(duration),
    "trigger_rule": trigger_rule,
    "pool": pool,
    "pool_slots": whole(1),
    "priority_weight": whole(0),
    "weight_rule": weight_rule,
    "max_active_tis_per_dag": or_none(whole(1)),
    "max_active_tis_per_dagrun": or_none(whole(1)),
}
