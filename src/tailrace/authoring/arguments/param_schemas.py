"""Whether a value fits a param's JSON Schema (draft 2020-12, as Airflow checks its params).

That is another's language: its library is loaded for a param that has a schema, and for nothing else.
"""

import importlib
import json
import sys
import threading
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

from tailrace.authoring.arguments.bounded import SECONDS, TookTooLong, bounded
from tailrace.model.plain_text import shown, visible_line
from tailrace.model.spec import ParamSpec
from tailrace.model.suggestions import did_you_mean


def fault_of_schema(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a JSON Schema; None for a right one."""
    library = importlib.import_module("jsonschema")
    try:
        library.Draft202012Validator.check_schema(schema)
    except library.exceptions.SchemaError as wrong:
        return visible_line(wrong.message, 200)
    return None


def fault_of_value(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why a value does not fit a JSON Schema, which was checked; None for one that does.

    A pattern may backtrack for ever: such a check is given up.
    """
    if not _has_pattern(schema):
        return _fault(value, schema)
    if threading.current_thread() is not threading.main_thread():
        return _fault_found_by_another(value, schema)
    try:
        return bounded(lambda: _fault(value, schema))
    except TookTooLong:
        return (
            f"its schema's pattern was not checked to its end within {SECONDS:g} s: write it without repetitions in "
            "repetitions, such as (a+)+"
        )


def _has_pattern(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        return any("pattern" in str(name) or _has_pattern(each) for name, each in schema.items())
    return isinstance(schema, (list, tuple)) and any(map(_has_pattern, schema))


def _fault_found_by_another(value: Any, schema: Mapping[str, Any]) -> str | None:
    """The same from the main thread of another process: only that can be interrupted."""
    code = f"import json, sys; from {__name__} import fault_of_value as f; print(json.dumps(f(*json.load(sys.stdin))))"
    subprocess = importlib.import_module("subprocess")
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps([value, schema]), capture_output=True, text=True, check=True
    )
    found: str | None = json.loads(done.stdout)
    return found


def _fault(value: Any, schema: Mapping[str, Any]) -> str | None:
    library = importlib.import_module("jsonschema")
    nothing_elsewhere = importlib.import_module("referencing").Registry()  # a schema sends nobody to the network
    validator = library.Draft202012Validator(schema, registry=nothing_elsewhere, format_checker=_formats(library))
    try:
        worst = library.exceptions.best_match(validator.iter_errors(value))
    except Exception as wrong:  # a reference to nowhere, a pattern that is none
        return f"its schema cannot be used: {visible_line(str(wrong), 200)}"
    if worst is None:
        return None
    place = "".join(f"[{shown(part)}]" for part in worst.absolute_path)
    return visible_line(f"{place}: {worst.message}" if place else worst.message, 300)


def faults_in(params: Iterable[ParamSpec], conf: Mapping[str, Any]) -> list[str]:
    """Why a run may not be given this conf, a line for each param that it does not fit."""
    params = list(params)
    names = {param.name for param in params}
    found = []
    for param in params:
        whose = f"param {param.name!r}" + (f" of task {param.task_id}" if param.task_id else "")
        if param.name in conf:
            fault = fault_of_value(conf[param.name], json.loads(param.schema)) if param.schema else None
            if fault:
                found.append(f"{whose}: {fault}")
        elif param.default is None:
            near = did_you_mean(param.name, [key for key in conf if key not in names])
            found.append(f"{whose} has no default: give it with --conf '{{{json.dumps(param.name)}: …}}'{near}")
    return found


def _formats(library: Any) -> Any:
    """The library's own checks of ``format``, and those of dates and times as Python reads them."""
    checker = library.FormatChecker()
    for name, read in (
        ("date", date.fromisoformat),
        ("date-time", datetime.fromisoformat),
        ("time", time.fromisoformat),
    ):
        checker.checks(name, raises=ValueError)(_reads(read))
    return checker


def _reads(read: Any) -> Any:
    return lambda value: not isinstance(value, str) or read(value) is not None
