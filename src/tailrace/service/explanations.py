"""Explanations of runs and task instances as every interface shows them: the fields are the JSON's."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tailrace.errors import NotFound
from tailrace.model.suggestions import near_or_there
from tailrace.model.task_words import tasks_meant
from tailrace.planning.explain import RunExplanation, TaskInstanceExplanation, explain_run
from tailrace.planning.explain_facts import CallbackFacts, JobFacts, PersonsCommand, TryFacts, WantedBy
from tailrace.planning.messages import Action, Advised, NothingThere, Remedy, Typed
from tailrace.planning.refusals import NoSuchMapIndex
from tailrace.planning.selecting import indexes_text
from tailrace.service.reason_structs import Blocked, Met, Release, blocked_of, met_of, release_of
from tailrace.service.scopes import find_run, removed
from tailrace.service.stores import Stores


class Held(Struct, frozen=True):
    """The processes that hold a try."""

    host: str
    worker_pid: int
    task_pid: int | None


class ExplainedTask(Struct, frozen=True):
    """Why one task instance stands as it does."""

    task_id: str
    map_index: int
    state: str
    try_number: int
    why: str
    dependencies: tuple[Met, ...]
    doomed: bool
    release: Release | None
    retry_at: datetime | None
    queued: datetime | None
    start: datetime | None
    end: datetime | None
    lease_seconds: float | None
    holder: Held | None
    tries: tuple[TryFacts, ...]
    reschedules: int
    times_out_at: datetime | None
    last_command: PersonsCommand | None
    rendered_map_index: str | None
    left_out: tuple[str, ...]  # tasks directly above it that do not count for it: done in other parts, or in none


class DrivingJob(Struct, frozen=True):
    """A job that drives a run, or may; ``trouble`` is why its tries cannot be begun."""

    job_id: int
    kind: str
    host: str
    pid: int
    alive: bool
    lease_seconds: float
    trouble: str | None


class ExplainedRun(Struct, frozen=True):
    """Why a run stands as it does."""

    dag_id: str
    run_id: str
    logical_date: datetime
    data_interval: tuple[datetime, datetime]
    state: str
    why: str
    release: Release | None
    owner: DrivingJob | None
    drivers: tuple[DrivingJob, ...]
    blocked: tuple[Blocked, ...]
    wanted_by: tuple[WantedBy, ...]
    running_runs: int
    max_active_runs: int
    last_command: PersonsCommand | None
    late_since: datetime | None
    callbacks: tuple[CallbackFacts, ...]
    part: tuple[str, ...] | None  # the tasks that it does, or did last; None: all


class ExplainedRunDetails(ExplainedRun, frozen=True, kw_only=True):
    """The same, with its task instances."""

    task_instances: tuple[ExplainedTask, ...]


class ExplainedTaskOfRun(ExplainedTask, frozen=True, kw_only=True):
    """A task instance with its run."""

    run: ExplainedRun


def explained(stores: Stores, dag_id: str, run: str) -> RunExplanation:
    """The planner's decisions about the run that is named. Raises CommandError as ``find_run`` does."""
    metastore = stores.reading()
    found = find_run(metastore, dag_id, run)
    assert metastore is not None  # else no run is found
    try:
        facts = metastore.explained(found.id)
        by_settings = replace(facts.snapshot, max_map_length=stores.settings.max_map_length)
        return explain_run(replace(facts, snapshot=by_settings), stores.typed)
    except KeyError:
        raise removed(dag_id, found.run_id) from None


def instances_of(
    explanation: RunExplanation, task_id: str, map_index: int | None, typed: Typed
) -> list[TaskInstanceExplanation]:
    """The instances of this task, or of all tasks of a group or pattern, or those of this index.

    Raises CommandError with the nearest name, with the indexes that there are, or with why there are none yet.
    """
    dag = explanation.facts.snapshot.dag
    known = dict.fromkeys((*dag.by_id, *(each.key.task_id for each in explanation.task_instances)))
    meant = tasks_meant(task_id, known, dag.members)
    of_task = [each for each in explanation.task_instances if each.key.task_id in meant]
    found = [each for each in of_task if map_index is None or each.key.map_index == map_index]
    if found:
        return found
    facts = explanation.facts
    if of_task and map_index is not None:
        has = indexes_text({each.key.map_index for each in of_task})
        raise NothingThere(NoSuchMapIndex(facts.dag_id, facts.run.run_id, task_id, map_index, has))
    part = facts.run.part
    if meant and part is not None and not any(map(part.holds, meant)):
        of, one = facts.run, meant[0]
        again = Remedy(Action.BACKFILL, facts.dag_id, start=of.logical_date.isoformat(timespec="minutes"), part=(one,))
        does = f"{of.run_id} of {facts.dag_id} does a part of the DAG without {one} ({', '.join(part.tasks or ())}); "
        raise NothingThere(Advised((does, again, " does it")))
    if meant:
        release = "" if explanation.release is None else f"; released by: {explanation.release.render(typed)}"
        raise NotFound(
            f"{facts.run.run_id} of {facts.dag_id} is {facts.run.state}, no task of it has begun: "
            f"{explanation.waits}{release}"
        )
    raise NotFound(f"no task {task_id!r} in {facts.run.run_id} of {facts.dag_id}{near_or_there(task_id, known)}")


