"""Writes a compiled DAG as canonical JSON text and reads it back. Which version a run uses is decided elsewhere."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from msgspec import to_builtins

from tailrace.metastore.db.columns import from_json, to_json
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import (
    BranchKind,
    DagSpec,
    DeadlineReference,
    DeadlineSpec,
    EdgeLabel,
    GroupSpec,
    Over,
    ParamSpec,
    RetryAction,
    RetryPolicySpec,
    RetryRuleSpec,
    Schedule,
    ScheduleKind,
    TaskSpec,
    Together,
    XComRef,
)

_DURATIONS = ("retry_delay", "max_retry_delay", "execution_timeout")
_MOMENTS = ("start_date", "end_date")
#: Fields of a DAG that are not in its text where they say nothing.
_NEWER = (
    *("params", "groups", "labels", "dagrun_timeout", "fail_fast", "max_consecutive_failed_dag_runs", "deadline"),
    "calls",
)


def spec_text(dag: DagSpec) -> str:
    """The DAG as canonical JSON: the same DAG is the same text in every process. Durations are in seconds."""
    fields = _plain(to_builtins(dag, builtin_types=(datetime, timedelta)))
    if fields["paused_at_creation"] is None:
        del fields["paused_at_creation"]
    for name in _NEWER:  # structures from before there were these fields stay the same
        if not fields[name]:
            del fields[name]
    for task in fields["tasks"]:
        for name in ("mapped_over", "retry_policy"):
            if task[name] is None:
                del task[name]
        for name in ("calls", "mapped_group"):
            if not task[name]:
                del task[name]
    return to_json(fields)


def spec_hash(text: str) -> str:
    """The identity of a structure: sha256 of its text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def spec_from(text: str) -> DagSpec:
    """The DAG that ``spec_text`` wrote, by this Tailrace or one that knew fewer fields: as it is, whatever it holds."""
    fields = from_json(text)
    fields["tasks"] = tuple(_task(task) for task in fields["tasks"])
    schedule = fields["schedule"]
    fields["schedule"] = Schedule(ScheduleKind(schedule["kind"]), schedule["expression"], schedule["timezone"])
    fields["tags"] = tuple(fields["tags"])
    fields["params"] = tuple(ParamSpec(**each) for each in fields.get("params", ()))
    fields["groups"] = tuple(GroupSpec(**{**each, "tasks": tuple(each["tasks"])}) for each in fields.get("groups", ()))
    fields["labels"] = tuple(EdgeLabel(**each) for each in fields.get("labels", ()))
    fields["calls"] = tuple(fields.get("calls", ()))
    for name in _MOMENTS:
        fields[name] = None if fields[name] is None else datetime.fromisoformat(fields[name])
    if fields.get("dagrun_timeout") is not None:
        fields["dagrun_timeout"] = timedelta(seconds=fields["dagrun_timeout"])
    if (deadline := fields.get("deadline")) is not None:
        moment = None if deadline["moment"] is None else datetime.fromisoformat(deadline["moment"])
        reference, interval = DeadlineReference(deadline["reference"]), timedelta(seconds=deadline["interval"])
        fields["deadline"] = DeadlineSpec(reference, interval, moment)
    return DagSpec(**fields)


def _task(fields: dict[str, Any]) -> TaskSpec:
    for name in _DURATIONS:
        fields[name] = None if fields[name] is None else timedelta(seconds=fields[name])
    over, policy = fields.get("mapped_over"), fields.get("retry_policy")
    return TaskSpec(
        **{
            **fields,
            "upstream": tuple(fields["upstream"]),
            "downstream": tuple(fields["downstream"]),
            "trigger_rule": TriggerRule(fields["trigger_rule"]),
            "decides": BranchKind(fields["decides"]),
            "mapped_over": None if over is None else tuple(map(_mapped_over, over)),
            "retry_policy": None if policy is None else _retry_policy(policy),
            "calls": tuple(fields.get("calls", ())),
        }
    )


def _retry_policy(stored: dict[str, Any]) -> RetryPolicySpec:
    rules = (
        RetryRuleSpec(
            tuple(each["exceptions"]),
            RetryAction(each["action"]),
            None if each["retry_delay"] is None else timedelta(seconds=each["retry_delay"]),
            each["reason"],
            each["match_subclasses"],
        )
        for each in stored["rules"]
    )
    return RetryPolicySpec(tuple(rules), RetryAction(stored["default"]))


def _mapped_over(stored: int | list[Any] | dict[str, str]) -> Over:
    if isinstance(stored, list):
        how, of = stored
        return Together(how, tuple(map(_mapped_over, of)))
    return stored if isinstance(stored, int) else XComRef(**stored)


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
