"""The arguments of tasks: those of every operator and those of the shipped ones, each declared once.

What can be given for a function (``@task(…)``) and in ``default_args`` is put together from the same declarations.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from tailrace.authoring.arguments import bash_command as bash
from tailrace.authoring.arguments import reading as read
from tailrace.authoring.arguments import unsupported
from tailrace.authoring.arguments.callbacks import Callbacks, addresses, callbacks, switch
from tailrace.authoring.arguments.declarations import Argument, arguments_of
from tailrace.authoring.arguments.params import read_params
from tailrace.authoring.arguments.retry_policy import ExceptionRetryPolicy, read_retry_policy
from tailrace.authoring.arguments.sensor_arguments import MODE, Duration, WaitArguments
from tailrace.authoring.arguments.unsupported import DOCUMENTATION, NoDict, NoList, Off, Unsupported
from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.relations.groups import Group
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DEFAULT_POOL

WeightRule: TypeAlias = Literal["downstream", "upstream", "absolute"]
# fmt: off
TriggerRuleName: TypeAlias = Literal[
    "all_success", "all_failed", "all_done", "one_success", "one_failed", "one_done", "none_failed",
    "none_failed_min_one_success", "none_skipped", "all_skipped", "all_done_min_one_success", "all_done_setup_success",
    "always", "dummy", "none_failed_or_skipped",
]
# fmt: on
#: What the function of a branch returns: the task ids to follow.
Chosen: TypeAlias = str | list[str] | tuple[str, ...] | set[str] | None

IN_GROUP: TypeAlias = Annotated[Group | None, Argument("the group it is in, where it is not written inside its `with`")]


class CommonArguments(TypedDict, total=False):
    """What every operator takes, and default_args for all of them."""

    retries: Annotated[int, Argument("how often a failed task is tried again", read.whole(0, read.MOST_RETRIES), 0)]
    retry_delay: Annotated[Duration, Argument("how long it waits before that", read.duration, timedelta(minutes=5))]
    retry_exponential_backoff: Annotated[bool, Argument("whether the wait doubles with each try", read.flag, False)]
    max_retry_delay: Annotated[Duration | None, Argument("the longest such wait", read.or_none(read.duration))]
    retry_policy: Annotated[
        ExceptionRetryPolicy | None, Argument("which failures are tried again, by exception", read_retry_policy)
    ]
    execution_timeout: Annotated[Duration | None, Argument("how long a try may take", read.or_none(read.time_limit))]
    depends_on_past: Annotated[bool, Argument("whether it waits for itself in the previous run", read.flag, False)]
    wait_for_downstream: Annotated[
        bool, Argument("the same, and for what is directly below it there", read.flag, False)
    ]
    trigger_rule: Annotated[
        TriggerRule | TriggerRuleName,
        Argument("which states above it let it run", read.trigger_rule, TriggerRule.ALL_SUCCESS),
    ]
    pool: Annotated[str | None, Argument("the pool whose slots it takes", read.pool, DEFAULT_POOL)]
    pool_slots: Annotated[int, Argument("how many slots of the pool it takes", read.whole(1), 1)]
    priority_weight: Annotated[int, Argument("what goes first where there is not room for all", read.whole(0), 1)]
    weight_rule: Annotated[WeightRule, Argument("whose weights are added to its own", read.weight_rule, "downstream")]
    max_active_tis_per_dag: Annotated[
        int | None, Argument("how many of its task instances run at once, in all runs", read.or_none(read.whole(1)))
    ]
    max_active_tis_per_dagrun: Annotated[
        int | None, Argument("how many of its task instances run at once, in one run", read.or_none(read.whole(1)))
    ]
    render_template_as_native_obj: Annotated[
        bool | None, Argument("whether its templates give values of their own kind", read.or_none(read.flag))
    ]
    do_xcom_push: Annotated[bool, Argument("whether what it returns becomes its XCom", read.flag, True)]
    params: Annotated[
        Mapping[str, Any] | None, Argument("values by name, before those of the DAG's params", read_params)
    ]
    owner: Annotated[str | None, Argument("whose task it is", read.text, ""), DOCUMENTATION]
    doc_md: Annotated[str | None, Argument("what is to be known about it", read.text, ""), DOCUMENTATION]

    on_execute_callback: Annotated[
        Callbacks, Argument("called with the context in the try's process, before the task", callbacks)
    ]
    on_failure_callback: Annotated[
        Callbacks, Argument("called with the context once it has failed for good", callbacks)
    ]
    on_retry_callback: Annotated[
        Callbacks, Argument("called once a try has failed and another is to follow", callbacks)
    ]
    on_skipped_callback: Annotated[Callbacks, Argument("called once a try of it has raised TaskSkipped", callbacks)]
    on_success_callback: Annotated[Callbacks, Argument("called once it has succeeded", callbacks)]
    email: Annotated[
        str | Sequence[str] | None, Argument("who is sent an e-mail, by the Connection `smtp_default`", addresses)
    ]
    email_on_failure: Annotated[bool | None, Argument("whether that is sent once it has failed for good", switch, True)]
    email_on_retry: Annotated[bool | None, Argument("whether that is sent before each further try", switch, True)]
    map_index_template: Annotated[
        str | None,
        Argument(
            "of a mapped task, or one in a mapped group: a template of what an instance is called beside its index",
            read.or_none(read.text),
        ),
    ]
    pre_execute: unsupported.NotCalled
    post_execute: unsupported.NotCalled
    sla: Annotated[None, Unsupported("is not watched yet; leave it out")]
    run_as_user: Annotated[None, Unsupported("changes no user; run Tailrace as that user, or use sudo in the command")]
    ignore_first_depends_on_past: Annotated[
        Literal[True] | None,
        Unsupported(
            "decides nothing: where there is no earlier run, depends_on_past is met; leave it out", (None, True)
        ),
    ]
    task_concurrency: Annotated[None, Unsupported("is now max_active_tis_per_dag; write that")]
    xcom_push: Annotated[None, Unsupported("is now do_xcom_push; write that")]
    skip_exit_code: Annotated[None, Unsupported("is now skip_on_exit_code; write that")]
    default_args: Annotated[NoDict, Unsupported("are the DAG's; give the arguments to the task itself", (None, {}))]
    is_setup: unsupported.NoTeardown
    is_teardown: unsupported.NoTeardown
    on_failure_fail_dagrun: Annotated[
        Off, Unsupported("decides nothing: a run is judged by its last tasks", (None, False))
    ]
    templates_exts: Annotated[
        NoList, Unsupported("names no files: templates in files are for bash_command", (None, [], ()))
    ]
    output_processor: Annotated[
        None, Unsupported("changes no XCom: that is the last line as it is; change it where it is used")
    ]
    deferrable: Annotated[
        Off, Unsupported("waits nowhere else; mode='reschedule' holds no worker either", (None, False))
    ]
    wait_for_past_depends_before_skipping: unsupported.Flag
    allow_nested_operators: unsupported.Flag
    doc: Annotated[str | None, DOCUMENTATION]
    doc_json: unsupported.Text
    doc_rst: unsupported.Text
    doc_yaml: unsupported.Text
    executor: unsupported.Text
    executor_config: unsupported.Dict
    inlets: unsupported.Items
    logger_name: unsupported.Text
    outlets: unsupported.Items
    output_encoding: Annotated[str | None, Unsupported(nothing=(None, "utf-8"))]
    provide_context: unsupported.Flag
    queue: unsupported.Text
    resources: unsupported.Dict
    show_return_value_in_logs: unsupported.Flag
    task_display_name: unsupported.Text


class BashArguments(TypedDict, total=False):
    """How a command is run."""

    env: Annotated[
        Mapping[str, str | XComArg[str]] | XComArg[Any] | None,
        Argument("the environment of the command; None is that of the worker", bash.environment, holds_outputs=True),
    ]
    append_env: Annotated[bool, Argument("whether `env` is added to that of the worker", read.flag, False)]
    cwd: Annotated[
        str | os.PathLike[str] | XComArg[str] | None,
        Argument("the folder it runs in; None is that of the worker", bash.folder, holds_outputs=True),
    ]
    skip_on_exit_code: Annotated[
        int | Collection[int] | None, Argument("the exit code, or several, that skips", bash.exit_codes, 99)
    ]


class CallArguments(TypedDict, total=False):
    """The arguments for a function, decorated or not."""

    templates_dict: Annotated[
        Mapping[str, Any] | None,
        Argument("values to render, for a parameter of that name", read.arguments, holds_outputs=True),
    ]
    multiple_outputs: Annotated[bool, Argument("whether each key of the dict it returns is an XCom", read.flag, False)]


class PythonArguments(CallArguments, total=False):
    """What a function is called with, where no call of it makes the task."""

    op_args: Annotated[Sequence[Any] | None, Argument("arguments by position", read.items, holds_outputs=True)]
    op_kwargs: Annotated[Mapping[str, Any] | None, Argument("arguments by name", read.arguments, holds_outputs=True)]


class ShortCircuitArguments(TypedDict, total=False):
    """How far a short circuit reaches."""

    ignore_downstream_trigger_rules: Annotated[
        bool, Argument("whether all below it is skipped, or only what is directly below", read.flag, True)
    ]


BASH_COMMAND = Argument("the command", bash.command, MISSING, holds_outputs=True)
PYTHON_CALLABLE = Argument("the function; template variables go by name to its parameters", read.function, MISSING)


class DefaultArguments(
    CommonArguments, BashArguments, PythonArguments, ShortCircuitArguments, WaitArguments, total=False
):
    """``default_args`` of a DAG. Where your own operators have arguments, make a subclass that has them."""

    bash_command: Annotated[str, BASH_COMMAND]
    python_callable: Annotated[Callable[..., Any], PYTHON_CALLABLE]
    mode: Annotated[str, MODE]  # an operator of your own may have others
    start_date: Annotated[datetime | str | None, Argument("the DAG's, where that has none of its own")]
    end_date: Annotated[datetime | str | None, Argument("the DAG's, where that has none of its own")]


#: What every operator takes.
TASK_ARGUMENTS = arguments_of(CommonArguments)
