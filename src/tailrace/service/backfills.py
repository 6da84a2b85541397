"""Creates the backfill that a person asked for, or continues it, or says what that would do; and how it ended.

Imported only after the zygote is forked (see ``launch``), because this is where SQLAlchemy comes in.
"""

import time
from contextlib import closing
from datetime import UTC, datetime

from msgspec.structs import replace

from tailrace.errors import EnvironmentBroken
from tailrace.execution.messages.loading_process import LoadReport
from tailrace.execution.zygote.handle import ZygoteHandle
from tailrace.jobs.backfill import BackfillEnd, Ending
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.summaries import BackfillSummary
from tailrace.model.spec import DEFAULT_POOL, DEFAULT_POOL_SLOTS, DagSpec
from tailrace.model.states import DagRunState
from tailrace.planning.backfills import BackfillCreation, BackfillFacts, BackfillRequest
from tailrace.planning.choosing import Choice, chosen
from tailrace.planning.creation import plan_backfill
from tailrace.planning.messages import Message, Refused, Typed, Unusable
from tailrace.planning.notices import DoneAlready, NoScheduler
from tailrace.planning.verdicts import state_by_runs
from tailrace.runtime.backfill import drive_backfill
from tailrace.runtime.listeners import BackfillStarted, Listener
from tailrace.runtime.opening import new_write_id, open_metastore, prepare_folders
from tailrace.runtime.settings import Settings
from tailrace.runtime.signals import Interrupts
from tailrace.service.backfill_report import (
    EXIT_CODES,
    BackfillCommand,
    BackfillEnding,
    BackfillPreview,
    BackfillReport,
)
from tailrace.service.confs import require_params
from tailrace.service.dag_lookup import find_dag, with_mistakes
from tailrace.service.dates import LogicalRange, range_for
from tailrace.service.reason_structs import plain_notices
from tailrace.service.reported_backfills import root_of
from tailrace.service.triggering import Triggered, trigger

_CREATION_ATTEMPTS = 20


def run(command: BackfillCommand, settings: Settings, listener: Listener, zygote: ZygoteHandle) -> BackfillReport:
    """Create or continue the backfill and drive it until it ends, or until somebody interrupts."""
    began = time.monotonic()
    report = zygote.loaded()
    dag = find_dag(report, command.dag_id, settings.dags)
    dates = range_for(dag, command.start, command.end, datetime.now(UTC))
    request = _request(dag, command, dates)
    if (done := _done_already(dag, request, dates, report, settings, began)) is not None:
        return done
    with closing(open_metastore(settings, runs_tasks=True)) as metastore, Interrupts() as interrupts:
        _keep(metastore, report, settings)
        creation, backfill_id = _create(metastore, dag, request, dates, command.typed)
        notices = (*plain_notices(dates.notices), *creation.notices, *_load_notices(report, dag.dag_id))
        started = BackfillStarted(
            backfill_id=backfill_id,
            continued=creation.continues is not None,
            creation=replace(creation, notices=notices),
            metastore=metastore.describe(),
            executor=settings.executor,
            workers=settings.workers,
        )
        listener.on_start(started)
        end = drive_backfill(metastore, settings, zygote, dag, backfill_id, listener, interrupts, began)
        metastore.require_same_content()
        summary = metastore.backfill_summary(backfill_id)
        return _report(summary, end, interrupts, time.monotonic() - began, settings, dag, notices)


