"""Jobs are believed alive by the metastore's own clock, and only as long as they say so."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.metastore.db.clock import MachineClock, TransactionTime, of_server
from tailrace.metastore.db.tables import job
from tailrace.metastore.plans.rows import holder_from, holder_text
from tailrace.metastore.store import Metastore
from tailrace.metastore.tries.job_rows import trouble_from
from tailrace.model.keys import ProcessIdentity
from tailrace.model.states import JobState
from tailrace.planning.explain_facts import JobTrouble
from tailrace.planning.snapshot import Holder
from tests.conformance.worlds import LEASE, World, dag

A = dag("a")


def test_a_job_is_kept_with_its_process(world: World) -> None:
    process = replace(world.process(), namespace="pid:[7]")
    id = world.job(A, world.backfill(A), process)
    row = world.row(job, id)
    assert (row.kind, row.state, row.dag_id, row.backfill_id) == ("backfill", "running", "dag", 1)
    assert (row.host, row.boot_id, row.pid, row.start_time) == (
        process.host,
        process.boot_id,
        process.pid,
        process.start_time,
    )
    assert (row.started_at, row.lease_until, row.lease_epoch) == (world.clock.now, 1000 + LEASE, "boot-1")
    assert world.store.jobs_running_on("here") == ((id, process),)
    assert world.store.jobs_running_on("elsewhere") == ()


def test_a_holder_is_read_as_it_was_written_also_by_who_knew_no_namespaces() -> None:
    worker = ProcessIdentity("here", "boot", 1, 2, "pid:[7]")
    for task in (None, replace(worker, pid=3)):
        assert holder_from(holder_text(worker, task)) == Holder(worker, task)
    former = '[["here","boot",1,2],["here","boot",3,4]]'
    assert holder_from(former) == Holder(ProcessIdentity("here", "boot", 1, 2), ProcessIdentity("here", "boot", 3, 4))


def test_a_heartbeat_renews_the_lease_until_the_job_is_marked_dead(world: World) -> None:
    id = world.job(A, world.backfill(A))
    world.clock.advance(LEASE * 3)
    assert world.store.heartbeat(id, LEASE), "late, but nobody has declared it dead"
    row = world.row(job, id)
    assert (row.heartbeat_at, row.lease_until) == (world.clock.now, 1000 + 4 * LEASE)
    world.store.mark_job_dead(id)
    assert not world.store.heartbeat(id, LEASE)
    assert (world.row(job, id).state, world.row(job, id).ended_at) == ("failed", world.clock.now)
    assert not world.store.heartbeat(999, LEASE)
    assert world.store.jobs_running_on("here") == ()


def test_what_hinders_a_job_is_kept_as_long_as_it_reports_it(world: World) -> None:
    id = world.job(A, world.backfill(A))
    trouble = JobTrouble("no process", {"/dags/a.py": "broken \u2192 \U0001f600"}, {"dag": "wrong"})
    assert world.store.heartbeat(id, LEASE, trouble)
    assert trouble_from(world.row(job, id).trouble) == trouble
    assert world.store.heartbeat(id, LEASE)
    assert trouble_from(world.row(job, id).trouble) == JobTrouble()
    many = JobTrouble(files={f"/dags/{number:04}.py": "broken" for number in range(5000)})
    assert world.store.heartbeat(id, LEASE, many)
    assert len(trouble_from(world.row(job, id).trouble).files) == 200


def test_how_a_job_ended_is_reported_once(world: World) -> None:
    id = world.job(A, world.backfill(A))
    world.store.end_job(id, JobState.SUCCESS)
    ended = world.row(job, id)
    world.clock.advance(1)
    world.store.mark_job_dead(id)
    assert world.row(job, id) == ended


# --- clocks ----------------------------------------------------------------------------------------------------

NOW = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "epoch", "expired"),
    [(101.0, "boot", False), (100.0, "boot", True), (101.0, "another boot", True), (None, None, True)],
)
def test_a_lease_runs_out_by_the_clock_that_granted_it(until: float | None, epoch: str | None, expired: bool) -> None:
    assert TransactionTime(NOW, 100.0, "boot").expired(until, epoch, 20.0) is expired


def test_no_lease_runs_out_until_one_lease_after_the_server_started() -> None:
    started = NOW - timedelta(seconds=5)
    moment = of_server(NOW, started)
    long_gone = started.timestamp() - 3600
    assert not moment.expired(long_gone, "server", 20.0)
    assert moment.expired(long_gone, "server", 5.0)
    assert not of_server(started + timedelta(seconds=19), started).expired(long_gone, "server", 20.0)
    assert of_server(started + timedelta(seconds=20), started).expired(long_gone, "server", 20.0)


def test_a_machines_lease_clock_does_not_follow_the_date() -> None:
    clock = MachineClock()
    first = clock.lease()
    assert 0 <= clock.lease() - first < 60
    assert abs(clock.lease() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    assert clock.epoch() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert clock.wall().tzinfo is UTC


def test_a_store_without_a_clock_has_its_own(url: str) -> None:
    store = Metastore.open(url)
    try:
        moment = store.read(lambda tx: tx.moment)
        again = store.read(lambda tx: tx.moment)
        assert abs(moment.wall - datetime.now(UTC)) < timedelta(seconds=60)
        assert again.lease >= moment.lease
        if url.startswith("postgresql"):
            assert (moment.epoch, moment.lease) == ("server", moment.wall.timestamp())
            assert moment.grace_from is not None
            assert moment.grace_from < moment.lease
        else:
            assert (moment.epoch, moment.grace_from) == (MachineClock().epoch(), None)
    finally:
        store.close()


def test_time_stands_still_within_a_transaction(world: World) -> None:
    def work(tx: Any) -> tuple[TransactionTime, TransactionTime]:
        first = tx.moment
        world.clock.advance(10)
        return first, tx.moment

    first, second = world.store.read(work)
    assert first is second


# --- processes -------------------------------------------------------------------------------------------------


def test_a_forked_process_gets_a_connection_of_its_own(world: World) -> None:
    id = world.backfill(A)
    inherited = world.store._database._connected()
    child = os.fork()
    if child == 0:
        try:
            own = world.store._database._connected()
            assert own is not inherited
            assert world.store.show_backfill(id) is not None
            world.job(A, id)
            assert world.store._database._connected() is own, "one for all of its transactions"
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(world.rows(job)) == 1
    world.write_id()  # the child's
    world.job(A, id)
    assert len(world.rows(job)) == 2
    assert world.store._database._connected() is inherited


def test_a_released_store_opens_again_by_itself(world: World) -> None:
    id = world.backfill(A)
    world.store.release()
    world.store.release()
    assert world.store.show_backfill(id) is not None
