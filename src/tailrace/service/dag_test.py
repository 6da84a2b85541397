"""``DAG.test``: one run of a DAG in this process, by the real loops, over a metastore that is thrown away.

What decides, claims and records is what decides, claims and records elsewhere; only the tasks have no process of their
own, so that a debugger can follow them.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.dags.dag import DAG
from tailrace.authoring.dags.tested import TestedRun, TestedTask
from tailrace.effects.events import EventClaim
from tailrace.effects.requests import DagBag, Effect, NextTry
from tailrace.effects.tries import Submission, TaskReply, TaskRequest, XComQuery
from tailrace.errors import AuthoringError, CommandError
from tailrace.execution.logs.files import show_logging
from tailrace.execution.system.identity import own_identity
from tailrace.execution.tries.in_process import InProcessExecutor, TasksHere, environment
from tailrace.execution.workers.loop import worker_loop
from tailrace.execution.xcoms.jsonable import NotJson, as_json
from tailrace.execution.xcoms.reading import value_of
from tailrace.jobs.lane_step import LoopIntervals
from tailrace.jobs.scheduler import scheduler_loop
from tailrace.metastore.store import Metastore
from tailrace.model.json_values import json_text
from tailrace.model.recorded import RecordsQuery
from tailrace.model.spec import DEFAULT_POOL, DagSpec
from tailrace.model.states import JobKind
from tailrace.model.tagged_values import Tagged
from tailrace.planning.messages import plainly
from tailrace.runtime.driver import JobDriver, drive, drive_job
from tailrace.runtime.opening import new_write_id
from tailrace.runtime.secrets import SecretSettings
from tailrace.runtime.settings import load_settings
from tailrace.runtime.signals import Interrupts
from tailrace.runtime.task_settings import of_tasks
from tailrace.runtime.worker import worker_performer
from tailrace.secrets.names import SecretKind, environment_names
from tailrace.secrets.unwritten import UnwrittenVariables
from tailrace.service.confs import canonical_conf
from tailrace.service.secrets import given_secrets
from tailrace.service.stores import Stores
from tailrace.service.triggering import trigger

#: Nobody takes the job or a try for dead, however long a debugger halts it; in seconds.
_FOREVER = 10.0**8


def run_here(
    dag: DAG,
    logical_date: datetime | str | None,
    run_conf: Mapping[str, Any] | None,
    mark_success_pattern: str | None,
    files: Mapping[SecretKind, str | None],
) -> TestedRun:
    """Run it, and return what became of it. Raises AuthoringError and CommandError for what cannot be run."""
    spec = _compiled(dag)
    pattern = _pattern(mark_success_pattern)
    show_logging()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-dag-test-")))
        stack.enter_context(environment(_given(files) | of_tasks(load_settings())))
        metastore = stack.enter_context(closing(Metastore.open(f"sqlite:///{home / 'tailrace.db'}")))
        replies = stack.enter_context(closing(_Replies(metastore)))
        tasks = TasksHere(dag, spec, str(home), replies.read, lambda task_id: bool(pattern and pattern.search(task_id)))
        stack.enter_context(tasks.in_charge())
        date = logical_date.isoformat() if isinstance(logical_date, datetime) else logical_date
        run_id = trigger(metastore, spec, date, None, _conf(run_conf), plainly).run_id
        _drive(metastore, spec, home, tasks)
        _call_back(metastore, spec, tasks)
        with environment({"TAILRACE_HOME": str(home)}):  # where its frames are
            return _became(metastore, spec, run_id)


def _compiled(dag: DAG) -> DagSpec:
    """As it would be loaded from its file, but without what needs a past, a pool, or time to be tried again."""
    if DAG.current() is dag:
        raise AuthoringError(f"{dag.dag_id}.test() is called inside its own `with` block; call it below that")
    spec = compile_dag(dag, dag.file, "")
    if spec is None:
        raise AuthoringError("; ".join(map(str, dag.mistakes)))
    tasks = tuple(replace(each, retries=0, pool=DEFAULT_POOL, pool_slots=1) for each in spec.tasks)
    return replace(spec, tasks=tasks, paused_at_creation=None)


def _pattern(text: str | None) -> "re.Pattern[str] | None":
    try:
        return None if text is None else re.compile(text)
    except re.error as wrong:
        raise CommandError(f"mark_success_pattern is no regular expression: {wrong}") from None


def _conf(given: Mapping[str, Any] | None) -> str | None:
    try:
        return None if given is None else canonical_conf(json_text(as_json(given, "run_conf")))
    except NotJson as wrong:
        raise CommandError(str(wrong)) from None


def _given(files: Mapping[SecretKind, str | None]) -> dict[str, str]:
    """What files of Variables and Connections hold, as variables of the environment: they go before all others."""
    found: dict[str, str] = {}
    for kind, name in files.items():
        if name is not None:
            try:
                text = Path(name).read_text()
            except (OSError, ValueError) as trouble:
                raise CommandError(f"{name} cannot be read: {trouble}") from None
            given = given_secrets(kind, text, name)
            found |= {environment_names(kind, each)[0]: text for each, text in given.items()}
    return found


def _drive(metastore: Metastore, spec: DagSpec, home: Path, tasks: TasksHere) -> None:
    """Drive the run to its end as a scheduler does that knows this DAG alone, and creates no other run of it."""
    perform_of_worker = worker_performer(metastore, home, tasks.perform)

    def serve(submission: Submission) -> None:
        coming: Iterator[Submission] = iter((submission,))

        def perform(effect: Effect[Any]) -> Any:
            return next(coming, None) if isinstance(effect, NextTry) else perform_of_worker(effect)

        drive(worker_loop(_FOREVER), perform)

    identity = own_identity()
    job_id = metastore.start_job(JobKind.SCHEDULER, identity, None, None, _FOREVER, new_write_id())
    bag = DagBag({spec.dag_id: spec}, unscheduled=frozenset({spec.dag_id}))
    with _uninterrupted() as interrupts:
        driver = JobDriver(
            metastore,
            InProcessExecutor(serve),
            interrupts,
            identity,
            _FOREVER,
            plenty=len(spec.tasks),
            on_event=lambda event: None,
            watch=lambda waited: None,
            read_dags=lambda: bag,
        )
        drive_job(
            metastore,
            job_id,
            scheduler_loop(
                job_id, LoopIntervals(callbacks=0.0, max_map_length=load_settings().max_map_length), until_idle=True
            ),
            driver.perform,
        )


def _call_back(metastore: Metastore, spec: DagSpec, tasks: TasksHere) -> None:
    """Call the callbacks of what has happened, one event after the other."""
    while True:
        found = metastore.claim_event({spec.dag_id}, "DAG.test", _FOREVER, new_write_id())
        if not isinstance(found, EventClaim):
            return
        metastore.end_event(found, tasks.call_back(found))


@contextmanager
def _uninterrupted() -> Iterator[Interrupts]:
    """Its handlers are not put in place: Ctrl-C is the debugger's, or ends the test."""
    with ExitStack() as stack:
        interrupts = Interrupts()
        stack.push(interrupts)
        yield interrupts


