"""What a person at a terminal sees, and what a signal does: the live display, NO_COLOR, narrow windows, Ctrl-C."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import clean_environment

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("nap", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="sleep", bash_command="sleep {{ (dag_run.conf or {}).get('seconds', 0.5) }}")
"""
COMMAND = ("backfill", "nap", "-s", "2024-01-01", "-e", "2024-01-04")
CURSOR_UP, COLOUR = "\x1b[1A", re.compile("\x1b\\[[0-9;]*3[0-9]m")


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "nap.py").write_text(DAG)
    return tmp_path


def at_a_terminal(project: Path, *arguments: str, columns: int = 100, **environment: str) -> tuple[int, str]:
    """The exit code, and everything written to a terminal of that width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", *arguments],
        cwd=project,
        env=clean_environment(**{"TERM": "xterm-256color", **environment}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = b""
    while select.select([master], [], [], 60)[0]:
        try:
            read = os.read(master, 65_536)
        except OSError:  # how Linux says that the last writer is gone
            break
        seen += read
    os.close(master)
    return process.wait(60), seen.decode()


def test_live_display_is_drawn_in_place_and_taken_away(project: Path) -> None:
    code, seen = at_a_terminal(project, *COMMAND)
    assert code == 0
    assert "/4 runs" in seen and "running: sleep @ 2024-01-0" in seen
    assert CURSOR_UP in seen and COLOUR.search(seen)
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") == 1  # the cursor is hidden once and given back
    after = seen[seen.rindex("\x1b[?25h") :]
    assert "backfill 1 of nap" in after and "4 runs (4 success)" in re.sub("\x1b\\[[0-9;]*m", "", after)


def test_no_color_is_respected(project: Path) -> None:
    code, seen = at_a_terminal(project, *COMMAND, NO_COLOR="1")
    assert code == 0 and "/4 runs" in seen
    assert not COLOUR.search(seen)


def test_a_dumb_terminal_gets_plain_lines(project: Path) -> None:
    code, seen = at_a_terminal(project, *COMMAND, TERM="dumb")
    assert code == 0
    assert "\x1b" not in seen and "4 runs (4 success)" in seen


def test_a_narrow_terminal_gets_narrow_lines(project: Path) -> None:
    code, seen = at_a_terminal(project, *COMMAND, columns=40)
    assert code == 0
    drawn = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", seen[seen.index("\x1b[?25l") : seen.rindex("\x1b[?25h")])
    assert max(len(line) for line in re.split("[\r\n]+", drawn)) <= 40


def test_tables_fit_the_terminal(project: Path) -> None:
    assert at_a_terminal(project, *COMMAND, "-q")[0] == 0
    code, seen = at_a_terminal(project, "runs", "list", "nap", columns=60, NO_COLOR="1")
    assert code == 0
    plain = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", seen)
    assert max(len(line) for line in re.split("[\r\n]+", plain)) <= 60
    assert "nap" in plain


def interrupted(project: Path, number: signal.Signals, times: int, *options: str) -> tuple[int, str, str]:
    """Start it, wait until a task runs, send the signal; answers exit code, stdout and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", *COMMAND, *options],
        cwd=project,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(project.glob(".tailrace/logs/nap/*/sleep.1.log")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.3)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_drains_and_the_same_command_continues(
    project: Path, number: signal.Signals, code: int
) -> None:
    options = ("-w", "1", "--conf", '{"seconds": 1}')
    got, out, err = interrupted(project, number, 1, *options)
    assert got == code, err
    assert "nothing more is started" in err and "Traceback" not in err
    assert "interrupted in" in out and "the same command continues it:" in out
    words = out.splitlines()[-1].split()
    assert words[:3] == ["tailrace", "backfill", "nap"]
    again = subprocess.run(
        [sys.executable, "-m", "tailrace", *COMMAND, *options, "-o", "json"],
        cwd=project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    answer = json.loads(again.stdout)
    assert (answer["backfill_id"], answer["state"]) == (1, "success")
    assert len(list(project.glob(".tailrace/logs/nap/*/sleep.1.log"))) == 4
    assert not list(project.glob(".tailrace/logs/nap/*/sleep.2.log"))  # what was drained was not run again


def test_a_second_signal_ends_what_runs_and_spends_no_retry(project: Path) -> None:
    options = ("-w", "1", "--conf", '{"seconds": 30}', "-o", "json")
    got, out, err = interrupted(project, signal.SIGINT, 2, *options)
    assert got == 130, err
    answer = json.loads(out)
    assert answer["state"] == "interrupted"
    assert "failed" not in answer["task_instances"]


HOSTILE = """
from datetime import datetime
from tailrace import DAG, PythonOperator

TEXT = "owned\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\r\\u202egnp.exe\\x1b[8mhidden"

def fail():
    print("\\x1b[32mgreen\\x1b[0m", TEXT)
    raise ValueError(TEXT)

with DAG("hostile", schedule="@daily", start_date=datetime(2024, 1, 1), description=TEXT):
    PythonOperator(task_id="t", python_callable=fail)
"""
#: What of it would steer a terminal; rich's own cursor movements and our colours are neither.
RAW = ("\x1b]0;", "\x07", "\x1b[2J", "\x9b", "\u202e", "\x1b[8m", "\rgnp")


def test_what_a_task_prints_steers_no_terminal(project: Path) -> None:
    (project / "dags" / "hostile.py").write_text(HOSTILE)
    commands = (
        ("backfill", "hostile", "-s", "2024-01-01"),
        ("backfill", "hostile", "-s", "2024-01-01", "--reprocess", "failed", "-v"),
        *(("runs", "show", "hostile", "2024-01-01"), ("runs", "explain", "hostile", "2024-01-01")),
        *(
            ("tasks", "explain", "hostile", "t", "2024-01-01"),
            ("backfill", "show", "1"),
            ("backfill", "show", "-o", "json"),
        ),
        *(("runs", "show", "hostile", "2024-01-01", "-o", "json"), ("dags", "show", "hostile"), ("dags", "list")),
        *(("runs", "show", "hostile", "no\x1b[2Jsuch\x07\u202erun"), ("no\x1b]0;such\x07command",)),
    )
    for command in commands:
        _, seen = at_a_terminal(project, *command)
        assert not [each for each in RAW if each in seen], (command, seen)
    _, log = at_a_terminal(project, "tasks", "logs", "hostile", "t", "2024-01-01")
    assert "\x1b[32mgreen\x1b[0m owned\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\x0d\\u202egnp.exe\x1b[8mhidden" in log
    assert not [each for each in RAW if each in log and each != "\x1b[8m"], log
    assert log.rstrip("\r\n").endswith("\x1b[0m"), "and what a log leaves switched on is switched off"
    piped = subprocess.run(
        [sys.executable, "-m", "tailrace", "tasks", "logs", "hostile", "t", "2024-01-01"],
        cwd=project,
        env=clean_environment(),
        capture_output=True,
    )
    assert "owned\x1b]0;title\x07\x1b[2J\x9b31m".encode() in piped.stdout
