"""A failure is told as it happens, all of them are told at the end, and what is printed repairs when it is typed."""

import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tailrace.cli.fitting import width_of
from tests.acceptance.conftest import clean_environment

Run = Callable[..., subprocess.CompletedProcess[str]]

LIVE = """
from datetime import datetime
from tailrace import DAG, BashOperator
with DAG("live", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="load_customers", bash_command="echo boom; exit 1")
    BashOperator(task_id="load_orders", bash_command="echo boom2; exit 2", retries=1, retry_delay=0.2)
    BashOperator(task_id="long", bash_command="while [ ! -e go ]; do sleep 0.1; done", cwd={cwd!r})
"""
PAST = """
from datetime import datetime
from tailrace import DAG, BashOperator
with DAG("past", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(
        task_id="a", bash_command="[ {{ ds }} != 2024-01-03 ] || [ -e mended ]", depends_on_past=True, cwd=%r
    ) >> BashOperator(task_id="b", bash_command="true")
"""


def written(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "dags").mkdir(exist_ok=True)
    (tmp_path / "dags" / name).write_text(text)


def until_said(process: subprocess.Popen[str], path: Path, *said: str) -> None:
    until = time.monotonic() + 60
    while not all(each in path.read_text() for each in said):
        assert time.monotonic() < until and process.poll() is None, path.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize(
    "command", [("backfill", "live", "-s", "2024-01-01", "-w", "2"), ("scheduler", "--until-idle")]
)
def test_each_failed_try_is_told_while_the_run_goes_on(tmp_path: Path, tailrace: Run, command: tuple[str, ...]) -> None:
    written(tmp_path, "live.py", LIVE.format(cwd=str(tmp_path)))
    said = tmp_path / "said"
    with said.open("w") as errors, (tmp_path / "answer").open("w") as answers:
        process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", *command, *(["-o", "json"] if command[0] == "backfill" else [])],
            cwd=tmp_path,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=answers,
            stderr=errors,
            text=True,
        )
    name = "" if command[0] == "backfill" else "live."
    until_said(
        process,
        said,
        f"failed: {name}load_customers @ ",
        f"failed, again at once: {name}load_orders @ ",
        f"failed: {name}load_orders @ ",
    )
    (tmp_path / "go").touch()
    assert process.wait(60) == 1
    lines = said.read_text().splitlines()
    (line,) = [each for each in lines if "load_customers @" in each]
    assert ": BashFailed: bash exited 1: boom; log: tailrace tasks logs live load_customers 20" in line
    shown = tailrace(*shlex.split(line.partition("; log: ")[2])[1:])
    assert (shown.returncode, "\nboom\n" in shown.stdout) == (0, True), shown
    if command[0] == "backfill":
        failures = json.loads((tmp_path / "answer").read_text())["failures"]
        assert [(each["task_id"], each["count"]) for each in failures] == [("load_customers", 1), ("load_orders", 1)]


KINDS = """
import ctypes, os, sqlite3, sys, time
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

def query(): sqlite3.connect(":memory:").execute("selct 1")
def in_a_set(): return {"days": {1, 2j}}
def crash(): ctypes.string_at(0)
def leave(): sys.exit(3)
def because():
    try: {}["customer"]
    except KeyError as error: raise RuntimeError("no such customer\\nsecond line") from error
def painted(): raise ValueError("\\x1b[1;31mno table\\x1b[0m of that name")
def accents(): raise ValueError("Tabelle »größe« fehlt 💥")

with DAG("kinds", schedule="@daily", start_date=datetime(2024, 1, 1)):
    for what in (query, in_a_set, crash, leave, because, painted, accents):
        PythonOperator(task_id=what.__name__, python_callable=what)
    PythonOperator(task_id="late", python_callable=lambda: time.sleep(60), execution_timeout=0.5)
    BashOperator(task_id="killed", bash_command="echo at work; kill -9 $$")
    BashOperator(task_id="tool", bash_command="printf '\\\\033[31mno such host\\\\033[0m\\\\n'; exit 2")
    BashOperator(task_id="absent", bash_command="tailrace-no-such-program --day {{ ds }}")
    BashOperator(task_id="connection", bash_command="echo {{ conn.dwh.host }}")
    BashOperator(task_id="script", bash_command="no-such.sh")
"""
SAYS = {
    "query": 'OperationalError: near "selct": syntax error',
    "in_a_set": "the XCom 'return_value' of in_a_set must be JSON (text, numbers, lists, dicts with text keys)",
    "crash": "the task's process ended without an outcome: it was killed by SIGSEGV",
    "leave": "the task called exit(3)",
    "because": "RuntimeError: no such customer",
    "accents": "ValueError: Tabelle »größe« fehlt 💥",
    "painted": "ValueError: no table of that name",
    "tool": "BashFailed: bash exited 2: no such host",
    "late": "timed out after 0:00:00.500000 (its execution_timeout)",
    "killed": "BashFailed: bash was killed by signal 9: at work",
    "absent": "BashFailed: bash exited 127: ",
    "connection": "bash_command of connection: there is no Connection 'dwh'; set it with",
    "script": "bash_command of script: no template file no-such.sh in ",
}


