"""A path is a path, whatever bytes are in it: never a part of a URL, of a line, or of a shell's command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import clean_environment
from tests.unit.model.test_printable import steers

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

with DAG("p", schedule="@daily", start_date=datetime(2024, 1, 1)):
    home = BashOperator(task_id="bash", bash_command='printf %s "$TAILRACE_HOME"')
    home >> PythonOperator(task_id="python", python_callable=print)
"""

NAMES = {
    "every ASCII": bytes(each for each in range(1, 128) if each != ord("/")),
    "every other byte": bytes(range(128, 256)),
    "a URL's": b"why?mode=memory&cache=shared#%20",
    "in memory": b":memory:",
    "a home's": b"~root",
    "an option": b"--help",
}
#: Neighbours that were taken for one: the two question marks' metastore was a file beside both, ``why``.
NEIGHBOURS = (b"why?1", b"why?2", b"a b", b"a%20b", b"a+b")


def project(above: Path, name: bytes) -> bytes:
    folder = os.path.join(os.fsencode(above), name)
    os.makedirs(folder + b"/dags")
    with open(folder + b"/dags/p.py", "w") as file:
        file.write(DAG)
    return folder


def typed(folder: bytes, *words: bytes, **environment: bytes) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, which must be text that steers no terminal (but for a log's bytes)."""
    given: dict[bytes, bytes] = {os.fsencode(name): os.fsencode(value) for name, value in clean_environment().items()}
    given |= {name.encode(): value for name, value in environment.items()}
    command = [os.fsencode(sys.executable), b"-P", b"-m", b"tailrace", *words]
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    if b"logs" in words:
        return done.returncode, os.fsdecode(done.stdout), done.stderr.decode()
    out, err = done.stdout.decode(), done.stderr.decode()
    assert not any(map(steers, out + err)), (out, err)
    return done.returncode, out, err


@pytest.mark.parametrize("name", NAMES)
def test_a_project_in_such_a_folder(tmp_path: Path, name: str) -> None:
    folder = project(tmp_path, NAMES[name])
    code, out, err = typed(folder, b"backfill", b"p", b"-s", b"2024-01-01", b"-o", b"json")
    assert (code, json.loads(out or "null")) == (0, json.loads(out)), err
    assert os.listdir(tmp_path) == [os.fsdecode(NAMES[name])], "nothing is made beside it"
    assert os.path.exists(folder + b"/.tailrace/tailrace.db")
    code, out, _ = typed(folder, b"config", b"show", b"-o", b"json")
    assert os.fsencode(json.loads(out)["database_url"]["value"]) == b"sqlite:///" + folder + b"/.tailrace/tailrace.db"
    code, out, _ = typed(folder, b"tasks", b"logs", b"p", b"bash", b"2024-01-01")
    assert (code, os.fsdecode(folder + b"/.tailrace") in out) == (0, True)
    for words in ("db check", "audit", "dags list", "dags check", "backfill show 1", "tasks test p python 2024-01-01"):
        code, _, err = typed(folder, *words.encode().split())
        assert (code, words) == (0, words), err
    code, _, err = typed(folder, b"db", b"check")
    assert len(err.splitlines()) == 1, err


@pytest.mark.parametrize("name", NAMES)
def test_a_metastore_that_is_named_there(tmp_path: Path, name: str) -> None:
    folder = project(tmp_path, NAMES[name])
    (tmp_path / "elsewhere").mkdir()
    where = {"TAILRACE_DATABASE_URL": b"sqlite:///" + folder + b"/other.db", "TAILRACE_HOME": folder + b"/home"}
    command = (b"backfill", b"p", b"-s", b"2024-01-01", b"--dags", folder + b"/dags", b"--isolation", b"spawn")
    code, out, err = typed(os.fsencode(tmp_path / "elsewhere"), *command, **where)
    assert code == 0, out + err
    assert sorted(os.listdir(folder)) == [b"dags", b"home", b"other.db"]
    code, out, err = typed(os.fsencode(tmp_path / "elsewhere"), b"backfill", b"list", b"-o", b"json", **where)
    assert len(json.loads(out)) == 1


def test_neighbours_have_a_metastore_each(tmp_path: Path) -> None:
    folders = [project(tmp_path, name) for name in NEIGHBOURS]
    for folder in folders:
        assert typed(folder, b"backfill", b"p", b"-s", b"2024-01-01", b"-q")[0] == 0
    for folder in folders:
        assert [each["backfill_id"] for each in json.loads(typed(folder, b"backfill", b"list", b"-o", b"json")[1])] == [
            1
        ]
    assert len(os.listdir(tmp_path)) == len(NEIGHBOURS)


def test_a_path_that_is_too_long_for_sqlite(tmp_path: Path) -> None:
    folder = project(tmp_path / ("deep" * 50) / ("deeper" * 40), b"p")
    code, _, err = typed(folder, b"backfill", b"p", b"-s", b"2024-01-01")
    assert code == 4
    assert "SQLite takes no path of more than 500 bytes; choose a shorter one" in err
