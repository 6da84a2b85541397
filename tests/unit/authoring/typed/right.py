"""Right use of what authors import: it loads without a mistake, and a type checker has nothing to say."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Unpack, assert_type
from zoneinfo import ZoneInfo

from tailrace import (
    DAG,
    BaseOperator,
    BashOperator,
    BranchPythonOperator,
    DefaultArguments,
    EmptyOperator,
    Label,
    PythonOperator,
    ShortCircuitOperator,
    TaskArguments,
    TaskGroup,
    TriggerRule,
    XComArg,
    chain,
    cross_downstream,
    dag,
    task,
    task_group,
)


class CopyTable(BaseOperator):
    """An author's own operator: it names its own arguments and hands on the others."""

    template_fields = ("table",)

    def __init__(self, *, table: str, mode: str = "append", **arguments: Unpack[TaskArguments]) -> None:
        super().__init__(**arguments)
        self.table = table
        self.mode = mode

    def execute(self, context: Any) -> str:
        return f"{self.table} {self.mode} {self.retries + 1} {self.retry_delay.total_seconds()} {self.dag.dag_id}"


class OldOperator(BashOperator):
    """As it is written for Airflow."""

    def __init__(self, table: str, **kwargs: Any) -> None:
        super().__init__(bash_command=f"load {table}", **kwargs)


class OwnDefaults(DefaultArguments, total=False):
    """The default_args of a project with operators of its own."""

    mode: str


DEFAULTS: DefaultArguments = {
    "owner": "me",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "email": ["me@example.org"],
    "email_on_failure": False,
    "email_on_retry": False,
    "start_date": datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    "env": {"A": "1"},
}


def say(word: str, ds: str) -> str:
    return f"{word} {ds}"


def choose(ds: str) -> str | None:
    return "left" if ds else None


async def choose_later(ds: str) -> list[str]:
    return ["left"]


with DAG(
    "right",
    schedule="@daily",
    catchup=True,
    default_args=DEFAULTS,
    max_active_runs=2,
    tags=["a", "b"],
    description=None,
    user_defined_macros={"twice": lambda value: value * 2},
    template_searchpath=[Path(__file__).parent],
    doc_md="text",
    is_paused_upon_creation=False,
) as right:
    bash = BashOperator(task_id="bash", bash_command="echo {{ ds }}", cwd=Path("/"), retries=0, queue="q", sla=None)
    read = BashOperator(
        task_id="read",
        bash_command=bash.output,
        env={"GIVEN": bash.output["key"], "B": "2"},
        skip_on_exit_code=(98, 99),
    )
    python = PythonOperator(
        task_id="python",
        python_callable=say,
        op_args=["word"],
        op_kwargs={},
        execution_timeout=60,
        retry_delay=1.5,
        max_retry_delay=timedelta(hours=1),
        trigger_rule="none_failed",
        weight_rule="absolute",
        pool=None,
        on_failure_callback=None,
        on_retry_callback=print,
        on_success_callback=[print, lambda context: None],
    )
    branch = BranchPythonOperator(task_id="branch", python_callable=choose)
    branch_later = BranchPythonOperator(task_id="branch_later", python_callable=choose_later)
    circuit = ShortCircuitOperator(task_id="circuit", python_callable=bool, op_args=[1], depends_on_past=True)
    left, end = (
        EmptyOperator(task_id="left"),
        EmptyOperator(task_id="end", trigger_rule=TriggerRule.ALL_DONE, dag=right),
    )
    copied = CopyTable(task_id="copied", table="orders", pool="warehouse", params={})
    old = OldOperator("orders", task_id="old", retries=1)

    assert_type(bash >> read, BashOperator)
    assert_type(bash >> [python, left] >> end, EmptyOperator)
    assert_type([bash, python] << copied, CopyTable)
    assert_type({bash} << copied, CopyTable)
    read << (copied, [old, python])
    branch.set_upstream([circuit, copied])
    branch.set_downstream(left)
    chain(copied, [circuit, old], [branch, branch_later], left)
    cross_downstream([branch, branch_later], [left, end])


