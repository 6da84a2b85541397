"""Tailrace runs DAGs of tasks over ranges of dates, and never lies about what happened.

What a DAG author imports; nothing heavy is loaded by it.
"""

from tailrace.authoring.arguments.deadlines import DeadlineAlert, DeadlineReference
from tailrace.authoring.arguments.params import Param
from tailrace.authoring.arguments.retry_policy import ExceptionRetryPolicy, RetryRule
from tailrace.authoring.arguments.task_arguments import DefaultArguments
from tailrace.authoring.context.current import get_current_context
from tailrace.authoring.context.recorded import (
    DagRun,
    TaskInstanceRecord,
    get_dag_runs,
    get_dagrun_state,
    get_dr_count,
    get_task_instance_count,
    get_task_instances,
    get_task_states,
    get_ti_count,
)
from tailrace.authoring.dags.dag import DAG, BaseOperator, TaskArguments
from tailrace.authoring.dags.task_groups import TaskGroup, task_group
from tailrace.authoring.operators.shipped import (
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
)
from tailrace.authoring.relations.edges import Label, chain, cross_downstream
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.authoring.sensors.external_task_sensor import ExternalTaskSensor
from tailrace.authoring.sensors.http_sensor import HttpSensor
from tailrace.authoring.sensors.poking import BaseSensorOperator, PokeReturnValue, PythonSensor
from tailrace.authoring.sensors.sql_sensor import SqlSensor
from tailrace.authoring.sensors.time_sensors import DateTimeSensor, FileSensor, TimeDeltaSensor
from tailrace.authoring.taskflow import dag, task
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import RetryAction
from tailrace.secrets.connection import Connection
from tailrace.secrets.known import mask_secret
from tailrace.secrets.variable import Variable

__version__ = "0.1.0"

__all__ = [
    "DAG",
    "BaseOperator",
    "BaseSensorOperator",
    "BashOperator",
    "BranchPythonOperator",
    "Connection",
    "DagRun",
    "DeadlineAlert",
    "DeadlineReference",
    "DefaultArguments",
    "EmptyOperator",
    "ExceptionRetryPolicy",
    "DateTimeSensor",
    "DefaultArguments",
    "EmptyOperator",
    "ExternalTaskSensor",
    "FileSensor",
    "HttpSensor",
    "Label",
    "Param",
    "PokeReturnValue",
    "PythonOperator",
    "RetryAction",
    "RetryRule",
    "PythonSensor",
    "ShortCircuitOperator",
    "SqlSensor",
    "TaskArguments",
    "TaskGroup",
    "TaskInstanceRecord",
    "TimeDeltaSensor",
    "TriggerRule",
    "Variable",
    "XComArg",
    "__version__",
    "chain",
    "cross_downstream",
    "dag",
    "get_current_context",
    "get_dag_runs",
    "get_dagrun_state",
    "get_dr_count",
    "get_task_instance_count",
    "get_task_instances",
    "get_task_states",
    "get_ti_count",
    "mask_secret",
    "task",
    "task_group",
]