class _Replies:
    """Gives tasks XComs of the run, and the project's Variables and Connections. What they set is for the run alone."""

    def __init__(self, metastore: Metastore) -> None:
        self._metastore = metastore
        self._project: Stores | None = None
        self._settings = load_settings()
        self._secrets = UnwrittenVariables(SecretSettings.of(self._settings).lookup(self._stored))

    def close(self) -> None:
        """Close the project's metastore."""
        if self._project is not None:
            self._project.close()

    def read(self, request: TaskRequest) -> TaskReply:
        """What a task asks for."""
        if isinstance(request, RecordsQuery):
            return self._metastore.recorded(request)
        return self._metastore.read_xcom(request) if isinstance(request, XComQuery) else self._secrets.reply(request)

    def _stored(self) -> Metastore | None:
        if self._project is None:
            self._project = Stores(self._settings)
        file = self._settings.sqlite_file
        return None if file is not None and not file.exists() else self._project.reading()


def _became(metastore: Metastore, spec: DagSpec, run_id: str) -> TestedRun:
    (found,) = metastore.find_runs(spec.dag_id, run_id)
    run = metastore.show_run(found.id)
    xcoms: dict[tuple[str, int], dict[str, Any]] = {}
    for key in sorted({each.key for each in metastore.recorded_xcoms(found.id)}):
        reply = metastore.read_xcom(XComQuery(spec.dag_id, run_id, (), key))
        for task_id, map_index, value in reply if isinstance(reply, tuple) else ():
            xcoms.setdefault((task_id, map_index), {})[key] = (
                value_of(value, f"the XCom {key!r} of {task_id}") if isinstance(value, Tagged) else value
            )
    tasks = tuple(
        TestedTask(each.task_id, each.map_index, each.state, each.reason, xcoms.get((each.task_id, each.map_index), {}))
        for each in metastore.task_instances_of(found.id)
    )
    return TestedRun(spec.dag_id, run_id, run.logical_date, run.state, run.reason, tasks)