def instances_of_all(
    explanation: RunExplanation, task_ids: tuple[str, ...], typed: Typed
) -> tuple[TaskInstanceExplanation, ...]:
    """The instances of all of these, in the order of the run; all there are for none. Raises as ``instances_of``."""
    if not task_ids:
        return explanation.task_instances
    wanted = {id(one) for word in task_ids for one in instances_of(explanation, word, None, typed)}
    return tuple(each for each in explanation.task_instances if id(each) in wanted)


def explained_run(
    explanation: RunExplanation, task_instances: Iterable[TaskInstanceExplanation], typed: Typed
) -> ExplainedRunDetails:
    """A run's explanation with those of these of its task instances, as it is shown."""
    shown = tuple(ExplainedTask(**_of_task(each, typed)) for each in task_instances)
    return ExplainedRunDetails(**_of_run(explanation, typed), task_instances=shown)


def explained_task(explanation: RunExplanation, task: TaskInstanceExplanation, typed: Typed) -> ExplainedTaskOfRun:
    """The explanation of one of its task instances, as it is shown."""
    return ExplainedTaskOfRun(**_of_task(task, typed), run=ExplainedRun(**_of_run(explanation, typed)))


def _of_run(explanation: RunExplanation, typed: Typed) -> dict[str, Any]:
    facts = explanation.facts
    interval = facts.run.data_interval
    return {
        "dag_id": facts.dag_id,
        "run_id": facts.run.run_id,
        "logical_date": facts.run.logical_date,
        "data_interval": (interval.start, interval.end),
        "state": str(facts.run.state),
        "why": explanation.waits,
        "release": release_of(explanation.release, typed),
        "owner": None if facts.owner is None else _job(facts.owner),
        "drivers": tuple(map(_job, facts.drivers)),
        "blocked": tuple(blocked_of(each, typed) for each in facts.blocked),
        "wanted_by": facts.wanted_by,
        "running_runs": facts.snapshot.dag_active_runs,
        "max_active_runs": facts.snapshot.dag.max_active_runs,
        "last_command": facts.last_command,
        "late_since": facts.run.late_since,
        "callbacks": facts.callbacks,
        "part": None if facts.run.part is None else facts.run.part.tasks,
    }


def _of_task(explanation: TaskInstanceExplanation, typed: Typed) -> dict[str, Any]:
    facts, view = explanation.facts, explanation.facts.view
    holder = view.holder
    return {
        "task_id": view.task_id,
        "map_index": view.map_index,
        "state": str(view.state),
        "try_number": view.try_number,
        "why": explanation.waits,
        "dependencies": tuple(met_of(each, typed) for each in explanation.statuses),
        "doomed": explanation.doomed,
        "release": release_of(explanation.release, typed),
        "retry_at": view.retry_at,
        "queued": view.queued_at,
        "start": facts.started_at,
        "end": facts.ended_at,
        "lease_seconds": facts.lease_seconds,
        "holder": None
        if holder is None
        else Held(holder.worker.host, holder.worker.pid, None if holder.task is None else holder.task.pid),
        "tries": facts.tries,
        "reschedules": facts.reschedules,
        "times_out_at": facts.times_out_at,
        "last_command": facts.last_command,
        "rendered_map_index": facts.rendered_map_index,
        "left_out": explanation.left_out,
    }


def _job(job: JobFacts) -> DrivingJob:
    lease = round(job.lease_seconds, 3)
    return DrivingJob(job.id, job.kind, job.host, job.pid, job.alive, lease, job.trouble.tries or None)
