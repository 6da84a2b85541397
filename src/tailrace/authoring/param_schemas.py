"""Whether a value fits a param's JSON Schema (draft 2020-12, as Airflow checks its params).

That is another's language: its library is loaded for a param that has a schema, and for nothing else.
"""

import importlib
import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any

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
    """Why a value does not fit a JSON Schema, which was checked; None for one that does."""
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
