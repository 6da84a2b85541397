"""What is wrong is said in one line that says what to do, with the right exit code, and nothing is half-written.

A full disk is a real one (a tiny tmpfs in a mount namespace of its own), and so is a home that may not be written:
the command runs without the capabilities that let root write anywhere.
"""

import ctypes
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import clean_environment

Run = Callable[..., subprocess.CompletedProcess[str]]

DAGS = """
from datetime import datetime
from tailrace import DAG, EmptyOperator

for name in ("sales_daily", "sales_weekly"):
    with DAG(name, schedule="@weekly" if "weekly" in name else "@daily", start_date=datetime(2024, 1, 1)):
        EmptyOperator(task_id="only")
"""
COMMAND = ("backfill", "sales_daily", "-s", "2024-01-01", "-e", "2024-01-02")
_DROP_FROM_BOUNDING_SET, _DAC_OVERRIDE, _DAC_READ_SEARCH = 24, 1, 2


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "sales.py").write_text(DAGS)
    return tmp_path


def refused(done: subprocess.CompletedProcess[str], code: int, *says: str) -> None:
    """One clear line on stderr, the code, no traceback, nothing on stdout."""
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    for text in says:
        assert text in errors[0]
    assert "Traceback" not in done.stderr


def untouched(project: Path) -> None:
    """No metastore was made."""
    assert not (project / ".tailrace" / "tailrace.db").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("backfill", "sales_dayly", "-s", "2024-01-01"), ("no DAG 'sales_dayly'", "did you mean sales_daily")),
        (
            ("backfill", "nothing_like_it", "-s", "2024-01-01"),
            ("no DAG 'nothing_like_it'", "sales_daily and sales_weekly"),
        ),
        (("backfill", "sales_daily"), ("no dates given", "-s START")),
        (
            ("backfill", "sales_daily", "-s", "2024-02-01", "-e", "2024-01-01"),
            ("ends before it begins", "did you mean"),
        ),
        (("backfill", "sales_daily", "-s", "yesterday"), ("not a date: 'yesterday'", "ISO 8601")),
        (("backfill", "sales_daily", "-s", "2024-02-30"), ("not a date: '2024-02-30'", "day")),
        (("backfill", "sales_weekly", "-s", "2024-01-02"), ("no schedule point", "2023-12-31", "2024-01-07")),
        (("backfill", "sales_daily", "-s", "2999-01-01"), ("no interval", "has ended")),
        ((*COMMAND, "--conf", "{bad"), ("--conf is not JSON",)),
        ((*COMMAND, "--conf", "[1]"), ("--conf must be a JSON object",)),
        ((*COMMAND, "--reprocess", "some"), ("--reprocess", "missing")),
        ((*COMMAND, "--max-active-runs", "0"), ("--max-active-runs",)),
        ((*COMMAND, "--stop-on-failur"), ("--stop-on-failure",)),
        ((*COMMAND, "--frobnicate"), ("no such option: --frobnicate; see ", "backfill run --help")),
        ((*COMMAND, "--dags", "nowhere"), ("nowhere", "does not exist")),
        ((*COMMAND, "--dags", "/etc/passwd"), ("/etc/passwd", "is no Python file (.py)")),
        (("dags", "show", "sales_dayly"), ("did you mean sales_daily",)),
        (("runs", "show", "sales_daily", "2024-01-01"), ("sales_daily", "2024-01-01")),
        (("tasks", "logs", "sales_daily", "only", "2024-01-01"), ("sales_daily",)),
        (("tasks", "test", "sales_daily", "onyl", "2024-01-01"), ("onyl", "did you mean only")),
        (("backfill", "show", "7"), ("backfill 7",)),
        (("backfill", "show", "abc"), ("'abc' is not a backfill's id", "`tailrace backfill list`", "1 or more")),
        (("backfill", "cancel", "0"), ("'0' is not a backfill's id", "`tailrace backfill list`", "1 or more")),
        (("pools", "set", "p", "many"), ("'many' is not a whole number, 0 or more",)),
        (("pools", "set", "p", "9" * 30), (f"'{'9' * 30}' is more than 2147483647",)),
        (("pools", "set", "p", "-15"), ("-15 is no option, and no number below zero is expected here",)),
        (("pools", "set", "", "3"), ("a pool needs a name",)),
        (("runs", "list", "sales_dayly"), ("sales_dayly has never run here",)),
        (("runs", "list", ""), ("DAG_ID is empty", "`tailrace dags list`")),
        (("backfill", "", "-s", "2024-01-01"), ("DAG_ID is empty", "`tailrace dags list`")),
        (("backfill", "list", "sales_dayly", "-o", "json"), ("sales_dayly has never run here",)),
    ],
)
def test_wrong_commands(tailrace: Run, project: Path, arguments: tuple[str, ...], says: tuple[str, ...]) -> None:
    refused(tailrace(*arguments), 2, *says)
    untouched(project)


