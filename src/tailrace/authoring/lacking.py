"""Arguments of Airflow's that Tailrace does not have, and what becomes of each, of DAGs, tasks and default_args.

What asks for something that would not happen is a mistake. What changes nothing that happens is noted, once for each
DAG. A value that asks for nothing (None, False) is what happens anyway. Whoever builds one of them takes its row out.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct


class Lacking(Struct, frozen=True):
    """An argument that is not there. ``instead`` says what would be missed and what to do; empty: nothing would.

    ``nothing`` are the values that ask for nothing; ``asks`` decides about others, where it depends on what else is
    given.
    """

    instead: str = ""
    nothing: tuple[Any, ...] = (None,)
    asks: Callable[[Mapping[str, Any]], bool] = lambda given: True


class Judged(Struct, frozen=True):
    """What to say about an argument that is not there: that it is a mistake, or that it has no effect, or nothing."""

    mistake: str = ""
    has_no_effect: bool = False


def judge(table: Mapping[str, Lacking], name: str, given: Mapping[str, Any]) -> Judged:
    """What to say about an argument of the table, given with these others."""
    lacking, value = table[name], given[name]
    if any(value is each or (type(value) is type(each) and value == each) for each in lacking.nothing):
        return Judged()
    if not lacking.instead or not lacking.asks(given):
        return Judged(has_no_effect=True)
    return Judged(f"{name} {lacking.instead}")


def _sends(given: Mapping[str, Any]) -> bool:
    """Airflow writes to these addresses unless both occasions are off."""
    return any(given.get(name, True) is not False for name in ("email_on_failure", "email_on_retry"))


_NOTHING_CALLED = Lacking("is not called yet; leave it out", (None, [], ()))
_NOT_SENT = Lacking("sends no e-mail yet; say False, or leave it out", (None, False))
_NO_EFFECT = Lacking()
_DOCUMENTATION = Lacking(nothing=(None, ""))

OF_TASKS: Mapping[str, Lacking] = MappingProxyType(
    {
        "on_execute_callback": _NOTHING_CALLED,
        "on_failure_callback": _NOTHING_CALLED,
        "on_retry_callback": _NOTHING_CALLED,
        "on_skipped_callback": _NOTHING_CALLED,
        "on_success_callback": _NOTHING_CALLED,
        "pre_execute": _NOTHING_CALLED,
        "post_execute": _NOTHING_CALLED,
        "email": Lacking(
            "gets no e-mail yet; leave it out, or say email_on_failure=False, email_on_retry=False",
            (None, "", [], ()),
            _sends,
        ),
        "email_on_failure": _NOT_SENT,
        "email_on_retry": _NOT_SENT,
        "sla": Lacking("is not watched yet; leave it out"),
        "params": Lacking("are not there yet; give values with --conf and read {{ dag_run.conf }}", (None, {})),
        "start_date": Lacking("is the DAG's: a task has none of its own"),
        "end_date": Lacking("is the DAG's: a task has none of its own"),
        "run_as_user": Lacking("changes no user; run Tailrace as that user, or use sudo in the command"),
        "retry_policy": Lacking("decides nothing yet; use retries, retry_delay and retry_exponential_backoff"),
        "ignore_first_depends_on_past": Lacking(
            "decides nothing: where there is no earlier run, depends_on_past is met; leave it out", (None, True)
        ),
        "task_concurrency": Lacking("is now max_active_tis_per_dag; write that"),
        "xcom_push": Lacking("is now do_xcom_push; write that"),
        "skip_exit_code": Lacking("is now skip_on_exit_code; write that"),
        "task_group": Lacking("is not there yet; relate the tasks themselves"),
        "default_args": Lacking("are the DAG's; give the arguments to the task itself", (None, {})),
        "is_setup": Lacking("is not there yet; use trigger_rule='all_done' for what cleans up", (None, False)),
        "is_teardown": Lacking("is not there yet; use trigger_rule='all_done' for what cleans up", (None, False)),
        "on_failure_fail_dagrun": Lacking("decides nothing: a run is judged by its last tasks", (None, False)),
        "render_template_as_native_obj": Lacking("is not there yet: a template gives text", (None, False)),
        "templates_exts": Lacking("names no files: templates in files are for bash_command", (None, [], ())),
        "output_processor": Lacking("changes no XCom: that is the last line as it is; change it where it is used"),
        "wait_for_past_depends_before_skipping": _NO_EFFECT,
        "allow_nested_operators": _NO_EFFECT,
        "doc": _DOCUMENTATION,
        "doc_json": _NO_EFFECT,
        "doc_md": _DOCUMENTATION,
        "doc_rst": _NO_EFFECT,
        "doc_yaml": _NO_EFFECT,
        "executor": _NO_EFFECT,
        "executor_config": Lacking(nothing=(None, {})),
        "inlets": Lacking(nothing=(None, [])),
        "logger_name": _NO_EFFECT,
        "map_index_template": _NO_EFFECT,
        "outlets": Lacking(nothing=(None, [])),
        "output_encoding": Lacking(nothing=(None, "utf-8")),
        "owner": _DOCUMENTATION,
        "provide_context": _NO_EFFECT,
        "queue": _NO_EFFECT,
        "resources": Lacking(nothing=(None, {})),
        "show_return_value_in_logs": _NO_EFFECT,
        "task_display_name": _NO_EFFECT,
    }
)

OF_DAGS: Mapping[str, Lacking] = MappingProxyType(
    {
        "schedule_interval": Lacking("is now schedule; write that", ()),
        "timetable": Lacking("is not there; give schedule= cron, a preset or a timedelta"),
        "concurrency": Lacking("is now max_active_tasks; write that"),
        "params": OF_TASKS["params"],
        "dagrun_timeout": Lacking("ends no run yet; give the tasks an execution_timeout"),
        "on_success_callback": _NOTHING_CALLED,
        "on_failure_callback": _NOTHING_CALLED,
        "sla_miss_callback": _NOTHING_CALLED,
        "deadline": Lacking("is not watched yet; leave it out", (None, [])),
        "user_defined_filters": Lacking("are not there yet; call a function of user_defined_macros", (None, {})),
        "template_undefined": Lacking("changes nothing: an undefined variable fails the try; leave it out"),
        "jinja_environment_kwargs": Lacking("change nothing; leave them out", (None, {})),
        "render_template_as_native_obj": OF_TASKS["render_template_as_native_obj"],
        "is_paused_upon_creation": Lacking("pauses nothing; type `tailrace dags pause`", (None, False)),
        "max_consecutive_failed_dag_runs": Lacking("pauses nothing; leave it out", (None, 0)),
        "fail_fast": Lacking("stops nothing yet; leave it out", (None, False)),
        "fail_stop": Lacking("stops nothing yet; leave it out", (None, False)),
        "auto_register": Lacking("hides no DAG; leave it out", (None, True)),
        "allowed_run_types": Lacking("refuses no run; leave it out"),
        "access_control": Lacking(nothing=(None, {})),
        "dag_display_name": _NO_EFFECT,
        "default_view": _NO_EFFECT,
        "disable_bundle_versioning": _NO_EFFECT,
        "doc_md": _DOCUMENTATION,
        "full_filepath": _NO_EFFECT,
        "orientation": _NO_EFFECT,
        "owner_links": Lacking(nothing=(None, {})),
        "rerun_with_latest_version": _NO_EFFECT,
    }
)
