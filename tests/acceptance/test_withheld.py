"""Our own secrets and descriptors are not a task's: not in its environment, its memory, its children, its DAG file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tailrace.execution.system.withheld import is_secret, without_secrets
from tailrace.execution.zygote.handle import start_zygote
from tests.acceptance.conftest import Run, clean_environment

SECRETS = {
    "TAILRACE_DATABASE_URL": "sqlite:///MARK.db",
    "TAILRACE_API_TOKEN": "MARK",
    "TAILRACE_FERNET_KEYS": "MARK",
    "TAILRACE_WEB_PASSWORD": "MARK",
}
THEIRS = {"PGPASSWORD": "theirs", "MY_TOKEN": "theirs", "DATABASE_URL": "theirs"}

DAG = """
import os, subprocess, sys
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

HERE = os.environ["HERE"]

def say(where):
    with open(f"{HERE}/{where}", "w") as file:
        print(sorted(os.environ.items()), file=file)
        print(open("/proc/self/environ", "rb").read(), file=file)
        file.flush()
        subprocess.run(["env"], stdout=file)

say(f"loading.{os.getpid()}")

def descriptors():
    os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", f"ls -l /proc/self/fd > {HERE}/descriptors"])

BASH = '''
env > $HERE/bash
cat /proc/self/environ >> $HERE/bash
tailrace backfill list > $HERE/nested 2>&1
echo $? >> $HERE/nested
'''

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="python", python_callable=say, op_args=["python"])
    PythonOperator(task_id="descriptors", python_callable=descriptors)
    BashOperator(task_id="bash", bash_command=BASH.replace("tailrace", f"{sys.executable} -m tailrace"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    return tmp_path


def said(folder: Path) -> str:
    return "".join(
        path.read_text(errors="replace") for path in folder.iterdir() if path.is_file() and path.suffix != ".db"
    )


@pytest.mark.parametrize("isolation", ["fork", "spawn", "worker"])
def test_no_task_gets_them(folder: Path, tailrace: Run, isolation: str) -> None:
    given = {**SECRETS, **THEIRS, "HERE": str(folder)}
    done = tailrace("backfill", "d", "-s", "2024-01-01", "--isolation", isolation, "-w", "2", **given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "MARK.db").exists(), "the job itself has it"
    for name in ("python", "bash", "nested", "descriptors"):
        assert (folder / name).exists(), name
    everything = said(folder).replace(f"{folder}/MARK.db", "")
    assert "MARK" not in everything
    for name, value in THEIRS.items():
        assert f"{name}={value}" in (folder / "bash").read_text(errors="replace")
        assert f"('{name}', '{value}')" in (folder / "python").read_text()
    assert (folder / "nested").read_text().splitlines() == [
        "error: a task does not get the metastore's TAILRACE_DATABASE_URL; give this command one of its own, or name "
        "the metastore in tailrace.toml",
        "2",
    ]
    opened = re.findall(r" (\d+) -> (.*)", (folder / "descriptors").read_text())
    assert {number for number, _ in opened} <= {"0", "1", "2", "3"}, opened  # 3 is what ls reads the folder by


def test_neither_does_a_task_that_is_tried(folder: Path, tailrace: Run) -> None:
    given = {**SECRETS, "HERE": str(folder)}
    assert tailrace("tasks", "test", "d", "python", "2024-01-01", **given).returncode == 0
    assert tailrace("tasks", "test", "d", "bash", "2024-01-01", **given).returncode == 0
    assert "MARK" not in said(folder)


def test_nor_do_files_that_are_loaded_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler starts another interpreter for them."""
    for name, value in {**SECRETS, **THEIRS, "HERE": str(folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    (folder / "msgspec.py").write_text("raise SystemExit('code of whoever may write to the working folder')")
    zygote = start_zygote(folder / "dags", folder / "home", small=False)
    try:
        assert list(zygote.loaded().specs) == ["d"]
    finally:
        zygote.stop()
    (folder / "msgspec.py").unlink()
    assert "MARK" not in said(folder)
    assert "theirs" in said(folder)
    assert os.environ["TAILRACE_DATABASE_URL"] == SECRETS["TAILRACE_DATABASE_URL"]


def test_a_fresh_interpreter_for_each_try_looks_for_no_module_in_the_working_folder(folder: Path) -> None:
    (folder / "dags" / "d.py").write_text(
        "from datetime import datetime\nfrom tailrace import DAG, EmptyOperator\n"
        "with DAG('d', schedule='@daily', start_date=datetime(2024, 1, 1)):\n    EmptyOperator(task_id='t')\n"
    )
    (folder / "tempfile.py").write_text("raise SystemExit('code of whoever may write to the working folder')")
    (folder / "msgspec.py").write_text("raise SystemExit('code of whoever may write to the working folder')")
    command = [str(Path(sys.executable).with_name("tailrace")), "backfill", "d", "-s", "2024-01-01"]
    done = subprocess.run(
        [*command, "--isolation", "spawn"],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_which_names_are_ours() -> None:
    for name in (*SECRETS, "TAILRACE_TRY_TOKEN", "TAILRACE_METASTORE_DSN", "tailrace_database_url"):
        assert is_secret(name), name
    for name in (
        *THEIRS,
        "TAILRACE_HOME",
        "TAILRACE_WORKERS",
        "TAILRACE_KEYBOARD",
        "TAILRACE_TASK_ID",
        "XTAILRACE_KEY",
    ):
        assert not is_secret(name), name
    assert without_secrets({"A": "1", "TAILRACE_KEY": "x"}) == {"A": "1"}