@dag(schedule=timedelta(hours=6), start_date=datetime(2024, 1, 1), timezone="UTC")
def functions(times: int = 2) -> None:
    """With tasks that are functions."""

    @task
    def first(ds: str) -> dict[str, int]:
        return {ds: 1}

    @task(pool="warehouse", retries=3, multiple_outputs=True)
    def second(rows: int, ti: Any) -> list[int]:
        return [rows]

    @task(retries=1)
    async def third(rows: list[int], factor: float = 1.0, *, logical_date: datetime, **context: Any) -> str:
        return f"{rows} {factor} {logical_date} {context}"

    @task
    def untyped(ds, ti, value=None):  # type: ignore[no-untyped-def]
        return value

    @task.branch
    def way(ds: str) -> str | list[str] | None:
        return "second"

    @task.branch(retries=2)
    async def later(ds: str) -> str:
        return "second"

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def goes_on(ds: str, value: str | None) -> bool:
        return ds > (value or "")

    @task.bash(env={"A": "1"}, append_env=True)
    def command(table: str, /, name: str, ds: str, mode: str = "append") -> str:
        return f"load {table} {mode} {name} {ds}"

    one = first()
    assert_type(one, XComArg[dict[str, int]])
    assert_type(one["2024-01-01"], XComArg[Any])
    two = second(one["2024-01-01"])
    assert_type(second.override(task_id="other")(7), XComArg[list[int]])
    assert_type(third(two), XComArg[str])
    third([1, two[0]], 2)
    three = third(two, factor=0.5, more=untyped())
    followed = way()
    followed >> untyped(value=three)
    later() >> untyped(value={"nested": [three, one]})
    goes_on("2024-01-01", three) >> untyped()
    goes_on("2024-01-01", value=three) >> untyped()
    assert_type(command("orders", three), XComArg[str])
    command.override(env=None, cwd="/", task_id="elsewhere")("orders", "name", mode="replace")
    goes_on.override(ignore_downstream_trigger_rules=True)("x", None) >> untyped()
    for number in range(times):
        first.override(task_id=f"first_{number}", retries=number)() >> [two, followed]


functions()

with DAG("own", default_args=OwnDefaults(mode="replace", retries=2), start_date=datetime(2024, 1, 1)):
    CopyTable(task_id="copied", table="{{ ds }}")


def names(of: DAG) -> Iterator[str]:
    for each in of.tasks:
        yield each.task_id
    yield from (str(each.output) for each in right.task_dict.values() if each.pool and each.execution_timeout)
    yield right.get_task("bash").trigger_rule


with DAG("grouped", start_date=datetime(2024, 1, 1)) as grouped:
    with TaskGroup("g", tooltip="why", default_args={"retries": 2}, prefix_group_id=False) as outer:
        inner = TaskGroup("inner", parent_group=outer, dag=grouped, ui_color="red", add_suffix_on_collision=True)
        made = EmptyOperator(task_id="made", task_group=inner)
    with outer:
        late = EmptyOperator(task_id="late")

    @task
    def number(start: int) -> int:
        return start

    @task_group
    def plain(start: int) -> None:
        number(start)

    @task_group(group_id="named", default_args={"pool": "p"}, tooltip="t")
    def returning(start: Any) -> XComArg[int]:
        return number(start)

    assert_type(plain(1), TaskGroup)
    assert_type(returning(number(1)), XComArg[int])
    assert_type(returning.override(group_id="other")(2), XComArg[int])
    EmptyOperator(task_id="a") >> Label("x") >> outer >> [Label("y")] >> plain(2) >> [returning(3)]
    chain([inner], Label("z"), [returning(4), plain(5)])
    outer.children["late"] << EmptyOperator(task_id="before")