def test_a_missing_pool_is_refused_before_anything_is_created(tailrace: Run, project: Path) -> None:
    refused(tailrace(*COMMAND, "--pool", "nowhere"), 2, "nowhere", "tailrace pools set nowhere")
    assert json.loads(tailrace("backfill", "list", "-o", "json").stdout) == []
    assert json.loads(tailrace("runs", "list", "-o", "json").stdout) == []


def test_no_folder_of_dag_files(tailrace: Run, project: Path) -> None:
    elsewhere = project / "empty"
    elsewhere.mkdir()
    (elsewhere / "tailrace.toml").touch()
    refused(tailrace(*COMMAND, cwd=elsewhere), 2, "no DAG 'sales_daily'", "does not exist", "tailrace init")
    for words in (("tasks", "test", "sales_daily", "only", "2024-01-01"), ("dags", "show", "sales_daily")):
        refused(tailrace(*words, cwd=elsewhere), 2, "no DAG 'sales_daily'", "does not exist", "tailrace init")
    refused(tailrace("backfill", "show", cwd=elsewhere), 2, "no backfill yet", "makes one")
    guess = "did you mean example_weather"
    refused(tailrace("backfill", "example_wether", "-s", "2012-01-01", cwd=elsewhere), 2, guess)


def test_a_preview_refuses_the_same(tailrace: Run, project: Path) -> None:
    refused(tailrace("backfill", "sales_dayly", "-s", "2024-01-01", "-n"), 2, "did you mean sales_daily")
    refused(tailrace(*COMMAND, "--pool", "nowhere", "-n"), 2, "tailrace pools set nowhere")
    untouched(project)


LOADING = (
    ("dags", "check"),
    ("dags", "list"),
    ("dags", "show", "sales_daily"),
    ("tasks", "list", "sales_daily"),
    ("tasks", "test", "sales_daily", "only", "2024-01-01"),
    COMMAND,
    ("dags", "trigger", "sales_daily"),
)


@pytest.mark.parametrize("command", LOADING[2:])
def test_of_two_dags_with_one_name_none_is_taken(tailrace: Run, project: Path, command: tuple[str, ...]) -> None:
    (project / "dags" / "again.py").write_text(DAGS)
    done = tailrace(*command)
    refused(done, 2, "dags/sales.py:", "duplicate dag_id 'sales_daily'", "dags/again.py has it too")
    untouched(project)


def test_a_folder_without_dags_says_what_to_do(tailrace: Run, project: Path) -> None:
    (project / "dags" / "sales.py").unlink()
    refused(tailrace(*COMMAND), 2, "no DAG 'sales_daily'", "`tailrace init` writes a first one")


def test_a_dag_with_mistakes_is_refused_and_another_file_is_not_its_business(tailrace: Run, project: Path) -> None:
    (project / "dags" / "broken.py").write_text(
        "from tailrace import DAG, EmptyOperator\n"
        "with DAG('broken', schedule='61 * * * *'):\n"
        "    EmptyOperator(task_id='a', trigger_rule='sometimes')\n"
    )
    done = tailrace("backfill", "broken", "-s", "2024-01-01")
    assert done.returncode == 2
    assert "broken.py:" in done.stderr and "Traceback" not in done.stderr
    untouched(project)
    assert tailrace(*COMMAND).returncode == 0


def test_settings_that_mean_nothing(tailrace: Run, project: Path) -> None:
    refused(tailrace(*COMMAND, TAILRACE_WORKERS="lots"), 2, "TAILRACE_WORKERS", "a whole number")
    (project / "tailrace.toml").write_text("worker = 1\n")
    refused(tailrace(*COMMAND), 2, "tailrace.toml", "did you mean workers?")
    untouched(project)


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:secret@127.0.0.1:1/db", "postgresql://me:secret@no-such-host.invalid/db"]
)
@pytest.mark.parametrize("arguments", [COMMAND, ("runs", "list", "sales_daily"), ("db", "check")])
def test_metastore_out_of_reach(tailrace: Run, url: str, arguments: tuple[str, ...]) -> None:
    done = tailrace(*arguments, TAILRACE_DATABASE_URL=url)
    refused(done, 4, "metastore", "TAILRACE_DATABASE_URL")
    assert "secret" not in done.stderr


@pytest.mark.parametrize("arguments", [COMMAND, (*COMMAND, "-n"), ("runs", "list", "sales_daily"), ("db", "migrate")])
def test_metastore_of_a_newer_schema(tailrace: Run, project: Path, arguments: tuple[str, ...]) -> None:
    assert tailrace("db", "migrate").returncode == 0
    file = project / ".tailrace" / "tailrace.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    refused(tailrace(*arguments), 4, "newer", "upgrade Tailrace")


def test_a_file_that_is_no_metastore(tailrace: Run, project: Path) -> None:
    home = project / ".tailrace"
    home.mkdir()
    (home / "tailrace.db").write_text("not a database, " * 100)
    refused(tailrace(*COMMAND), 4, "not a SQLite database")
    assert (home / "tailrace.db").read_text() == "not a database, " * 100


