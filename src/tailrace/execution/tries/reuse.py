"""Which tasks leave their process as good as new: nothing but our own code runs in it, and nothing of a try stays.

The author's code can reach into such a process through a class of its own, a function in a template, or a template
that is written later. Whatever is not known to be harmless gets a process of its own for each try.
"""

import importlib
import os
import resource
from collections.abc import Iterator
from typing import Any

from tailrace.authoring.dags.dag import DAG, BaseOperator
from tailrace.authoring.operators.shipped import BashOperator, EmptyOperator
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.authoring.templates.fields import is_template, may_name_file

#: What they start has a process of its own.
_OURS_ALONE = (BashOperator, EmptyOperator)

#: Of these classes themselves: a subclass may bring code of the author's.
_PLAIN = (str, int, float, bool, type(None), XComArg)

_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))

#: What a template may call: it returns a value, and changes nothing.
_HARMLESS_CALLS = frozenset(
    ("ds_add", "ds_format", "xcom_pull", "strftime", "isoformat", "date", "timestamp", "timedelta", "datetime")
    + ("format", "replace", "split", "strip", "lower", "upper", "join", "get")
)


def may_serve_again(dag: DAG, task: BaseOperator) -> bool:
    """Whether the process of a try of this task may serve the next such try."""
    if type(task) not in _OURS_ALONE or type(dag) is not DAG or dag.user_defined_macros:
        return False
    if task.map_index_template:  # rendered there, with whatever its code has added
        return False
    if task.on_execute_callback:  # called there; all others are called elsewhere
        return False
    if any(callable(value) for value in (*vars(task).values(), *vars(dag).values())):
        return False
    return all(
        _is_harmless(task, field, value) for field in task.template_fields for value in _parts(vars(task).get(field))
    )


def attributes() -> tuple[Any, ...]:
    """What a command may have changed of the process that started it, by its pid: limits, priority, processors."""
    limits = tuple(resource.getrlimit(kind) for kind in _LIMITS)
    try:
        with open("/proc/self/oom_score_adj", "rb", buffering=0) as file:
            killed_first = file.read(16)
    except OSError:  # it may open no more files: as its limits show
        killed_first = b""
    return limits, os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), killed_first


def _parts(value: Any) -> Iterator[Any]:
    """Every value in a field, however deep."""
    if type(value) is dict:
        for name, each in value.items():
            yield name
            yield from _parts(each)
    elif type(value) in (list, tuple):
        for each in value:
            yield from _parts(each)
    else:
        yield value


def _is_harmless(task: BaseOperator, field: str, value: Any) -> bool:
    if type(value) not in _PLAIN or (type(value) is str and may_name_file(task, field, value)):
        return False
    if type(value) is not str or not is_template(value):
        return True
    calls: frozenset[str] | None = importlib.import_module("tailrace.authoring.templates.environment").calls_in(value)
    return calls is not None and calls <= _HARMLESS_CALLS
