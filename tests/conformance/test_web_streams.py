"""What changes is told as it is written, and to who comes back; a log is told as it grows."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tailrace.execution.logs.files import log_path
from tailrace.metastore.db.tables import history
from tailrace.metastore.store import Metastore
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.runtime.settings import Settings, load_settings
from tailrace.service import change_feed
from tailrace.web.change_feed import MOST_REPLAYED
from tests.asgi import Asker
from tests.conformance.serving import asker, serving, web_settings
from tests.conformance.stories import PLAIN, Drive, busy
from tests.conformance.worlds import World

__all__ = ["asker", "web_settings"]

EVENTS = "/api/v1/events"


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("change_feed.POLL_SECONDS", "change_feed.AWAY_SECONDS", "log_stream.LOOK_SECONDS"):
        monkeypatch.setattr(f"tailrace.web.{name}", 0.01)


def within(work: Coroutine[Any, Any, None]) -> None:
    """Done, or failed, within a time that no busy machine needs."""

    async def bounded() -> None:
        await asyncio.wait_for(work, 120)

    asyncio.run(bounded())


def newest(world: World) -> int:
    return int(world.store.read(lambda tx: tx.value(select(func.max(history.c.id)))))


def ids_of(told: dict[str, str]) -> list[int]:
    assert told["event"] == "changes"
    return [each["change_id"] for each in json.loads(told["data"])]


def test_what_is_written_is_told(world: World, asker: Asker) -> None:
    async def listen() -> None:
        async with asker.stream(EVENTS) as one, asker.stream(EVENTS) as other:
            start = await one.next()
            assert start["status"] == 200
            await other.next()
            assert (await one.event())["retry"] == "1000"
            await other.event()
            begun = await one.event()
            assert (begun["event"], begun["id"]) == ("begin", str(newest(world)))
            assert await other.event() == begun
            await asyncio.to_thread(world.backfill, PLAIN)
            told: list[int] = []
            while not told or told[-1] < newest(world):
                event = await one.event()
                told += ids_of(event)
                assert event == await other.event()
            assert told == list(range(int(begun["id"]) + 1, newest(world) + 1))
            assert event["id"] == str(told[-1])
            first = json.loads(event["data"])[0]
            assert {"kind", "dag_id", "run_id", "task_id", "after", "cause", "by"} <= set(first)

    within(listen())


def test_who_comes_back_is_told_what_it_missed(world: World, asker: Asker) -> None:
    before = newest(world)
    world.backfill(PLAIN)

    async def come_back(last: str) -> dict[str, str]:
        async with asker.stream(EVENTS, (b"last-event-id", last.encode())) as stream:
            await stream.next()
            await stream.event()
            return await stream.event()

    async def listen() -> None:
        missed = await come_back(str(before))
        assert ids_of(missed) == list(range(before + 1, newest(world) + 1))
        assert missed["id"] == str(newest(world))
        assert (await come_back(str(newest(world))))["event"] == "begin"
        for unknown in ("x", "-1", "1.5", str(newest(world) + 1), "9" * 30, ""):
            assert (await come_back(unknown))["event"] == "reset"

    within(listen())


def test_who_missed_too_much_begins_anew(world: World, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.web.change_feed.MOST_REPLAYED", 3)
    world.backfill(PLAIN, days=3)
    assert MOST_REPLAYED > 3

    async def listen() -> None:
        async with asker.stream(EVENTS, (b"last-event-id", b"1")) as stream:
            await stream.next()
            await stream.event()
            assert (await stream.event())["event"] == "reset"

    within(listen())


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_who_commits_later_is_told_all_the_same(
    world: World, asker: Asker, open_store: Callable[..., Metastore]
) -> None:
    """An id that is seen does not mean that all below it are."""
    slow, taken, go_on = open_store(), threading.Event(), threading.Event()

    def hold(tx: Any) -> None:
        tx.connection.exec_driver_sql(
            "INSERT INTO history (at, write_id, kind, dag_id, after, actor, cause, reason) "
            "VALUES (now(), 'slow', 'changed', 'late', 'x', 'person', 'created', '')"
        )
        taken.set()
        assert go_on.wait(100)

    thread = threading.Thread(target=lambda: slow._database.write(hold))

    async def listen() -> None:
        async with asker.stream(EVENTS) as stream:
            await stream.next()
            await stream.event()
            begun = await stream.event()
            thread.start()
            await asyncio.to_thread(taken.wait, 100)
            await asyncio.to_thread(world.backfill, PLAIN)
            event = await stream.event()
            told = ids_of(event)
            assert min(told) > int(begun["id"]) + 1
            assert event["id"] == begun["id"], "whoever comes back with it is told the one that lacks"
            go_on.set()
            while (late := int(begun["id"]) + 1) not in told:
                event = await stream.event()
                told += ids_of(event)
            assert int(event["id"]) >= late

    try:
        within(listen())
    finally:
        go_on.set()
        thread.join()


def test_who_is_too_slow_is_dropped(world: World, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """And costs the others nothing."""
    monkeypatch.setattr("tailrace.web.change_feed.MOST_WAITING", 3)

    async def listen() -> None:
        async with asker.stream(EVENTS) as quick, asker.stream(EVENTS, room=1) as slow:
            for _ in range(2):
                await quick.next()
            await quick.event()
            await slow.next()
            for _ in range(10):
                await asyncio.to_thread(world.pool, f"pool {world.write_id()}", 1)
                await quick.event()
            while (await slow.next()).get("more_body", True):
                if slow.finished.is_set() and slow.messages.empty():
                    break
            await asyncio.wait_for(slow.finished.wait(), 60)

    within(listen())


def test_the_metastore_is_asked_while_somebody_listens_only(
    world: World, asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = change_feed.read_changes

    def counted(*arguments: Any, **more: Any) -> Any:
        asked.append(1)
        return read(*arguments, **more)

    monkeypatch.setattr("tailrace.web.change_feed.read_changes", counted)

    async def listen() -> None:
        async with asker.stream(EVENTS) as stream:
            await stream.next()
            await stream.event()
            await stream.event()
        left = len(asked)
        for _ in range(50):
            await asker.get_here("/health")
        assert len(asked) == left > 0

    within(listen())


def test_streams_end_with_the_server(web_settings: Settings, world: World) -> None:
    with serving(web_settings) as asker:

        async def listen() -> None:
            async with asker.stream(EVENTS) as stream:
                await stream.next()
                await stream.event()
                asker.app.end_streams()  # type: ignore[attr-defined]
                await asyncio.wait_for(stream.finished.wait(), 60)

        within(listen())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_metastore_that_is_away_is_said_and_found_again(world: World, asker: Asker, web_settings: Settings) -> None:
    file = web_settings.sqlite_file
    assert file is not None

    async def listen() -> None:
        async with asker.stream(EVENTS) as stream:
            for _ in range(2):
                await stream.next()
            await stream.event()
            world.store.close()
            moved = [(each, each.with_name(f"moved-{each.name}")) for each in file.parent.glob(f"{file.name}*")]
            for each, there in moved:
                each.rename(there)
            away = await stream.event()
            assert away["event"] == "away" and json.loads(away["data"])["reasons"]
            reply = await asker.get_here("/api/v1/runs")
            assert (reply.status, reply.json["exit_code"]) == (503, 4)
            assert (await asker.get_here("/health")).status == 503
            for each, there in moved:
                there.rename(each)
            assert (await stream.event())["event"] == "back"
            assert (await asker.get_here("/api/v1/runs")).status == 200

    within(listen())


# --- logs ---------------------------------------------------------------------------------------------------


def log_of(settings: Settings, run_id: str, number: int = 1) -> Path:
    path = log_path(settings.home, TryKey(TaskInstanceKey("plain", run_id, "a"), number))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_a_log_is_told_as_it_is_written(world: World, asker: Asker, web_settings: Settings) -> None:
    backfill, job = world.begun(PLAIN)
    [run] = asker.get("/api/v1/runs").json
    a = world.by_task(1)["a"]
    assert world.queue(PLAIN, job, a).won
    claim = world.running(a)
    log = log_of(web_settings, run["run_id"])
    there = f"/api/v1/dags/plain/runs/{run['run_id'].replace('+', '%2B')}/tasks/a/log/follow"
    log.write_bytes(b"--- begins\n" + "é".encode()[:1])

    async def listen() -> None:
        async with asker.stream(there) as stream:
            for _ in range(2):
                await stream.next()
            begun = await stream.event()
            assert (begun["event"], json.loads(begun["data"])["try_number"]) == ("try", 1)
            first = await stream.event()
            assert (first["event"], first["id"], json.loads(first["data"])["text"]) == ("log", "1.11", "--- begins\n")
            with log.open("ab") as file:
                file.write("é".encode()[1:] + b"\x00<b>\xff\n")
            second = await stream.event()
            assert json.loads(second["data"]) == {"try_number": 1, "offset": 11, "text": "é\x00<b>�\n"}
            await asyncio.to_thread(world.report, PLAIN, claim)
            end = await stream.event()
            assert (end["event"], end["id"]) == ("end", second["id"])
        async with asker.stream(there, (b"last-event-id", b"1.11")) as stream:
            for _ in range(2):
                await stream.next()
            await stream.event()
            assert (await stream.event())["data"] == second["data"]

    within(listen())
    for wrong in (there.replace("/tasks/a/", "/tasks/none/"), there.replace("/plain/", "/none/")):
        assert asker.get(wrong).status == 404


# --- counts -------------------------------------------------------------------------------------------------


def test_counts_for_prometheus(world: World, asker: Asker) -> None:
    busy(world)
    world.pool('odd "name" \\', 2)
    reply = asker.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = reply.body.decode().splitlines()
    stats = asker.get("/api/v1/dag-stats").json
    for each in stats:
        for state, count in each["runs"].items():
            assert f'tailrace_runs{{dag_id="{each["dag_id"]}",state="{state}"}} {count}' in lines
    assert 'tailrace_pool_slots{pool="odd \\"name\\" \\\\"} 2' in lines
    assert all(line.startswith(("#", "tailrace_")) for line in lines)


def test_before_anything_was_written_a_stream_begins(tmp_path: Path) -> None:
    with serving(load_settings({}, environ={}, cwd=tmp_path)) as asker:

        async def listen() -> None:
            async with asker.stream(EVENTS) as stream:
                for _ in range(2):
                    await stream.next()
                assert (await stream.event())["id"] == "0"

        within(listen())
        assert b"tailrace_info" in asker.get("/metrics").body


def test_a_history_behind_the_first_drive_is_told_too(world: World, asker: Asker) -> None:
    """All that a whole backfill writes, in order and once."""
    before = newest(world)
    Drive(world, PLAIN, world.backfill(PLAIN, days=2), {}).go()

    async def listen() -> None:
        async with asker.stream(EVENTS, (b"last-event-id", str(before).encode())) as stream:
            for _ in range(2):
                await stream.next()
            assert ids_of(await stream.event()) == list(range(before + 1, newest(world) + 1))

    within(listen())