def without_roots_powers() -> None:
    """Even root may then write only where the mode says so."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        if libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0) != 0:
            os._exit(99)


def run_held_back(
    project: Path, before: Callable[[], None], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailrace", *arguments],
        cwd=project,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=before,
    )


@pytest.mark.parametrize("arguments", [COMMAND, ("pools", "set", "p", "1"), ("db", "migrate")])
def test_read_only_home(project: Path, arguments: tuple[str, ...]) -> None:
    before = without_roots_powers if os.geteuid() == 0 else lambda: None
    home = project / "home"
    home.mkdir(mode=0o500)
    done = run_held_back(project, before, *arguments, TAILRACE_HOME=str(home))
    refused(done, 4, str(home), "TAILRACE_HOME")
    assert list(home.iterdir()) == []
    inner = run_held_back(project, before, *arguments, TAILRACE_HOME=str(home / "deeper"))
    refused(inner, 4, str(home), "TAILRACE_HOME")


def test_home_that_is_a_file(tailrace: Run, project: Path) -> None:
    (project / "home").write_text("mine")
    refused(tailrace(*COMMAND, TAILRACE_HOME=str(project / "home")), 4, str(project / "home"))


def on_a_tiny_disk(project: Path, kilobytes: int, *commands: str) -> subprocess.CompletedProcess[str]:
    """Run shell commands where ``home`` is a disk of that size, seen by nobody else. Skips where there can be none."""
    (project / "home").mkdir(exist_ok=True)
    script = "\n".join([f"mount -t tmpfs -o size={kilobytes}k none home || exit 99", *commands])
    done = subprocess.run(
        ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)), "bash", "-c", script],
        cwd=project,
        env=clean_environment(TAILRACE_HOME=str(project / "home"), PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    return done


def refused_then_done(done: subprocess.CompletedProcess[str], says: str) -> dict[str, Any]:
    """The answer of the second of two commands, the first of which was refused in one line by the environment."""
    lines = done.stdout.splitlines()
    assert lines[0] == "first 4", done.stdout + done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert says in error
    assert "Traceback" not in done.stderr
    assert lines[-1] == "second 0", done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(lines[-2])
    return answer


def test_full_disk(project: Path) -> None:
    """Too small even for the tables: one line, nothing left behind that hinders the same command once there is room."""
    done = on_a_tiny_disk(
        project,
        64,
        f"$PYTHON -m tailrace {' '.join(COMMAND)}; echo first $?",
        "mount -o remount,size=64m home",
        f"$PYTHON -m tailrace {' '.join(COMMAND)} -o json; echo second $?",
    )
    assert refused_then_done(done, "full")["runs"] == {"success": 2}


def test_a_full_disk_for_logs_costs_no_try(project: Path) -> None:
    """The metastore has room, the logs have none: nothing is claimed, and the same command goes on."""
    elsewhere = f"export TAILRACE_DATABASE_URL=sqlite:///{project}/elsewhere.db"
    done = on_a_tiny_disk(
        project,
        64,
        f"{elsewhere}; cat /dev/zero > home/stuffed 2>/dev/null",
        f"$PYTHON -m tailrace {' '.join(COMMAND)}; echo first $?",
        "rm home/stuffed",
        f"$PYTHON -m tailrace {' '.join(COMMAND)} -o json; echo second $?",
    )
    says = f"{project}/home/logs: the disk is full; make room and run the same command again"
    assert refused_then_done(done, says)["task_instances"] == {"success": 2}
    with sqlite3.connect(project / "elsewhere.db") as connection:
        assert connection.execute("SELECT max(try_number), max(lost_tries) FROM task_instance").fetchone() == (1, 0)


def test_logs_that_may_not_be_written_cost_no_try(tailrace: Run, project: Path) -> None:
    before = without_roots_powers if os.geteuid() == 0 else lambda: None
    logs = project / ".tailrace" / "logs"
    logs.mkdir(parents=True, mode=0o500)
    done = run_held_back(project, before, *COMMAND, "-q")
    refused(done, 4, f"{logs}: permission denied; make it writable, or set TAILRACE_HOME to another folder")
    logs.chmod(0o700)
    assert json.loads(tailrace(*COMMAND, "-o", "json").stdout)["runs"] == {"success": 2}


def test_files_that_may_not_grow(project: Path) -> None:
    """The other way a disk says no: a limit on the size of any file. It needs no privilege."""
    limit = 16 * 1024

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run_held_back(project, small_files, *COMMAND)
    refused(done, 4, "metastore")
    done = run_held_back(project, lambda: None, *COMMAND, "-o", "json")
    assert json.loads(done.stdout)["runs"] == {"success": 2}


def test_a_list_of_an_unknown_dag_names_the_nearest(tailrace: Run) -> None:
    assert tailrace(*COMMAND).returncode == 0
    for group in ("runs", "backfill"):
        refused(tailrace(group, "list", "sales_dayly"), 2, "sales_dayly has never run here; did you mean sales_daily?")
        assert len(json.loads(tailrace(group, "list", "sales_daily", "-o", "json").stdout)) > 0
    only_previewed = tailrace("runs", "list", "sales_daily", "--state", "failed")
    assert (only_previewed.returncode, only_previewed.stderr) == (0, "no runs of sales_daily with these options\n")
