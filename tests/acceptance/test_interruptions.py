"""Killed, interrupted, doubled: the same command finishes, and no task's work is done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tailrace.audit.checks import audit
from tailrace.audit.records import AuditRecords
from tailrace.metastore.store import Metastore
from tests.acceptance.conftest import clean_environment
from tests.chaos.processes import children_of
from tests.postgres_server import PostgresServer

DAG_FILE = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("slow", schedule="@daily", start_date=datetime(2024, 1, 1), default_args={"retries": 1, "retry_delay": 0}):
    first = BashOperator(task_id="first", bash_command="sleep 0.2; echo first {{ ds }} >> $LEDGER")
    first >> BashOperator(task_id="second", bash_command="sleep 0.2; echo second {{ ds }} >> $LEDGER")
"""
DATES = 6


@dataclass
class Place:
    """A folder with a DAG, a metastore, and the ledger its tasks write."""

    folder: Path
    url: str

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tailrace", "backfill", "slow", "-s", "2024-01-01", "-e", f"2024-01-0{DATES}"]
        environment = {"LEDGER": str(self.folder / "ledger")}
        if self.url:
            environment["TAILRACE_DATABASE_URL"] = self.url
        return subprocess.Popen(
            [*command, "-w", "2", "-q", "-o", "json"],
            cwd=self.folder,
            env=clean_environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def lines(self) -> list[str]:
        return (self.folder / "ledger").read_text().splitlines()

    def wait_for_lines(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.lines()) < count:
            assert time.monotonic() < deadline, "the backfill does not move"
            time.sleep(0.02)

    def done_once(self, again: int = 0) -> None:
        """Every task's work was done, and at most so many of them twice."""
        done = Counter(self.lines())
        assert len(done) == 2 * DATES
        assert sum(done.values()) <= 2 * DATES + again

    def records(self) -> AuditRecords:
        url = self.url or f"sqlite:///{self.folder}/.tailrace/tailrace.db"
        with closing(Metastore.open(url)) as metastore:
            return metastore.audit_records()

    def causes(self) -> Counter[str]:
        """How often each cause ended a try; the whole history must be sound."""
        records = self.records()
        assert audit(records) == ()
        return Counter(row.cause for row in records.history if row.before == "running" and row.kind == "task_instance")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "slow.py").write_text(DAG_FILE)
    (tmp_path / "ledger").touch()
    return Place(tmp_path, "" if request.param == "sqlite" else request.getfixturevalue("postgres_url"))


def below(process: "subprocess.Popen[str]") -> tuple[int, list[int]]:
    """The zygote, which a job forks first, and the workers."""
    zygote, *workers = children_of(process.pid)
    return zygote, workers


def finished(process: "subprocess.Popen[str]", code: int = 0) -> dict[str, object]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == code, (out, err)
    answer: dict[str, object] = json.loads(out)
    return answer


def test_killed_and_typed_again(place: Place) -> None:
    killed = place.start()
    place.wait_for_lines(3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    answer = finished(place.start())
    assert answer["runs"] == {"success": DATES}
    place.done_once()
    assert place.causes() == {"outcome": 2 * DATES}, "the workers saw their tries through"


def test_everything_of_it_killed_at_once_and_typed_again(place: Place) -> None:
    """As when the machine goes: the tries in hand are lost, which spends no retry, and nothing else is."""
    killed = place.start()
    place.wait_for_lines(3)
    zygote, workers = below(killed)
    tree = [killed.pid, zygote, *workers]
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)  # so that none can act on the others' death
    for pid in tree:
        os.kill(pid, signal.SIGKILL)
    killed.communicate(timeout=30)
    assert finished(place.start())["runs"] == {"success": DATES}
    place.done_once(again=2)
    causes = place.causes()
    assert (causes["outcome"], causes["retry"]) == (2 * DATES, 0)
    assert causes["lost"] <= 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_typed_again(place: Place, number: signal.Signals, code: int) -> None:
    interrupted = place.start()
    place.wait_for_lines(3)
    interrupted.send_signal(number)
    assert finished(interrupted, code)["state"] == "interrupted"
    assert finished(place.start())["runs"] == {"success": DATES}
    place.done_once()


def test_a_worker_killed_costs_its_try_alone(place: Place) -> None:
    process = place.start()
    place.wait_for_lines(2)
    os.kill(below(process)[1][-1], signal.SIGKILL)
    assert finished(process)["runs"] == {"success": DATES}
    place.done_once(again=1)
    causes = place.causes()
    assert (causes["outcome"], causes["retry"]) == (2 * DATES, 0)
    assert causes["lost"] <= 1


def test_a_task_killed_spends_a_retry(place: Place) -> None:
    process = place.start()
    place.wait_for_lines(2)
    zygote, _ = below(process)
    until = time.monotonic() + 30
    while not (running := [task for task in children_of(zygote) if children_of(task)]):  # parked ones have no bash
        assert time.monotonic() < until
    os.kill(running[0], signal.SIGKILL)
    assert finished(process)["runs"] == {"success": DATES}
    place.done_once(again=1)
    causes = place.causes()
    assert causes["lost"] == 0
    assert causes["retry"] <= 1  # it may have just ended


def test_a_zygote_killed_is_followed_by_another_and_the_job_goes_on(place: Place) -> None:
    process = place.start()
    place.wait_for_lines(2)
    os.kill(below(process)[0], signal.SIGKILL)
    assert finished(process)["runs"] == {"success": DATES}
    place.done_once(again=2)
    assert place.causes()["retry"] == 0


def test_two_at_once_share_the_work(place: Place) -> None:
    both = [place.start(), place.start()]
    answers = [finished(process) for process in both]
    assert [answer["runs"] for answer in answers] == [{"success": DATES}] * 2
    place.done_once()
    assert place.causes() == {"outcome": 2 * DATES}


# --- the metastore itself ------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that a test may kill."""
    with PostgresServer.running(durable=False) as server:
        yield server


@pytest.fixture
def on(server: PostgresServer, tmp_path: Path) -> Place:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "slow.py").write_text(DAG_FILE)
    (tmp_path / "ledger").touch()
    return Place(tmp_path, server.new_database())


def test_a_server_killed_and_restarted_costs_nothing(on: Place, server: PostgresServer) -> None:
    process = on.start()
    on.wait_for_lines(2)
    for _ in range(2):
        server.kill()
        time.sleep(1.5)
        server.start()
        on.wait_for_lines(len(on.lines()) + 1)
    assert finished(process)["runs"] == {"success": DATES}
    on.done_once()
    assert on.causes() == {"outcome": 2 * DATES}


def test_a_worker_killed_while_the_server_is_away(on: Place, server: PostgresServer) -> None:
    """The next one waits for the server too."""
    process = on.start()
    on.wait_for_lines(2)
    server.kill()
    os.kill(below(process)[1][0], signal.SIGKILL)
    time.sleep(1.5)
    server.start()
    assert finished(process)["runs"] == {"success": DATES}
    on.done_once(again=1)


def test_a_server_that_stays_away_is_reported_in_one_line(on: Place, server: PostgresServer) -> None:
    """Half a minute of patience: the slowest test there is. Nothing is left running, and nothing was lost."""
    process = on.start()
    on.wait_for_lines(2)
    server.kill()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (4, "")
    assert len(err.splitlines()) == 1, err
    line = err.strip()
    assert line.startswith("error: metastore postgresql")
    assert line.endswith("it did not come back within 30 s, the same command continues")
    server.start()
    assert finished(on.start())["runs"] == {"success": DATES}
    on.done_once(again=2)
