"""A scene in which every write of the metastore has something to do, and ways to run one of them inside another."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from msgspec.structs import replace
from sqlalchemy import text

from tailrace.effects.tries import Claim, ClaimRequest, Refused, TryOutcome
from tailrace.errors import CommandError
from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.db.tables import dag_run, metadata
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.model.keys import ProcessIdentity
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState, JobKind, JobState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandPlan
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.plan import Plan
from tailrace.planning.resizing import plan_resize
from tailrace.planning.schedules import DueRuns, LaneKey
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tests.conformance.listening import listen
from tests.conformance.stories import PLAIN, Drive
from tests.conformance.worlds import DAY, FIRST, LEASE, World, dag, intervals

#: a and b want the one slot of pool one; c is queued, d is running; there is room for one more run.
SPEC = dag("a b c d", a={"pool": "one"}, b={"pool": "one"}, _dag={"max_active_runs": 3})
TABLES = metadata.sorted_tables

_BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@dataclass(frozen=True, slots=True)
class Write:
    """One write, decided before either of the two begins. Of two that want one ``prize``, exactly one may win it.

    With ``once`` it always goes under the same id: the second is a repetition, which gets the first's answer.
    """

    do: Callable[[Metastore, str], Any]
    won: Callable[[Any], bool] = bool
    prizes: frozenset[str] = frozenset()
    once: bool = False


class Scene:
    """A metastore brought back to the same moment as often as one likes, and every write decided in that moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._set()
        self.writes = {**self._planned(), **self._of_tries(), **self._of_people(), **self._of_jobs()}
        world.store._database.write(
            lambda tx: [
                tx.change(text(f"CREATE TABLE kept_{each.name} AS SELECT * FROM {each.name}")) for each in TABLES
            ]
        )

    def back(self) -> None:
        """Everything as it was."""

        empty = [f"DELETE FROM {table.name}" for table in reversed(TABLES)]
        fill = [f"INSERT INTO {table.name} SELECT * FROM kept_{table.name}" for table in TABLES]

        def work(tx: Any) -> None:
            for statement in ["; ".join(empty + fill)] if tx.postgres else empty + fill:
                tx.connection.exec_driver_sql(statement)

        self.world.store._database.write(work)

    def _set(self) -> None:
        world = self.world
        Drive(world, PLAIN, world.backfill(PLAIN, days=2), {}).go()
        world.clock.advance(86400)
        world.pool("one", 1, None)
        world.pool("spare", 1, None)
        self.backfill = world.backfill(SPEC, days=4)
        self.job, self.other = world.job(SPEC, self.backfill), world.job(SPEC, self.backfill)
        self.first, self.second, self.third, self.fourth = (
            row.id for row in world.rows(dag_run) if row.dag_id == SPEC.dag_id
        )
        world.activate(SPEC, self.job, self.first, self.second)
        for id in world.by_task(self.second).values():
            world.run_try(SPEC, self.job, id)
        self.tis = world.by_task(self.first)
        world.queue(SPEC, self.job, self.tis["c"], self.tis["d"])
        self.claim = world.running(self.tis["d"])

    def _planned(self) -> dict[str, Write]:
        world, job = self.world, self.job

        def apply(won: Callable[[Any], bool], *prizes: str, **parts: Any) -> Write:
            plan = Plan(SPEC, job, lane=self.backfill, **parts)
            return Write(lambda store, id: store.apply(plan, id), won, frozenset(prizes))

        lost = world.transition(
            self.tis["d"], TaskInstanceState.UP_FOR_RETRY, Cause.LOST, token=self.claim.token, retry_at=world.clock.now
        )
        verdict = world.verdict(self.second, DagRunState.SUCCESS)
        return {
            "queue a": apply(lambda done: bool(done.won), "slot", transitions=(world.transition(self.tis["a"]),)),
            "queue b": apply(lambda done: bool(done.won), "slot", transitions=(world.transition(self.tis["b"]),)),
            "lose d": apply(lambda done: bool(done.won), "d", transitions=(lost,)),
            "judge": apply(lambda done: bool(done.judged), "second run", run_verdicts=(verdict,)),
            "begin 3": apply(lambda done: bool(done.activated), "window", activations=(world.activation(self.third),)),
            "begin 4": apply(lambda done: bool(done.activated), "window", activations=(world.activation(self.fourth),)),
        }

    def _of_tries(self) -> dict[str, Write]:
        world = self.world
        request = ClaimRequest(self.tis["c"], 1, world.process(), world.process(), "hash", LEASE)
        outcome, after = TryOutcome(OutcomeKind.SUCCESS), world.after(SPEC, self.claim, OutcomeKind.SUCCESS)
        return {
            "claim c": Write(
                lambda store, id: store.claim(request, id), lambda got: isinstance(got, Claim), frozenset({"c"})
            ),
            "renew d": Write(lambda store, id: store.renew(self.claim, LEASE)),
            "report d": Write(
                lambda store, id: store.report(self.claim, outcome, after, "the report of d"),
                lambda got: not isinstance(got, Refused),
                frozenset({"d"}),
                once=True,
            ),
        }

    def _of_people(self) -> dict[str, Write]:
        world = self.world
        created = world.decide(SPEC, days=6, new=True)
        facts = world.store.trigger_facts(SPEC.dag_id, FIRST + 20 * DAY, "manual__x")
        trigger = plan_trigger(SPEC, TriggerRequest(FIRST + 20 * DAY, "manual__x"), world.clock.now, facts)
        about, one = world.about(), world.about(backfill_id=self.backfill)
        second = world.about(FIRST + DAY)
        frozen = plan_resize(world.store.resize_facts("one"), "one", 0)
        widened = plan_resize(world.store.resize_facts("spare"), "spare", 3)
        assert created.refusals == ()

        def command(plan: CommandPlan, *prizes: str) -> Write:
            assert plan.refusals == ()
            return Write(
                lambda store, id: store.command(plan, id), lambda got: isinstance(got, Done), frozenset(prizes)
            )

        return {
            "create": Write(
                lambda store, id: store.create_backfill(SPEC, created, "typed", id),
                _is_written,
                frozenset({"new dates"}),
            ),
            "trigger": Write(
                lambda store, id: store.trigger(SPEC, trigger, id),
                _is_written,
                frozenset({"moment"}),
            ),
            "clear all": command(plan_clear(about, ClearRequest())),
            "clear 2": command(plan_clear(second, ClearRequest()), "second run"),
            "mark a": command(plan_mark_tasks(about, MarkRequest(TaskInstanceState.SUCCESS, ("a",)))),
            "cancel": command(plan_cancel(one)),
            "pause": command(plan_pause(one, True)),
            "pause schedule": Write(lambda store, id: store.set_paused(SPEC.dag_id, True, id)),
            "shrink one": Write(lambda store, id: store.resize(frozen, id), _is_written),
            "widen spare": Write(lambda store, id: store.resize(widened, id), _is_written),
            "delete spare": Write(
                lambda store, id: store.delete_pool("spare", id) is None, prizes=frozenset({"spare's end"})
            ),
            "clean": Write(lambda store, id: store.clean_some(Cleaning(world.clock.now - timedelta(hours=12)), id)),
        }

    def _of_jobs(self) -> dict[str, Write]:
        one_more = ProcessIdentity("here", "boot", 77, 77)
        (interval,) = intervals(1, FIRST + 30 * DAY)
        due = DueRuns(replace(SPEC), (interval,), None)
        return {
            "start": Write(lambda store, id: store.start_job(JobKind.BACKFILL, one_more, SPEC.dag_id, None, LEASE, id)),
            "beat": Write(lambda store, id: store.heartbeat(self.other, LEASE)),
            "end": Write(lambda store, id: store.end_job(self.other, JobState.SUCCESS) is None),
            "due": Write(lambda store, id: store.create_due_runs(due, self.job, id), prizes=frozenset({"due date"})),
            "let go": Write(
                lambda store, id: store.release_runs(self.job, LaneKey(SPEC.dag_id, self.backfill)) is None
            ),
        }


