"""What each operator and each kind of ``@task`` takes, put together for type checkers: nothing that runs imports it."""

import os
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, Required

from tailrace.authoring.arguments.declarations import Argument
from tailrace.authoring.arguments.external_task_arguments import EXTERNAL_DAG_ID, ExternalTaskArguments
from tailrace.authoring.arguments.sensor_arguments import (
    CONN_ID,
    DELTA,
    ENDPOINT,
    FILEPATH,
    SQL,
    TARGET_TIME,
    Duration,
    FileArguments,
    HttpArguments,
    SensorArguments,
    SqlArguments,
)
from tailrace.authoring.arguments.task_arguments import (
    BASH_COMMAND,
    IN_GROUP,
    PYTHON_CALLABLE,
    BashArguments,
    CallArguments,
    Chosen,
    CommonArguments,
    PythonArguments,
    ShortCircuitArguments,
)
from tailrace.authoring.dags.dag import TaskArguments
from tailrace.authoring.relations.xcom_args import XComArg


class BashOperatorArguments(TaskArguments, BashArguments, total=False):
    """What BashOperator takes."""

    bash_command: Annotated[Required[str | XComArg[str]], BASH_COMMAND]


class PythonOperatorArguments(TaskArguments, PythonArguments, total=False):
    """What PythonOperator takes."""

    python_callable: Annotated[Required[Callable[..., Any]], PYTHON_CALLABLE]


class BranchOperatorArguments(TaskArguments, PythonArguments, total=False):
    """What BranchPythonOperator takes."""

    python_callable: Annotated[Required[Callable[..., Chosen | Coroutine[Any, Any, Chosen]]], PYTHON_CALLABLE]


class ShortCircuitOperatorArguments(PythonOperatorArguments, ShortCircuitArguments, total=False):
    """What ShortCircuitOperator takes."""


class FunctionArguments(CommonArguments, CallArguments, total=False):
    """What ``@task(…)`` takes."""

    task_id: Annotated[str, Argument("the task's name; by default the function's")]
    task_group: IN_GROUP


class BashFunctionArguments(FunctionArguments, BashArguments, total=False):
    """What ``@task.bash(…)`` takes."""


class SensorFunctionArguments(FunctionArguments, SensorArguments, total=False):
    """What ``@task.sensor(…)`` takes."""


class ShortCircuitFunctionArguments(FunctionArguments, ShortCircuitArguments, total=False):
    """What ``@task.short_circuit(…)`` takes."""


class BaseSensorArguments(TaskArguments, SensorArguments, total=False):
    """What BaseSensorOperator takes."""


class PythonSensorArguments(BaseSensorArguments, PythonArguments, total=False):
    """What PythonSensor takes."""

    python_callable: Annotated[Required[Callable[..., Any]], PYTHON_CALLABLE]


class FileSensorArguments(BaseSensorArguments, FileArguments, total=False):
    """What FileSensor takes."""

    filepath: Annotated[Required[str | os.PathLike[str] | XComArg[str]], FILEPATH]


class DateTimeSensorArguments(BaseSensorArguments, total=False):
    """What DateTimeSensor takes."""

    target_time: Annotated[Required[str | datetime | XComArg[str]], TARGET_TIME]


class TimeDeltaSensorArguments(BaseSensorArguments, total=False):
    """What TimeDeltaSensor takes."""

    delta: Annotated[Required[Duration], DELTA]


class SqlSensorArguments(BaseSensorArguments, SqlArguments, total=False):
    """What SqlSensor takes."""

    conn_id: Annotated[Required[str], CONN_ID]
    sql: Annotated[Required[str | XComArg[str]], SQL]


class HttpSensorArguments(BaseSensorArguments, HttpArguments, total=False):
    """What HttpSensor takes."""

    endpoint: Annotated[Required[str | XComArg[str]], ENDPOINT]


class ExternalTaskSensorArguments(BaseSensorArguments, ExternalTaskArguments, total=False):
    """What ExternalTaskSensor takes."""

    external_dag_id: Annotated[Required[str | XComArg[str]], EXTERNAL_DAG_ID]
