"""Explanations as text, table rows and JSON: one place that knows their fields. Why things wait is ``planning``'s."""

from collections.abc import Iterator

from tailrace.cli.speaking import state_styled_answer
from tailrace.cli.summary import blocked_json
from tailrace.cli.tables import Column, plain_table
from tailrace.cli.views import interval_text, json_moment, moment_text
from tailrace.model.keys import UNMAPPED
from tailrace.planning.explained import JobFacts, RunFacts, TryFacts
from tailrace.planning.explaining import RunExplanation, TaskInstanceExplanation
from tailrace.planning.releasing import Release, owner_text
from tailrace.runtime.dates import interval_json

EXPLAINED_COLUMNS = (
    Column("task_id"),
    Column("state", state=True),
    Column("try", number=True),
    Column("why"),
    Column("what would release it"),
)
_DEPENDENCY_COLUMNS = (Column("dependency"), Column("met"), Column("reason"))
_TRY_COLUMNS = (
    Column("try", number=True),
    Column("queued"),
    Column("started"),
    Column("ended"),
    Column("became", state=True),
    Column("reason"),
)


def explained_row(explained: TaskInstanceExplanation) -> tuple[str, ...]:
    """One task instance of a run as a table row."""
    release = explained.release
    words = "" if release is None else release.text + (f" ({release.command})" if release.command else "")
    view = explained.facts.view
    return (_name(explained), str(view.state), str(view.try_number), explained.waits, words)


def run_lines(explained: RunExplanation) -> Iterator[str]:
    """A run's own explanation, line by line."""
    facts = explained.facts
    yield f"{facts.dag_id} / {facts.run.run_id}: {state_styled_answer(str(facts.run.state))}"
    yield interval_text(facts.run.data_interval)
    yield explained.waits
    for wanted in facts.wanted_by:
        paused = ", paused" if wanted.paused else ""
        yield f"wanted by backfill {wanted.backfill_id} ({wanted.state}{paused})"
    if explained.release is not None:
        yield from release_lines(explained.release)


def task_lines(explained: TaskInstanceExplanation, run: RunFacts) -> Iterator[str]:
    """A task instance's explanation, line by line: why, what releases it, each dependency, each try."""
    yield f"{explained.key}: {state_styled_answer(str(explained.facts.view.state))}"
    yield explained.waits
    if explained.doomed:
        yield "it can never run as things stand: what it waits for is final, or blocked itself"
    if explained.release is not None:
        yield from release_lines(explained.release)
        yield f"run: {run.run.state}; {owner_text(run)}"
    if explained.statuses:
        rows = [(each.dependency, "yes" if each.passed else "NO", each.reason) for each in explained.statuses]
        yield plain_table(_DEPENDENCY_COLUMNS, rows)
    if explained.facts.tries:
        yield plain_table(_TRY_COLUMNS, [_try_row(each) for each in explained.facts.tries])


def release_lines(release: Release) -> Iterator[str]:
    """What would release it, and the command to type."""
    yield f"released by: {release.text}"
    if release.command is not None:
        yield f"    {release.command}"


def run_json(explained: RunExplanation) -> dict[str, object]:
    """A run's explanation as JSON, with those of its task instances."""
    facts = explained.facts
    return {
        "dag_id": facts.dag_id,
        "run_id": facts.run.run_id,
        "logical_date": facts.run.logical_date.isoformat(),
        "data_interval": interval_json(facts.run.data_interval),
        "state": str(facts.run.state),
        "why": explained.waits,
        "release": _release_json(explained.release),
        "owner": None if facts.owner is None else _job_json(facts.owner),
        "drivers": [_job_json(each) for each in facts.drivers],
        "blocked": [blocked_json(each) for each in facts.blocked],
        "wanted_by": [
            {
                "backfill_id": each.backfill_id,
                "state": each.state,
                "paused": each.paused,
                "queued_before_it": each.ahead,
                "running": each.active,
                "max_active_runs": each.max_active_runs,
            }
            for each in facts.wanted_by
        ],
        "running_runs": facts.snapshot.dag_active_runs,
        "max_active_runs": facts.snapshot.dag.max_active_runs,
        "task_instances": [task_json(each) for each in explained.task_instances],
    }


def task_json(explained: TaskInstanceExplanation) -> dict[str, object]:
    """A task instance's explanation as JSON."""
    facts, view = explained.facts, explained.facts.view
    holder = view.holder
    return {
        "task_id": explained.key.task_id,
        "map_index": explained.key.map_index,
        "state": str(view.state),
        "try_number": view.try_number,
        "why": explained.waits,
        "dependencies": [
            {"dependency": each.dependency, "met": each.passed, "reason": each.reason} for each in explained.statuses
        ],
        "doomed": explained.doomed,
        "release": _release_json(explained.release),
        "retry_at": json_moment(view.retry_at),
        "queued": json_moment(view.queued_at),
        "start": json_moment(facts.started_at),
        "end": json_moment(facts.ended_at),
        "lease_seconds": facts.lease_seconds,
        "holder": None
        if holder is None
        else {
            "host": holder.worker.host,
            "worker_pid": holder.worker.pid,
            "task_pid": None if holder.task is None else holder.task.pid,
        },
        "tries": [_try_json(each) for each in facts.tries],
    }


def _try_json(tried: TryFacts) -> dict[str, object]:
    return {
        "try_number": tried.number,
        "queued": json_moment(tried.queued_at),
        "start": json_moment(tried.started_at),
        "end": json_moment(tried.ended_at),
        "became": tried.outcome,
        "cause": tried.cause,
        "reason": tried.reason,
    }


def _try_row(tried: TryFacts) -> tuple[str, ...]:
    times = (moment_text(tried.queued_at), moment_text(tried.started_at), moment_text(tried.ended_at))
    return (str(tried.number), *times, tried.outcome or "", tried.reason)


def _job_json(job: JobFacts) -> dict[str, object]:
    return {
        "job_id": job.id,
        "kind": job.kind,
        "host": job.host,
        "pid": job.pid,
        "alive": job.alive,
        "lease_seconds": round(job.lease_seconds, 3),
        "trouble": job.trouble.tries or None,
    }


def _release_json(release: Release | None) -> dict[str, object] | None:
    return None if release is None else {"text": release.text, "command": release.command}


def _name(explained: TaskInstanceExplanation) -> str:
    index = explained.key.map_index
    return explained.key.task_id + ("" if index == UNMAPPED else f"[{index}]")
