"""The names that templates may use, and that Python callables receive where they have a parameter of that name.

Their values are made for each try (``execution.context``); here they are only known, so that a wrong one is a mistake.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: Of them, those that are computed from the schedule when they are first asked for.
ON_DEMAND: Mapping[str, str] = MappingProxyType(
    {
        "prev_execution_date": "the logical date before this one by the schedule, or None; without one, this one",
        "prev_ds": "the same, `YYYY-MM-DD`",
        "prev_ds_nodash": "`YYYYMMDD`",
        "next_execution_date": "the logical date after this one by the schedule, or None; without one, this one",
        "next_ds": "the same, `YYYY-MM-DD`",
        "next_ds_nodash": "`YYYYMMDD`",
        "yesterday_ds": "the day before `ds`",
        "yesterday_ds_nodash": "`YYYYMMDD`",
        "tomorrow_ds": "the day after `ds`",
        "tomorrow_ds_nodash": "`YYYYMMDD`",
    }
)

#: What each of them is, for the reference.
VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "dag": "the DAG",
        "task": "the task",
        "ti": "the task instance: its ids, `xcom_push`, `xcom_pull`, `try_number`, `max_tries`, `start_date`, `state`, "
        "`task`, `dag_run`, `hostname`, `log`, `log_url`, `try_token`, and [what earlier runs did](history-calls.md)",
        "task_instance": "the same",
        "task_instance_key_str": "`DAG__TASK__YYYYMMDD`",
        "dag_run": "the run: `run_id`, `run_type`, `logical_date`, `data_interval_start`, `data_interval_end`, "
        "`start_date`, `state`, `conf`, and [what may be asked about it](history-calls.md)",
        "run_id": "the run's id",
        "try_number": "which try this is; the first is 1",
        "logical_date": "the start of the data interval, in UTC",
        "execution_date": "the same, as Airflow called it",
        "data_interval_start": "the start of the data interval, in UTC",
        "data_interval_end": "its end",
        "ds": "the logical date, `YYYY-MM-DD`",
        "ds_nodash": "`YYYYMMDD`",
        "ts": "the logical date and time, ISO 8601",
        "ts_nodash": "`YYYYMMDDTHHMMSS`",
        "ts_nodash_with_tz": "`YYYYMMDDTHHMMSS+0000`",
        "prev_data_interval_start_success": "the start of the interval of the last earlier run that succeeded, or None",
        "prev_data_interval_end_success": "its end, or None",
        "prev_execution_date_success": "its logical date, or None",
        "prev_start_date_success": "when that run began, or None",
        "prev_end_date_success": "when it ended, or None",
        **ON_DEMAND,
        "conf": "what `--conf` gave the run; a dict, empty if nobody did",
        "params": "the values of the DAG's and the task's `params`, and over them what `--conf` gave the run",
        "macros": "`ds_add`, `ds_format`, `ds_format_locale`, `datetime`, `timedelta`, and the modules `time`, `uuid`, "
        "`random`, `json` and `dateutil`",
        "var": "Variables: `var.value.NAME`, `var.value.get('NAME', 'default')`, `var.json.NAME.FIELD`",
        "conn": "Connections: `conn.ID.host`, `.login`, `.password`, `.schema`, `.port`, `.extra_dejson`, `.get_uri()`",
    }
)