def detach(command: BackfillCommand, settings: Settings, zygote: ZygoteHandle) -> BackfillReport:
    """Create the backfill, or continue it, for schedulers to drive; returns at once."""
    began = time.monotonic()
    report = zygote.loaded()
    dag = find_dag(report, command.dag_id, settings.dags)
    dates = range_for(dag, command.start, command.end, datetime.now(UTC))
    request = _request(dag, command, dates)
    if (done := _done_already(dag, request, dates, report, settings, began)) is not None:
        return done
    with closing(open_metastore(settings)) as metastore:
        _keep(metastore, report, settings)
        creation, backfill_id = _create(metastore, dag, request, dates, command.typed)
        notices = (*plain_notices(dates.notices), *creation.notices, *_load_notices(report, dag.dag_id))
        if not metastore.is_scheduler_alive():
            notices += (NoScheduler(),)
        summary = metastore.backfill_summary(backfill_id)
        return BackfillReport(
            backfill_id=backfill_id,
            dag_id=dag.dag_id,
            state=BackfillEnding(summary.state),
            exit_code=0,
            runs=summary.runs,
            task_instances=summary.task_instances,
            seconds=time.monotonic() - began,
            failed=summary.failures.everywhere,
            failed_inside=summary.failures.inside,
            failures=summary.failed,
            part=summary.part,
            notices=notices,
        )


def _done_already(
    dag: DagSpec,
    request: BackfillRequest,
    dates: LogicalRange,
    report: LoadReport,
    settings: Settings,
    began: float,
) -> BackfillReport | None:
    """How it stands, where an earlier command has done all of it: nothing is written then. None where there is more."""
    if settings.shared_group:  # a home that is not shared as it must be is said all the same
        prepare_folders(settings, runs_tasks=True)
    metastore = _readable(settings)
    if metastore is None:
        return None
    with closing(metastore):
        if request.new or metastore.ended_backfill(request) is None:  # the rest is as much work as creating it
            return None
        creation = plan_backfill(dag, request, dates.intervals, metastore.backfill_facts(dag, request, dates.intervals))
        if creation.done_by is None:
            return None
        summary = metastore.backfill_summary(creation.done_by)
    counts = {DagRunState(state): count for state, count in summary.runs.items()}
    state = BackfillEnding(state_by_runs(counts))
    root = root_of(summary, settings, dag) if state is not BackfillEnding.SUCCESS else None
    return BackfillReport(
        backfill_id=summary.id,
        dag_id=dag.dag_id,
        state=state,
        exit_code=0 if request.detached else _exit_code(state, summary, settings),
        runs=summary.runs,
        task_instances=summary.task_instances,
        seconds=time.monotonic() - began,
        blocked=summary.blocked,
        root_failure=root,
        left_failed=sum(count for state, count in counts.items() if state is not DagRunState.SUCCESS),
        done_already=True,
        failed=summary.failures.everywhere,
        failed_inside=summary.failures.inside,
        failures=summary.failed,
        part=summary.part,
        notices=(
            *plain_notices(dates.notices),
            *(each for each in creation.notices if not isinstance(each, DoneAlready)),  # the summary says so
            *_load_notices(report, dag.dag_id),
        ),
    )


def _readable(settings: Settings) -> Metastore | None:
    """The metastore, to look what is done; None where there is none yet, or one to be migrated first."""
    try:
        return Metastore.open_to_read(settings.database_url)
    except Unusable:
        return None


def preview(command: BackfillCommand, settings: Settings, zygote: ZygoteHandle) -> BackfillPreview:
    """What the command would do. Writes nothing: a metastore that does not exist yet is taken as empty."""
    report = zygote.loaded()
    dag = find_dag(report, command.dag_id, settings.dags)
    dates = range_for(dag, command.start, command.end, datetime.now(UTC))
    request = _request(dag, command, dates)
    metastore = Metastore.open_to_read(settings.database_url)
    if metastore is None:
        facts = BackfillFacts(datetime.now(UTC), pools={DEFAULT_POOL: DEFAULT_POOL_SLOTS})
    else:
        with closing(metastore):
            facts = metastore.backfill_facts(dag, request, dates.intervals)
    creation = plan_backfill(dag, request, dates.intervals, facts)
    creation = replace(
        creation, notices=(*plain_notices(dates.notices), *creation.notices, *_load_notices(report, dag.dag_id))
    )
    return BackfillPreview(creation, dag, str(settings.database_url))


