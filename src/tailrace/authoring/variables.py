"""The names that templates may use, and that Python callables receive where they have a parameter of that name.

Their values are made for each try (``execution.context``); here they are only known, so that a wrong one is a mistake.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: What each of them is, for the reference.
VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "dag": "the DAG",
        "task": "the task",
        "ti": "the task instance: its ids, `xcom_push`, `xcom_pull`, `try_number`, `start_date`, `try_token`",
        "task_instance": "the same",
        "task_instance_key_str": "`DAG__TASK__YYYYMMDD`",
        "dag_run": "the run: `run_id`, `run_type`, `logical_date`, `data_interval_start`, `data_interval_end`, `conf`",
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
        "conf": "what `--conf` gave the run; a dict, empty if nobody did",
        "params": "the values of the DAG's and the task's `params`, and over them what `--conf` gave the run",
        "macros": "`ds_add`, `ds_format`, `datetime`, `timedelta`, and the modules `time`, `uuid` and `random`",
        "var": "not there: it says what to use instead of Airflow's Variables",
        "conn": "not there: it says what to use instead of Airflow's Connections",
    }
)
