"""What a file imports from Airflow, and what to import here instead: said line by line where Airflow is not installed.

By name and not by module: the modules were moved in each of its versions.
"""

import ast
import importlib
import re
from collections.abc import Collection, Iterator, Mapping

from tailrace.model.suggestions import did_you_write

#: Names that are others here.
NAMED: Mapping[str, str] = {
    "DummyOperator": "EmptyOperator",
    "AirflowFailException": "exceptions.TaskFailed",
    "AirflowSkipException": "exceptions.TaskSkipped",
    "AirflowNotFoundException": "exceptions.SecretNotFound",
    "BaseNotifier": "notifiers.Notifier",
    "SlackWebhookNotifier": "notifiers.SlackWebhook",
    "SmtpNotifier": "notifiers.SmtpEmail",
    "AirflowSensorTimeout": "exceptions.SensorTimeout",
    "AirflowRescheduleException": "exceptions.TaskRescheduled",
    "DateTimeSensorAsync": "DateTimeSensor",
    "TimeDeltaSensorAsync": "TimeDeltaSensor",
    "BaseSensor": "BaseSensorOperator",
}

_PROVIDERS = "call the library that it wraps in a @task, with Connection.get for what to connect to"
_HISTORY = "tasks have no database here: get_dag_runs and get_task_instances of tailrace ask for what was recorded"

#: Names that nothing here has, and what to do.
OTHERWISE: Mapping[str, str] = {
    "AirflowException": "raise any exception: each of them fails the try",
    "AirflowTaskTimeout": "at its execution_timeout a task's process is ended by SIGTERM, and `finally` blocks run",
    "AirflowTaskTerminated": "a task that is stopped is ended by SIGTERM, and `finally` blocks run",
    "BaseHook": "`Connection.get(conn_id)` of `from tailrace import Connection` is its get_connection",
    "XCom": "ti.xcom_pull and ti.xcom_push of the context are what there is",
    "DagBag": "`tailrace dags check` loads every DAG file and tells their mistakes",
    "DagModel": "`tailrace dags list -o json` has what it says",
    "TaskInstance": "`ti` of the context is the task's own; " + _HISTORY,
    "Session": _HISTORY,
    "create_session": _HISTORY,
    "provide_session": _HISTORY,
    "NEW_SESSION": _HISTORY,
    "settings": "settings are in tailrace.toml and TAILRACE_ variables of the environment",
    "conf": "settings are in tailrace.toml and TAILRACE_ variables of the environment",
    "days_ago": "write the date: a start_date that moves makes other runs each day",
    "timezone": "zoneinfo.ZoneInfo of the standard library, or DAG(timezone=…)",
    "make_aware": "datetime(…, tzinfo=ZoneInfo(…)) of the standard library",
    "utcnow": "datetime.now(UTC) of the standard library",
    "parse": "datetime.fromisoformat of the standard library",
    "LoggingMixin": "operators have self.log, and tasks the standard library's logging",
    "apply_defaults": "leave it out: default_args reach every operator",
    "BaseOperatorLink": "there are no links yet; leave it out",
    "AirflowPlugin": "there are no plugins; import the code where it is used",
    "SlackNotifier": "`from tailrace.notifiers import SlackWebhook`, with the address of an incoming webhook",
    "send_slack_notification": "`from tailrace.notifiers import SlackWebhook`, with the address of an incoming webhook",
    "send_slack_webhook_notification": "`from tailrace.notifiers import SlackWebhook`",
    "send_smtp_notification": "`from tailrace.notifiers import SmtpEmail`",
    "send_email": "`SmtpEmail(to, subject, text)` of `from tailrace.notifiers import SmtpEmail`, as a callback",
    "literal": "leave it out: a text is a template only with {{ or {% in it",
    "Context": "a dict: its names are in the author's guide",
    "TaskInstanceState": "states are text, such as 'success'",
    "DagRunState": "states are text, such as 'success'",
    "State": "states are text, such as 'success'",
    "Dataset": "there are no assets yet; give a schedule",
    "Asset": "there are no assets yet; give a schedule",
    "TriggerDagRunOperator": "it is not there yet; `tailrace dags trigger` in a BashOperator makes a run",
    "LatestOnlyOperator": "it is not there yet; a ShortCircuitOperator can look at data_interval_end",
    "PythonVirtualenvOperator": "it is not there yet; a BashOperator can start another interpreter",
    "ExternalPythonOperator": "it is not there yet; a BashOperator can start another interpreter",
    "ExternalTaskMarker": "it is not there yet; `tailrace runs clear` clears the other DAG's runs too",
    "TimeSensor": "write a DateTimeSensor: its target_time is a template, such as {{ ds }}T08:00",
    "SubDagOperator": "write a TaskGroup",
    "chain_linear": "write chain, or cross_downstream",
}

_NO_NAME = re.compile(r"cannot import name '(?P<name>\w+)' from '(?P<module>tailrace(\.exceptions)?)'")


def is_of_airflow(wrong: BaseException) -> bool:
    """Whether it is raised because Airflow is not installed."""
    return isinstance(wrong, ModuleNotFoundError) and (wrong.name or "").partition(".")[0] == "airflow"


def instead_of(code: bytes) -> Iterator[tuple[int, str]]:
    """Each line of the code that imports something of Airflow's, and what to write there."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.ImportFrom(module=str(module), level=0) if module.partition(".")[0] == "airflow":
                for each in node.names:
                    yield node.lineno, f"`from {module} import {each.name}`: {advice_on(module, each.name)}"
            case ast.Import():
                for each in node.names:
                    if each.name.partition(".")[0] == "airflow":
                        yield node.lineno, f"`import {each.name}`: there is no Airflow here; import from tailrace"


def lacking(wrong: BaseException) -> str | None:
    """What to write for a name that ``tailrace`` does not have; None where that is not what is wrong."""
    found = _NO_NAME.search(str(wrong)) if isinstance(wrong, ImportError) else None
    if found is None:
        return None
    name, module = found["name"], found["module"]
    own = f"tailrace.{NAMED[name]}" if name in NAMED else OTHERWISE.get(name, "")
    said = f"; it is {own} here" if name in NAMED else f": {own}" if own else ""
    return f"{module} has no {name!r}{said or did_you_write(name, _public(module))}"


def advice_on(module: str, name: str) -> str:
    """What to write for a name that a module of Airflow's has."""
    if name in _public("tailrace"):
        return f"write `from tailrace import {name}`"
    if name in _public("tailrace.exceptions"):
        return f"write `from tailrace.exceptions import {name}`"
    if name in NAMED:
        inside, _, ours = f"tailrace.{NAMED[name]}".rpartition(".")
        return f"write `from {inside} import {ours}`"
    if name in OTHERWISE:
        return OTHERWISE[name]
    if module.startswith("airflow.providers.") or name.endswith(("Operator", "Hook", "Sensor")):
        return f"{name} is not there; {_PROVIDERS}"
    return f"{name} is not there"


def _public(module: str) -> Collection[str]:
    names: Collection[str] = importlib.import_module(module).__all__
    return names