def trigger_loaded(
    dag_id: str,
    logical_date: str | None,
    run_id: str | None,
    conf: str | None,
    settings: Settings,
    zygote: ZygoteHandle,
    typed: Typed,
) -> Triggered:
    """Create one run of a DAG as its file has it now."""
    report = zygote.loaded()
    dag = find_dag(report, dag_id, settings.dags)
    with closing(open_metastore(settings)) as metastore:
        _keep(metastore, report, settings)
        return trigger(metastore, dag, logical_date, run_id, conf, typed)


def _keep(metastore: Metastore, report: LoadReport, settings: Settings) -> None:
    """Keep the DAGs as they were loaded, before anything of them is created: what is new may have to be paused."""
    metastore.store_loaded(report.to_keep, new_write_id(), paused=settings.dags_are_paused_at_creation)


def _load_notices(report: LoadReport, dag_id: str) -> tuple[Message, ...]:
    broken = with_mistakes(report)
    notes = plain_notices(note.message for note in report.notes if note.dag_id == dag_id)
    return (*plain_notices(report.notices), *(() if broken is None else (broken,)), *notes)


def _request(dag: DagSpec, command: BackfillCommand, dates: LogicalRange) -> BackfillRequest:
    require_params(dag, command.conf)
    return BackfillRequest(
        dag_id=command.dag_id,
        start=dates.first,
        end=dates.last,
        reprocess=command.reprocess,
        new=command.new,
        conf=command.conf,
        disable_retry=command.disable_retry,
        mark_success=command.mark_success,
        ignore_first_depends_on_past=command.ignore_first_depends_on_past,
        pool=command.pool,
        max_active_runs=command.max_active_runs,
        backwards=command.backwards,
        stop_on_failure=command.stop_on_failure,
        detached=command.detached,
        part=chosen(dag, Choice(command.tasks, command.upstream, command.downstream)),
    )


def _create(
    metastore: Metastore, dag: DagSpec, request: BackfillRequest, dates: LogicalRange, typed: str
) -> tuple[BackfillCreation, int]:
    """Read, decide, write; and again when somebody else changed the range in between."""
    for _ in range(_CREATION_ATTEMPTS):
        facts = metastore.backfill_facts(dag, request, dates.intervals)
        creation = plan_backfill(dag, request, dates.intervals, facts)
        if creation.refusals:
            raise Refused(*creation.refusals)
        backfill_id = metastore.create_backfill(dag, creation, typed, new_write_id())
        if isinstance(backfill_id, int):
            return creation, backfill_id
    raise EnvironmentBroken(
        f"others keep changing the runs of {dag.dag_id} in this range; try again when they are done"
    )


def _report(
    summary: BackfillSummary,
    end: BackfillEnd,
    interrupts: Interrupts,
    seconds: float,
    settings: Settings,
    dag: DagSpec,
    notices: tuple[Message, ...],
) -> BackfillReport:
    if end.ending is Ending.JUDGED:
        state = BackfillEnding(summary.state)
    elif end.ending is Ending.PAUSED:
        state = BackfillEnding.PAUSED
    else:
        state = BackfillEnding.INTERRUPTED
    return BackfillReport(
        backfill_id=summary.id,
        dag_id=summary.dag_id,
        state=state,
        exit_code=interrupts.exit_code if state is BackfillEnding.INTERRUPTED else _exit_code(state, summary, settings),
        runs=summary.runs,
        task_instances=summary.task_instances,
        seconds=seconds,
        blocked=summary.blocked,
        root_failure=root_of(summary, settings, dag),
        left_failed=summary.left_failed,
        failed=summary.failures.everywhere,
        failed_inside=summary.failures.inside,
        failures=summary.failed,
        part=summary.part,
        last_command=summary.last_command,
        notices=notices,
    )


def _exit_code(state: BackfillEnding, summary: BackfillSummary, settings: Settings) -> int:
    """By the verdict over the runs; what failed inside of them counts only where somebody has asked for it."""
    if state is BackfillEnding.SUCCESS and summary.failures.inside and settings.fail_on_task_failure:
        return EXIT_CODES[BackfillEnding.FAILED]
    return EXIT_CODES[state]
