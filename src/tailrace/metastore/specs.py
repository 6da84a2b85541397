"""Writes a compiled DAG as canonical JSON text and reads it back. Which version a run uses is decided elsewhere."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from msgspec import convert, to_builtins

from tailrace.metastore.columns import from_json, to_json
from tailrace.model.spec import DagSpec


def spec_text(dag: DagSpec) -> str:
    """The DAG as canonical JSON: the same DAG is the same text in every process. Durations are in seconds."""
    return to_json(_plain(to_builtins(dag, builtin_types=(datetime, timedelta))))


def spec_hash(text: str) -> str:
    """The identity of a structure: sha256 of its text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def spec_from(text: str) -> DagSpec:
    """The DAG that ``spec_text`` wrote."""
    return convert(from_json(text), DagSpec, strict=False)  # not strict: a number of seconds is a duration


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    return value