def test_whatever_made_it_fail_is_named_in_its_line_at_the_end_in_the_list_and_in_its_log(
    tmp_path: Path, tailrace: Run
) -> None:
    written(tmp_path, "kinds.py", KINDS)
    done = tailrace("backfill", "kinds", "-s", "2024-01-01")
    assert done.returncode == 1
    assert f"\n{len(SAYS)} task instances of {len(SAYS)} tasks failed:\n" in done.stdout
    listed = tailrace("tasks", "list", "--state", "failed", "kinds").stdout
    for task_id, says in SAYS.items():
        [line] = [each for each in done.stderr.splitlines() if each.startswith(f"failed: {task_id} @ 2024-01-01: ")]
        assert says in line and line.endswith(f"; log: tailrace tasks logs kinds {task_id} 2024-01-01T00:00Z")
        [group] = [each for each in done.stdout.splitlines() if each.startswith(f"  1 × {task_id} ")]
        assert says in group and says in listed
        last = tailrace("tasks", "logs", "kinds", task_id, "2024-01-01").stdout.splitlines()[-1]
        assert last.startswith("--- failed after ") and says in last


def commands(said: str) -> list[list[str]]:
    """What a summary says to type to run what failed again, the lines of each joined."""
    typed = said[said.index("fix the cause") :].replace(" \\\n", " ").splitlines()[1:]
    return [shlex.split(line) for line in typed]


@pytest.mark.parametrize("first", ["2024-01-03", "2024-01-02"])
@pytest.mark.parametrize(("start", "end", "count"), [("2024-01-04", "2024-01-05", 1), ("2024-01-06", "2024-01-06", 2)])
def test_a_cause_before_the_range_is_found_and_what_is_printed_repairs_it(
    tmp_path: Path, tailrace: Run, first: str, start: str, end: str, count: int
) -> None:
    written(tmp_path, "past.py", PAST % str(tmp_path))
    assert tailrace("backfill", "past", "-s", first, "-e", "2024-01-03").returncode == 1
    between = tailrace("backfill", "past", "-s", start, "-e", end)
    later = tailrace("backfill", "past", "-s", "2024-01-07", "-e", "2024-01-08")
    for done in (between, later):
        assert done.returncode == 3
        assert done.stdout.startswith("before this range: a of backfill__2024-01-03T00:00:00+00:00 failed: BashFailed")
        assert "tailrace tasks logs past a 2024-01-03T00:00Z\n" in done.stdout
    assert len(commands(between.stdout)) == count
    (tmp_path / "mended").touch()
    for command in commands(later.stdout):
        repaired = tailrace(*command[1:])
        assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    runs = json.loads(tailrace("runs", "list", "past", "-o", "json").stdout)
    assert {run["state"] for run in runs} == {"success"}
    assert {run["logical_date"][:10] for run in runs} >= {"2024-01-03", "2024-01-07", "2024-01-08"}
    assert (len(runs) == 4 + (first == "2024-01-02")) is (start == "2024-01-06"), "dates nobody asked for were not run"


