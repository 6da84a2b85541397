"""The arguments of a DAG, each declared once."""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Any, Literal, Never, TypeAlias, TypedDict

from tailrace.authoring.arguments import reading as read
from tailrace.authoring.arguments import unsupported
from tailrace.authoring.arguments.callbacks import Callbacks, callbacks
from tailrace.authoring.arguments.deadlines import DeadlineAlert, read_deadline
from tailrace.authoring.arguments.declarations import Argument, arguments_of, unsupported_of
from tailrace.authoring.arguments.params import read_params
from tailrace.authoring.arguments.task_arguments import DefaultArguments
from tailrace.authoring.arguments.unsupported import DOCUMENTATION, NoDict, Off, Unsupported

_Path: TypeAlias = str | os.PathLike[str]


class DagArguments(TypedDict, total=False):
    """What ``DAG("id", …)`` and ``@dag("id", …)`` take. The dates and the schedule are read together, with the zone."""

    schedule: Annotated[
        str | timedelta | None, Argument("when it runs by itself: cron, a preset (`@daily`), a timedelta")
    ]
    start_date: Annotated[datetime | str | None, Argument("the first date; a naive one is in `timezone`")]
    end_date: Annotated[datetime | str | None, Argument("the last date; a naive one is in `timezone`")]
    timezone: Annotated[
        str | tzinfo | None, Argument("its zone; by default that of an aware `start_date`, else UTC", in_airflow=False)
    ]
    catchup: Annotated[bool, Argument("whether a scheduler makes the runs of earlier dates", read.flag, False)]
    default_args: Annotated[DefaultArguments, Argument("arguments for all operators that take them", read.arguments)]
    max_active_runs: Annotated[int, Argument("how many of its runs are running at once", read.whole(1), 16)]
    max_active_tasks: Annotated[int, Argument("how many of its task instances run at once", read.whole(1), 16)]
    dagrun_timeout: Annotated[
        timedelta | float | None, Argument("how long a run may take; then it fails", read.or_none(read.time_limit))
    ]
    fail_fast: Annotated[bool, Argument("whether the first task that fails ends the rest of its run", read.flag, False)]
    max_consecutive_failed_dag_runs: Annotated[
        int,
        Argument("after so many scheduled runs in a row have failed it is paused; 0: never", read.whole(0, 1000), 0),
    ]
    deadline: Annotated[
        timedelta | float | DeadlineAlert | None,
        Argument(
            "by when a run is to have ended, else it is marked late; a duration counts from its creation", read_deadline
        ),
    ]
    description: Annotated[str | None, Argument("one line for lists", read.short_text, "")]
    tags: Annotated[Iterable[str] | None, Argument("words to find it by", read.texts)]
    user_defined_macros: Annotated[
        Mapping[str, Any] | None, Argument("values and functions for its templates, by name", read.arguments)
    ]
    user_defined_filters: Annotated[
        Mapping[str, Callable[..., Any]] | None, Argument("more filters for its templates, by name", read.functions)
    ]
    render_template_as_native_obj: Annotated[
        bool, Argument("whether a template gives a value of its own kind, not its text", read.flag, False)
    ]
    template_searchpath: Annotated[
        _Path | Iterable[_Path] | None, Argument("more folders of template files than the DAG file's", read.folders)
    ]
    is_paused_upon_creation: Annotated[
        bool | None,
        Argument(
            "whether its schedule is paused from the first time it is loaded, until `tailrace dags unpause`; by "
            "default as the setting `dags_are_paused_at_creation`",
            read.or_none(read.flag),
        ),
    ]
    params: Annotated[
        Mapping[str, Any] | None,
        Argument("values by name for its templates and functions, which `--conf` may replace", read_params),
    ]
    on_failure_callback: Annotated[
        Callbacks, Argument("called with the context once a run has failed or is deadlocked", callbacks)
    ]
    on_success_callback: Annotated[Callbacks, Argument("called with the context once a run has succeeded", callbacks)]
    on_backfill_end: Annotated[
        Callbacks, Argument("called with the context once a backfill has ended", callbacks, in_airflow=False)
    ]
    doc_md: Annotated[str | None, Argument("what is to be known about it", read.text, ""), DOCUMENTATION]

    schedule_interval: Annotated[Never, Unsupported("is now schedule; write that", ())]
    timetable: Annotated[None, Unsupported("is not there; give schedule= cron, a preset or a timedelta")]
    concurrency: Annotated[None, Unsupported("is now max_active_tasks; write that")]
    sla_miss_callback: unsupported.NotCalled
    template_undefined: Annotated[
        None, Unsupported("changes nothing: an undefined variable fails the try; leave it out")
    ]
    jinja_environment_kwargs: Annotated[NoDict, Unsupported("change nothing; leave them out", (None, {}))]
    fail_stop: Annotated[Off, Unsupported("is now fail_fast; write that", (None, False))]
    auto_register: Annotated[Literal[True] | None, Unsupported("hides no DAG; leave it out", (None, True))]
    allowed_run_types: Annotated[None, Unsupported("refuses no run; leave it out")]
    access_control: unsupported.Dict
    dag_display_name: unsupported.Text
    default_view: unsupported.Text
    disable_bundle_versioning: unsupported.Flag
    full_filepath: unsupported.Text
    orientation: unsupported.Text
    owner_links: unsupported.Dict
    rerun_with_latest_version: unsupported.Flag


DAG_ARGUMENTS = arguments_of(DagArguments)
UNSUPPORTED_DAG_ARGUMENTS = unsupported_of(DagArguments)
