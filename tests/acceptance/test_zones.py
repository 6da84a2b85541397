"""Times are in UTC on every screen, and say so, in whatever zone the machine is."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.acceptance.conftest import Run, clean_environment

DAGS = """
import logging
from datetime import datetime
from tailrace import DAG, BashOperator, task

with DAG("etl", schedule="@daily", start_date=datetime(2024, 1, 1)):
    @task
    def load(ds=None):
        logging.info("loading")
        if ds == "2024-01-02":
            raise ValueError("no such table")

    load() >> BashOperator(task_id="report", bash_command="echo done")

with DAG("due", schedule="@daily", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 2), catchup=True):
    BashOperator(task_id="t", bash_command="exit 1")
"""
ZONES = ("Asia/Kathmandu",)

#: Every screen that shows a time, but those that follow something.
SCREENS = [
    ("backfill", "list"),
    ("backfill", "show"),
    ("runs", "list"),
    ("runs", "show", "etl", "2024-01-01"),
    ("runs", "show", "etl", "2024-01-02"),
    ("runs", "explain", "etl", "2024-01-02"),
    ("tasks", "list", "--state", "failed"),
    ("tasks", "list", "etl", "--task", "load"),
    ("tasks", "explain", "etl", "load", "2024-01-02"),
    ("tasks", "logs", "etl", "load", "2024-01-02"),
    ("tasks", "logs", "etl", "load", "2024-01-02", "--timestamps"),
    ("tasks", "logs", "etl", "--failed"),
    ("tasks", "logs", "etl", "nothing"),
    ("tasks", "test", "etl", "load", "2024-01-01"),
    ("grid", "etl"),
    ("grid", "etl", "-s", "2024-01-01", "-o", "json"),
    ("xcom", "list", "etl", "2024-01-01"),
    ("dags", "list"),
    ("dags", "show", "etl"),
    ("dags", "stats"),
    ("pools", "list"),
    ("jobs", "list"),
    ("audit",),
    ("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-03", "-n"),
    ("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02", "-v"),
    ("db", "clean", "--before", "2020-01-01", "-n"),
]
#: A time of day, with what stands behind it; a duration (``0:00:02``, ``1:30``) does not begin with two digits.
CLOCK = re.compile(r"(?<![\d:.])(?P<time>\d\d:\d\d)(:\d\d([.,]\d+)?)?(?P<zone>Z|[+-]\d\d:\d\d)?")


def unmarked(text: str) -> list[str]:
    """Every time of day in it that does not say that it is in UTC."""
    return [found[0] for found in CLOCK.finditer(text) if found["zone"] not in ("Z", "+00:00")]


def local(text: str, zone: str, since: datetime) -> list[str]:
    """Every time of day in it that the clock of this zone has shown since then, whatever stands behind it."""
    shown, at = set[str](), since.astimezone(ZoneInfo(zone))
    while at <= datetime.now(UTC) + timedelta(minutes=1):
        shown.add(f"{at:%H:%M}")
        at += timedelta(minutes=1)
    shown.discard("00:00")  # the time of logical dates
    return [found[0] for found in CLOCK.finditer(text) if found["time"] in shown]


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "etl.py").write_text(DAGS)
    return tmp_path


@pytest.fixture
def since() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


def require_utc(text: str, zone: str, since: datetime, words: object) -> None:
    assert unmarked(text) == [], (words, text)
    assert local(text, zone, since) == [], (words, text)


@pytest.mark.parametrize("zone", ZONES)
def test_no_screen_has_the_machines_own_time(tailrace: Run, zone: str, since: datetime) -> None:
    said = tailrace("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02", TZ=zone)
    assert said.returncode == 1
    require_utc(said.stdout + said.stderr, zone, since, "backfill")
    for words in (
        ("tasks", "mark", "etl", "report", "2024-01-02", "--state", "success", "-y"),
        ("dags", "pause", "etl"),
        ("pools", "set", "small", "1"),
        ("dags", "trigger", "etl"),
    ):
        said = tailrace(*words, TZ=zone)
        assert said.returncode == 0, said.stderr
        require_utc(said.stdout + said.stderr, zone, since, words)
    with_a_time = 0
    for words in SCREENS:
        for more in ((), ("-o", "json")) if has_json(words) else ((),):
            said = tailrace(*words, *more, TZ=zone)
            require_utc(said.stdout + said.stderr, zone, since, (*words, *more))
            with_a_time += bool(CLOCK.search(said.stdout))
    assert with_a_time > len(SCREENS)


def has_json(words: tuple[str, ...]) -> bool:
    return words[:2] not in (("tasks", "logs"), ("tasks", "test"))


@pytest.mark.parametrize("zone", ZONES)
def test_the_lines_of_a_scheduler_begin_with_the_time_in_utc(tailrace: Run, zone: str, since: datetime) -> None:
    said = tailrace("scheduler", "--until-idle", "-v", TZ=zone)
    assert said.returncode == 1 and "due / " in said.stderr, said.stderr
    require_utc(said.stderr, zone, since, "scheduler")
    until = datetime.now(UTC)
    for line in said.stderr.splitlines():
        if line.startswith(" "):
            continue
        found = re.match(r"(\d\d:\d\d:\d\d)Z ", line)
        assert found or line.startswith("note: "), line
        if found and since.date() == until.date():
            assert f"{since:%H:%M:%S}" <= found[1] <= f"{until:%H:%M:%S}", line


@pytest.mark.parametrize("zone", ZONES)
def test_a_terminal_shows_no_other_time(project: Path, zone: str, since: datetime) -> None:
    """The live display, a table as rich draws it, and a log that is followed."""
    for words in (
        ("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-02"),
        ("runs", "show", "etl", "2024-01-02"),
        ("tasks", "logs", "-f", "--timestamps", "etl", "load", "2024-01-02"),
    ):
        said = on_a_terminal(project, words, zone)
        assert "load" in said, said
        require_utc(said, zone, since, words)


def on_a_terminal(project: Path, words: tuple[str, ...], zone: str) -> str:
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", *words],
        cwd=project,
        env=clean_environment(TZ=zone, COLUMNS="200", TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    said = b""
    with suppress(OSError):  # as a terminal ends on Linux
        while piece := os.read(main, 65536):
            said += piece
    os.close(main)
    process.wait(60)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", " ", said.decode(errors="replace"))


def test_help_says_in_which_zone_dates_are_typed_and_times_are_shown(tailrace: Run) -> None:
    assert "Times are shown in UTC and end in Z" in " ".join(tailrace("--help").stdout.split())
    for words in (
        ("backfill", "run"),
        ("runs", "list"),
        ("runs", "show"),
        ("runs", "explain"),
        ("runs", "clear"),
        ("runs", "mark"),
        ("tasks", "list"),
        ("tasks", "explain"),
        ("tasks", "clear"),
        ("tasks", "mark"),
        ("tasks", "logs"),
        ("tasks", "test"),
        ("tasks", "render"),
        ("dags", "trigger"),
        ("xcom", "list"),
        ("xcom", "get"),
    ):
        text = " ".join(tailrace(*words, "--help").stdout.split())
        assert "without an offset are in the DAG's time zone" in text, words
    for words in (("backfill", "list"), ("backfill", "show"), ("pools", "list"), ("jobs", "list"), ("scheduler",)):
        assert "UTC" in tailrace(*words, "--help").stdout, words