def at_a_terminal(folder: Path, columns: int, *words: str) -> tuple[int, str]:
    """The exit code of a command at a terminal so wide, and what it shows there, without what steers it."""
    main, other = pty.openpty()
    environment = clean_environment(COLUMNS=str(columns), TERM="xterm", NO_COLOR="1")
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", *words], cwd=folder, env=environment, stdin=other, stdout=other, stderr=other
    )
    os.close(other)
    said = b""
    while select.select([main], [], [], 60)[0]:
        try:
            piece = os.read(main, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(main)
    return process.wait(60), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_no_line_is_longer_than_the_terminal(tmp_path: Path, columns: int) -> None:
    written(
        tmp_path,
        "wide.py",
        "from datetime import datetime\nfrom tailrace import DAG, PythonOperator\n"
        "def f():\n    raise ValueError('日本 a very long story ' * 30)\n"
        "with DAG('wide', schedule='@daily', start_date=datetime(2024, 1, 1)):\n"
        "    for n in range(3):\n"
        "        name = f'a_task_whose_name_is_long_{n}'\n"
        "        PythonOperator(task_id=name, python_callable=f, retries=1, retry_delay=0)\n",
    )
    code, text = at_a_terminal(tmp_path, columns, "backfill", "wide", "-s", "2024-01-01")
    assert code == 1
    lines = [line for line in re.split(r"[\r\n]+", text) if "/" not in line]  # but for paths of this machine
    assert max(map(width_of, lines)) <= columns, max(lines, key=width_of)
    assert sum(line.startswith("failed: a_task_whose_name_") for line in lines) == 3
    assert "failed, again at once: a_task_whose_" in text


def test_no_list_and_no_explanation_breaks_a_word_at_80_columns(tmp_path: Path, tailrace: Run) -> None:
    """Ids, dates and states were cut into pieces that nobody could read, search or copy."""
    written(tmp_path, "past.py", PAST % str(tmp_path))
    assert tailrace("backfill", "past", "-s", "2024-01-01", "-e", "2024-01-05").returncode == 3
    assert tailrace("backfill", "past", "-s", "2024-02-01", "--detach").returncode == 0
    run_id = "backfill__2024-01-04T00:00:00+00:00"
    for words, whole in {
        "backfill list": ("deadlocked", "2024-01-05", "`tailrace scheduler`"),
        "backfill show 1": (run_id, "tailrace backfill past -s 2024-01-01 -e 2024-01-05"),
        "runs list past": (run_id, "deadlocked"),
        f"runs show past {run_id}": (run_id,),
        f"runs explain past {run_id}": (run_id, "backfill__2024-01-03T00:00:00+00:00"),
        f"tasks explain past a {run_id}": ("Previous Dagrun State", "backfill__2024-01-03T00:00:00+00:00"),
        "tasks list --state failed past": ("backfill__2024-01-03T00:00:00+00:00",),
        "tasks clear past a 2024-01-03 -n": (run_id, "upstream_failed"),
        "backfill past -s 2024-01-01 -e 2024-01-06 -n": ("2024-01-06T00:00+00:00",),
        "jobs list": ("backfill 1 of past",),
        "backfill pasts -s 2024-01-01 -e 2024-01-06": ("did", "mean", "past?"),
    }.items():
        _, text = at_a_terminal(tmp_path, 80, *words.split())
        assert all(each in text for each in whole), text
        lines = [line for line in re.split(r"[\r\n]+", text) if "/" not in line or run_id in line]
        assert max(map(width_of, lines)) <= 80, max(lines, key=width_of)


def test_what_an_explanation_says_to_type_releases_the_run(tmp_path: Path, tailrace: Run) -> None:
    """Clearing a run that waits for an earlier one ends in the same deadlock; clearing a failed one ran all of it."""
    written(tmp_path, "past.py", PAST % str(tmp_path))
    assert tailrace("backfill", "past", "-s", "2024-01-03", "-e", "2024-01-04").returncode == 3
    failed = json.loads(tailrace("runs", "explain", "past", "2024-01-03", "-o", "json").stdout)["release"]
    assert failed["command"] == "tailrace runs clear past backfill__2024-01-03T00:00:00+00:00 --only-failed"
    blocked = json.loads(tailrace("runs", "explain", "past", "2024-01-04", "-o", "json").stdout)["release"]
    assert blocked["command"] == "tailrace tasks clear past a backfill__2024-01-03T00:00:00+00:00"
    (tmp_path / "mended").touch()
    assert tailrace(*shlex.split(blocked["command"])[1:], "-y").returncode == 0
    assert tailrace("backfill", "past", "-s", "2024-01-03", "-e", "2024-01-04").returncode == 0