def _is_written(answer: Any) -> bool:
    return not isinstance(answer, MetastoreStale)


def done(write: Write, store: Metastore, write_id: str) -> Any:
    """The write's answer; a person's mistake is one too."""
    try:
        return write.do(store, write_id)
    except CommandError as error:
        return error


def has_won(write: Write, answer: Any) -> bool:
    """Whether the write did what it was for."""
    return not isinstance(answer, CommandError) and write.won(answer)


def _nothing() -> None:
    """What happens in a pause that nobody asked for."""


class Pause:
    """Stops a metastore after its n-th statement of a write, once, and does something else there.

    ``seen`` counts the statements since ``at``, BEGIN and COMMIT too.
    """

    def __init__(self, store: Metastore) -> None:
        self.seen = 0
        self._after, self._then = 0, _nothing
        self.happened = False
        listen(store, self._count)

    def at(self, statement: int, then: Callable[[], None]) -> None:
        """Do ``then`` after so many statements from now, BEGIN counted."""
        self._after, self.seen, self._then, self.happened = statement, 0, then, False

    def _count(self, statement: str) -> None:
        self.seen += 1
        if self.seen == self._after + 1:
            self.happened = True
            self._then()


class Beside:
    """A second write in a thread of its own: started while the first is paused, left alone once it has to wait."""

    def __init__(self, write: Write, store: Metastore, watcher: Metastore, write_id: str) -> None:
        self.answer: list[Any] = []
        self.trouble: list[BaseException] = []
        self._watcher = watcher
        self._thread = threading.Thread(target=self._run, args=(write, store, write_id))

    def _run(self, write: Write, store: Metastore, write_id: str) -> None:
        try:
            self.answer.append(done(write, store, write_id))
        except BaseException as error:
            self.trouble.append(error)

    def start(self) -> None:
        """Let it run to its end, or to the lock that it has to wait for."""
        self._thread.start()
        deadline = time.monotonic() + 120
        while self._thread.is_alive():
            self._thread.join(0.002)
            if self._watcher.read(lambda tx: tx.rows(_BLOCKED)[0][0]):
                return
            assert time.monotonic() < deadline, "it neither ended nor waited"

    def finish(self) -> Any:
        """Its answer."""
        self._thread.join(120)
        assert not self.trouble, self.trouble
        return self.answer[0]
