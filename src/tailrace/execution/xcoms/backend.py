"""A class of a person's own that keeps XComs elsewhere, as the setting ``xcom_backend`` names it.

``serialize_value(value, *, key, task_id, dag_id, run_id, map_index)`` returns what is stored instead of the value, a
URL say, or the value itself, which is then stored as ever; ``deserialize_value(stored)`` makes the value again. Both
are called in the task's process. The names are those of Airflow's XCom backends.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

from tailrace.errors import EnvironmentBroken, XComUnreadable
from tailrace.execution.xcoms.limits import BACKEND
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.plain_text import on_one_line
from tailrace.model.tagged_values import TAG
from tailrace.named_classes import class_of

GROUP = "tailrace.xcom_backends"


class BackendFailed(Exception):
    """The backend is not there, or raised; the message says which and what."""


def backend_named() -> str:
    """The backend that the settings name; "" for none."""
    return os.environ.get(BACKEND, "")


def instead_of(value: Any, key: str, ti: TaskInstanceKey) -> Any:
    """What is to be stored instead of a value; the value itself where the backend leaves it. Raises BackendFailed."""
    name = backend_named()
    try:
        return _made(name).serialize_value(
            value, key=key, task_id=ti.task_id, dag_id=ti.dag_id, run_id=ti.run_id, map_index=ti.map_index
        )
    except Exception as wrong:
        raise BackendFailed(_failed(name, wrong)) from wrong


def reference(stored: Any, value: Any) -> dict[str, Any]:
    """The tag around what is stored: the backend that makes the value of it, and how many items that has."""
    node = {TAG: "backend", "backend": backend_named(), "of": stored}
    return {**node, "items": len(value)} if isinstance(value, (list, tuple, dict)) else node


def restored(node: Mapping[str, Any], stored: Any) -> Any:
    """The value that a tag stands for: the settings name the class that makes it, never what is stored."""
    name = backend_named()
    if not name:
        raise XComUnreadable(f"it was kept by the XCom backend {node['backend']}: name it as xcom_backend")
    try:
        return _made(name).deserialize_value(stored)
    except Exception as wrong:
        raise XComUnreadable(_failed(name, wrong)) from wrong


def _failed(name: str, wrong: Exception) -> str:
    if isinstance(wrong, EnvironmentBroken):
        return str(wrong)
    why = on_one_line(" ".join(str(wrong).split()))[:200]
    return f"the XCom backend {name} raised {type(wrong).__name__}: {why}"


@functools.lru_cache(maxsize=4)
def _made(name: str) -> Any:
    return class_of(name, GROUP, "xcom_backend", "XCom backend")()
