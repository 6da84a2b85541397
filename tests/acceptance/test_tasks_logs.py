"""Logs as a person reads them: followed over all tries, with times, of the newest run, of all that failed in one."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pytest

from tests.acceptance.conftest import clean_environment

Run = Callable[..., subprocess.CompletedProcess[str]]

FIRST = "backfill__2024-01-01T00:00:00+00:00"
DAGS = """
from datetime import datetime
from tailrace import DAG, BashOperator
with DAG("talk", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(
        task_id="talks",
        bash_command="echo first; while [ ! -e go{{{{ ti.try_number }}}} ]; do sleep 0.05; done; echo second; exit 3",
        cwd={cwd!r}, retries=1, retry_delay=0,
    )
with DAG("days", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="a", bash_command="echo a of {{{{ ds }}}}")
    b = BashOperator(task_id="b", bash_command="echo b of {{{{ ds }}}}; exit 1")
    b >> BashOperator(task_id="d", bash_command="true")
    BashOperator(task_id="c", bash_command="echo c of {{{{ ds }}}}; [ {{{{ ds }}}} = 2024-01-02 ]")
"""


@pytest.fixture(autouse=True)
def dags(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAGS.format(cwd=str(tmp_path)))


def eventually(what: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def started(
    tmp_path: Path, *command: str, stdout: IO[bytes] | int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that goes on meanwhile; ended at last."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", *command],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        for _ in range(3):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
        process.wait(60)


def logs(tmp_path: Path, name: str) -> list[Path]:
    return list((tmp_path / ".tailrace" / "logs").rglob(name))


def untimed(text: str) -> list[str]:
    return [re.sub(r" after [0-9:.]+(?: s)?", "", line) for line in text.splitlines() if ", started " not in line]


ENDS = [
    "tailrace.authoring.operators.shipped.BashFailed: bash exited 3: second",
    "--- failed: BashFailed: bash exited 3: second",
]
SAID = ["first", "second", *ENDS]


def test_a_log_is_followed_over_all_tries_until_the_last_one_ends(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with started(tmp_path, "backfill", "talk", "-s", "2024-01-01") as backfill:
        eventually(lambda: any("first" in log.read_text() for log in logs(tmp_path, "talks.1.log")))
        with said.open("wb") as file, started(tmp_path, "tasks", "logs", "-f", "talk", "talks", stdout=file) as follow:
            eventually(lambda: "first" in said.read_text())
            assert "second" not in said.read_text()
            (tmp_path / "go1").touch()
            eventually(lambda: said.read_text().count("first") == 2)
            assert follow.poll() is None
            (tmp_path / "go2").touch()
            assert follow.wait(60) == 0
        assert backfill.wait(60) == 1
    assert untimed(said.read_text()) == [*SAID, *SAID]


def test_a_run_that_has_not_begun_is_waited_for(tmp_path: Path, tailrace: Run) -> None:
    assert tailrace("dags", "trigger", "days", "--logical-date", "2024-01-02").returncode == 0
    said = tmp_path / "said"
    command = ("tasks", "logs", "-f", "days", "a", "2024-01-02")
    with said.open("wb") as file, started(tmp_path, *command, stdout=file) as follow:
        time.sleep(1.5)
        assert follow.poll() is None
        with started(tmp_path, "scheduler"):
            assert follow.wait(60) == 0
    assert untimed(said.read_text()) == ["a of 2024-01-02", "--- success"]


def test_an_interrupt_ends_the_following_and_nothing_else(tmp_path: Path) -> None:
    with started(tmp_path, "backfill", "talk", "-s", "2024-01-01") as backfill:
        eventually(lambda: any("first" in log.read_text() for log in logs(tmp_path, "talks.1.log")))
        with (tmp_path / "said").open("wb") as file:
            command = ("tasks", "logs", "-f", "talk", "talks", "2024-01-01")
            with started(tmp_path, *command, stdout=file) as follow:
                eventually(lambda: "first" in (tmp_path / "said").read_text())
                follow.send_signal(signal.SIGINT)
                assert follow.wait(60) == 130
        for name in ("go1", "go2"):
            (tmp_path / name).touch()
        assert backfill.wait(60) == 1


def test_each_line_has_the_time_at_which_it_was_written(tmp_path: Path, tailrace: Run) -> None:
    began = datetime.now(UTC)
    with started(tmp_path, "backfill", "talk", "-s", "2024-01-01", "--disable-retry") as backfill:
        eventually(lambda: any(log.read_text().count("\n") for log in logs(tmp_path, "talks.1.log.times")))
        [log], [times] = logs(tmp_path, "talks.1.log"), logs(tmp_path, "talks.1.log.times")
        eventually(lambda: "first" in log.read_text())  # and not only the line above it
        eventually(lambda: int(times.read_text().split()[-2]) == log.stat().st_size)
        meanwhile = datetime.now(UTC)
        (tmp_path / "go1").touch()
        assert backfill.wait(60) == 1
    shown = tailrace("tasks", "logs", "talk", "talks", "--timestamps")
    assert shown.returncode == 0
    lines = [line.split(" ", 1) for line in shown.stdout.splitlines()]
    at = [datetime.fromisoformat(time) for time, _ in lines]
    assert at == sorted(at) and began <= at[0]
    assert at[1] <= meanwhile <= at[2], shown.stdout
    assert untimed("\n".join(text for _, text in lines)) == SAID
    assert tailrace("tasks", "logs", "talk", "talks").stdout == log.read_text()


def test_the_newest_run_is_shown_and_all_that_failed_in_one(tmp_path: Path, tailrace: Run) -> None:
    assert tailrace("backfill", "days", "-s", "2024-01-01", "-e", "2024-01-03").returncode == 1
    assert "a of 2024-01-03" in tailrace("tasks", "logs", "days", "a").stdout
    newest = tailrace("tasks", "logs", "days", "--failed").stdout
    assert re.findall("^==> (.*): BashFailed: .* <==$", newest, re.MULTILINE) == [
        f"{task_id} of backfill__2024-01-03T00:00:00+00:00, try 1, failed" for task_id in "bc"
    ]
    assert "\nb of 2024-01-03\n" in newest and "\nc of 2024-01-03\n" in newest and "a of" not in newest
    second = tailrace("tasks", "logs", "days", "--failed", "2024-01-02").stdout
    assert "\nb of 2024-01-02\n" in second and "c of" not in second
    timed = tailrace("tasks", "logs", "days", "--failed", "2024-01-02", "--timestamps").stdout
    assert re.search(r"(?m)^20\S+Z b of 2024-01-02$", timed)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("days",), "TASK_ID is missing; --failed prints the logs of all that failed in a run"),
        (
            ("days", "a", "2024-01-01", "--failed"),
            "--failed is of a whole run: `tailrace tasks logs days --failed RUN`",
        ),
        (("days", "--failed", "-f"), "--failed is of a whole run"),
        (("nope", "--failed"), "nope has never run here"),
        (("days", "nope"), "days has never had a task 'nope'; it has a, b, c and d"),
        (("days", "a", "--try", "2"), f"a of {FIRST} has had no try 2: its latest is 1"),
        (
            ("days", "a", "--try", "2", "-f"),
            f"a of {FIRST} has had no try 2: its latest is 1",
        ),
        (("days", "d", "-f"), f"d of {FIRST} has had no try yet: it is upstream_failed"),
        (("days", "d"), f"d of {FIRST} has had no try yet: it is upstream_failed"),
        (("days", "a", "--map-index", "0", "-f"), f"a of {FIRST} has no map index 0"),
    ],
)
def test_what_is_wrong_is_said(tailrace: Run, arguments: tuple[str, ...], wrong: str) -> None:
    assert tailrace("backfill", "days", "-s", "2024-01-01").returncode == 1
    done = tailrace("tasks", "logs", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {wrong}")


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_a_task_that_a_run_will_not_have_is_not_waited_for(tailrace: Run, follow: tuple[str, ...]) -> None:
    assert tailrace("backfill", "days", "-s", "2024-01-01", "--detach").returncode == 0
    done = tailrace("tasks", "logs", "days", "bb", "2024-01-01", *follow, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no task 'bb' in DAG days; did you mean b?\n"
    assert "is queued: no task of it has run yet" in tailrace("tasks", "logs", "days", "b", "2024-01-01").stderr
