"""Wrong use of what authors import: a type checker refuses each line that says so, and no other."""

from datetime import datetime, timedelta
from typing import Unpack

from tailrace import (
    DAG,
    BaseOperator,
    BashOperator,
    BranchPythonOperator,
    DefaultArguments,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
    TaskArguments,
    TaskGroup,
    chain,
    dag,
    task,
    task_group,
)


class Own(BaseOperator):
    def __init__(self, *, table: str, **arguments: Unpack[TaskArguments]) -> None:
        super().__init__(tabel=table, **arguments)  # refused: Unexpected keyword argument "tabel"


def f(ds: str) -> int:
    return 1


def g(ds: str) -> list[int]:
    return [1]


a = EmptyOperator(task_id="a")
PythonOperator(task_id="t", python_callable=f, retrys=3)  # refused: Unexpected keyword argument "retrys"
PythonOperator(task_id="t", python_callable=f, pool=7)  # refused: Argument "pool" to "PythonOperator"
PythonOperator(task_id="t")  # refused: Missing named argument "python_callable"
PythonOperator(python_callable=f)  # refused: Missing named argument "task_id"
PythonOperator(task_id="t", python_callable="f")  # refused: Argument "python_callable"
PythonOperator(task_id="t", python_callable=f, op_kwargs=[1])  # refused: Argument "op_kwargs"
PythonOperator(task_id="t", python_callable=f, env={})  # refused: Unexpected keyword argument "env"
BashOperator(task_id="t", bash_command=["ls"])  # refused: Argument "bash_command"
BashOperator(task_id="t")  # refused: Missing named argument "bash_command"
BashOperator(task_id="t", bash_command="ls", env={"A": 1})  # refused: Dict entry 0
BashOperator(task_id="t", bash_command="ls", append_env="yes")  # refused: Argument "append_env"
BashOperator(task_id="t", bash_command="ls", skip_on_exit_code="99")  # refused: Argument "skip_on_exit_code"
BashOperator(task_id="t", bash_command="ls", op_args=[])  # refused: Unexpected keyword argument "op_args"
BranchPythonOperator(task_id="t", python_callable=f)  # refused: Argument "python_callable"
BranchPythonOperator(task_id="t", python_callable=g)  # refused: Argument "python_callable"
ShortCircuitOperator(
    task_id="t",
    python_callable=f,
    ignore_downstream_trigger_rules=1,  # refused: Argument "ignore_downstream_trigger_rules"
)
EmptyOperator(task_id=7)  # refused: Argument "task_id" to "EmptyOperator"
EmptyOperator("t")  # refused: Too many positional arguments
EmptyOperator(task_id="t", trigger_rule="all_don")  # refused: Argument "trigger_rule"
EmptyOperator(task_id="t", weight_rule="up")  # refused: Argument "weight_rule"
EmptyOperator(task_id="t", retry_delay="5m")  # refused: Argument "retry_delay"
EmptyOperator(task_id="t", retries=1.5)  # refused: Argument "retries"
EmptyOperator(task_id="t", depends_on_past=None)  # refused: Argument "depends_on_past"
EmptyOperator(task_id="t", on_failure_callback="f")  # refused: Argument "on_failure_callback"
EmptyOperator(task_id="t", email_on_failure="yes")  # refused: Argument "email_on_failure"
EmptyOperator(task_id="t", params=[1])  # refused: Argument "params" to "EmptyOperator" has incompatible type
EmptyOperator(task_id="t", sla=timedelta(1))  # refused: Argument "sla"
EmptyOperator(task_id="t", start_date=datetime(2024, 1, 1))  # refused: Argument "start_date"
EmptyOperator(task_id="t", dag="d")  # refused: Argument "dag"
Own(task_id="t")  # refused: Missing named argument "table"
Own(task_id="t", table="x", poool="p")  # refused: Unexpected keyword argument "poool"

DAG()  # refused: Missing positional argument "dag_id"
DAG("d", schedul="@daily")  # refused: Unexpected keyword argument "schedul"
DAG("d", schedule=5)  # refused: Argument "schedule" to "DAG"
DAG("d", catchup="False")  # refused: Argument "catchup"
DAG("d", start_date=20240101)  # refused: Argument "start_date"
DAG("d", schedule_interval="@daily")  # refused: Argument "schedule_interval"
DAG("d", dagrun_timeout="1h")  # refused: Argument "dagrun_timeout"
DAG("d", default_args={"retrys": 3})  # refused: Extra key "retrys" for TypedDict "DefaultArguments"
DAG("d", default_args={"retries": "3"})  # refused: Incompatible types (expression has type "str"
DAG("d", default_args={"catchup": True})  # refused: Extra key "catchup"
DefaultArguments(pool=5)  # refused: Incompatible types
print(a.retris)  # refused: "EmptyOperator" has no attribute "retris"


@dag(scedule="@daily")  # refused: Unexpected keyword argument "scedule"
def d() -> None:
    pass


@task(retrys=2)  # refused: Unexpected keyword argument "retrys"
def misspelt() -> int:
    return 1


@task(env={})  # refused: Unexpected keyword argument "env"
def of_another_kind() -> int:
    return 1


@task.branch  # refused: Argument 1 to "branch"
def follows_nothing(ds: str) -> int:
    return 1


@task.bash  # refused: Argument 1 to "bash"
def runs_nothing(ds: str) -> list[str]:
    return [ds]


@task
def add(left: int, right: int) -> int:
    return left + right


@task
def name(ds: str) -> str:
    return ds


@task
def total(values: list[int], ti: object) -> int:
    return sum(values)


add(1, "2")  # refused: No overload variant of "__call__" of "TaskFunction"
add("1", right=2)  # refused: No overload variant
add(1, 2, 3)  # refused: No overload variant
add(1, name())  # refused: has incompatible type "XComArg[str]"
total("values")  # refused: No overload variant
total(add(1, 2))  # refused: has incompatible type "XComArg[int]"
name(1)  # refused: No overload variant
add.override(retrys=1)  # refused: Unexpected keyword argument "retrys"
add.override(pool=1)(1, 2)  # refused: Argument "pool" to "override"
BashOperator(task_id="t", bash_command=add(1, 2))  # refused: Argument "bash_command"
a >> "b"  # refused: "__rshift__" of "Relations" cannot be "str"
"b" >> a  # refused: Unsupported operand types for >>
a << 1  # refused: "__lshift__" of "Relations" cannot be "int"
a.set_upstream("b")  # refused: Argument 1 to "set_upstream"
chain(a, "b")  # refused: Argument 2 to "chain"
for each in name():  # refused: Need type annotation for "each"
    print(each)

TaskGroup()  # refused: Missing positional argument "group_id"
TaskGroup("g", tooltips="t")  # refused: Unexpected keyword argument "tooltips"
TaskGroup("g", default_args={"retrys": 1})  # refused: Extra key "retrys"
TaskGroup("g", parent_group=a)  # refused: Argument "parent_group" to "TaskGroup"
EmptyOperator(task_id="t", task_group="g")  # refused: Argument "task_group"
a >> TaskGroup  # refused: "__rshift__" of "Relations" cannot be
task_group(group_id=7)  # refused: No overload variant
