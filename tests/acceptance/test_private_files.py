"""What Tailrace makes is its owner's alone, whatever the umask, or a group's too if asked; what is there stays so."""

import gc
import grp
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tailrace.errors import EnvironmentBroken
from tailrace.execution.logs.files import send_output_to_log
from tailrace.metastore.store import Metastore
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.planning.resizing import plan_resize
from tests.acceptance.conftest import clean_environment
from tests.conformance.first_schema import back_to_first_schema

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

def look():
    import os
    print(f"umask {os.umask(0):03o}")

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="python", python_callable=look)
    BashOperator(task_id="bash", bash_command="cd $TAILRACE_HOME; stat -c '%a %n' tailrace.db*; touch $HERE/touched")
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
Typed = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Typed]:
    """A command as typed under a umask, perhaps as another user."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)

    def run(
        *arguments: str, umask: int = 0o022, cwd: Path = tmp_path, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=cwd,
            env=clean_environment(HERE=str(tmp_path), **more),
            capture_output=True,
            text=True,
            timeout=60,
            umask=umask,
            stdin=subprocess.DEVNULL,
        )

    yield run


def modes(home: Path) -> dict[str, set[str]]:
    """The modes of all folders, and of all files."""
    found: dict[str, set[str]] = {"folders": set(), "files": set()}
    for path in (home, *home.rglob("*")):
        found["folders" if path.is_dir() else "files"].add(f"{path.stat().st_mode & 0o7777:o}")
    return found


RUN = ("backfill", "d", "-s", "2024-01-01", "-e", "2024-01-02", "-q")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_new_files_are_private(typed: Typed, tmp_path: Path, umask: int) -> None:
    done = typed(*RUN, umask=umask)
    assert done.returncode == 0, done.stderr
    home = tmp_path / ".tailrace"
    assert modes(home) == {"folders": {"700"}, "files": {"600"}}
    logs = "".join(log.read_text() for log in home.rglob("*.log"))
    assert "600 tailrace.db-wal" in logs and "600 tailrace.db-shm" in logs
    assert f"umask {umask:03o}" in logs, "a task's umask is the person's"
    assert (tmp_path / "touched").stat().st_mode & 0o777 == 0o666 & ~umask


def test_what_somebody_opened_stays_open(typed: Typed, tmp_path: Path) -> None:
    home = tmp_path / ".tailrace"
    assert typed(*RUN).returncode == 0
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert typed("backfill", "d", "-s", "2024-01-03", "-q").returncode == 0
    assert f"{home.stat().st_mode & 0o777:o}" == "755"
    assert f"{(home / 'tailrace.db').stat().st_mode & 0o777:o}" == "644"
    assert all(f"{log.stat().st_mode & 0o777:o}" == "644" for log in home.rglob("*2024-01-01*/*.log"))
    assert all(f"{log.stat().st_mode & 0o777:o}" == "600" for log in home.rglob("*2024-01-03*/*.log"))


def test_folders_that_are_there_are_left_as_they_are(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    assert typed(*RUN, TAILRACE_HOME="home").returncode == 0
    assert f"{(tmp_path / 'home').stat().st_mode & 0o777:o}" == "755"
    assert modes(tmp_path / "home" / "logs") == {"folders": {"700"}, "files": {"600"}}
    assert f"{(tmp_path / 'home' / 'tailrace.db').stat().st_mode & 0o777:o}" == "600"


def test_copies_are_as_private_and_none_is_written_over(typed: Typed, tmp_path: Path) -> None:
    assert typed("db", "migrate", umask=0).returncode == 0
    file = tmp_path / ".tailrace" / "tailrace.db"
    for _ in range(3):
        back_to_first_schema(file)
        assert typed("db", "migrate", umask=0).returncode == 0
    names = sorted(path.name for path in file.parent.glob("*.backup*"))
    assert names == [f"tailrace.db.0001.{each}backup" for each in ("2.", "3.", "")]
    assert modes(file.parent)["files"] == {"600"}


def test_code_that_init_writes_is_nobody_elses_to_change(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert typed("init", umask=0, cwd=tmp_path / "new").returncode == 0
    assert modes(tmp_path / "new" / "dags") == {"folders": {"755"}, "files": {"644"}}
    assert f"{(tmp_path / 'new' / 'tailrace.toml').stat().st_mode & 0o777:o}" == "644"


# --- shared with a group ---------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_group_shares_it(typed: Typed, tmp_path: Path, umask: int) -> None:
    shared = grp.getgrnam("users")
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:2]:
        above.chmod(0o755)
    (tmp_path / "tailrace.toml").write_text('shared_group = "users"\n')
    assert typed(*RUN, umask=umask).returncode == 0
    home = tmp_path / ".tailrace"
    assert modes(home) == {"folders": {"2770"}, "files": {"660"}}
    assert {path.stat().st_gid for path in (home, *home.rglob("*"))} == {shared.gr_gid}
    assert written_by(home, shared.gr_gid) == 0
    assert modes(home) == {"folders": {"2770"}, "files": {"660"}}
    assert written_by(home, 65534) == 1


def written_by(home: Path, group: int) -> int:
    """The exit code of another user in this group who writes to the metastore and to a log; 1: that user may not.

    A fork of ours: another user may not be allowed to start our interpreter.
    """
    gc.collect()
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            os.setgroups([])
            os.setgid(group)
            os.setuid(65534)
            os.umask(0o077)
            with closing(Metastore.open(f"sqlite:///{home}/tailrace.db")) as store:
                store.resize(plan_resize(store.resize_facts("theirs"), "theirs", 3), "write")
            key = TryKey(TaskInstanceKey("d", "theirs", "t"), 1)
            send_output_to_log(str(home), key, "theirs")
            code = 0
        except EnvironmentBroken:
            code = 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_group_cannot_share_what_is_there_already(typed: Typed, tmp_path: Path) -> None:
    assert typed(*RUN).returncode == 0
    group = grp.getgrgid(os.getegid()).gr_name
    done = typed(*RUN, TAILRACE_SHARED_GROUP=group)
    assert done.returncode == 2
    home = tmp_path / ".tailrace"
    assert f"{home} is there already, and not shared with the group {group}; share it: chgrp -R {group} " in done.stderr
    command = done.stderr.partition("share it: ")[2].strip()
    assert subprocess.run(["bash", "-c", command]).returncode == 0
    assert typed("backfill", "d", "-s", "2024-01-05", "-q", TAILRACE_SHARED_GROUP=group).returncode == 0
    assert f"{(home / 'tailrace.db').stat().st_mode & 0o7777:o}" == "660"


def test_an_unknown_group_is_a_mistake(typed: Typed) -> None:
    done = typed(*RUN, TAILRACE_SHARED_GROUP="no-such-group")
    assert done.returncode == 2
    assert "TAILRACE_SHARED_GROUP: must be a group of this machine, not 'no-such-group'" in done.stderr


# --- what others have put there --------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("name", ["logs", "tailrace.db"])
def test_a_home_where_everybody_may_write(typed: Typed, tmp_path: Path, name: str) -> None:
    home = tmp_path / "everybodys"
    home.mkdir()
    home.chmod(0o1777)
    planted = home / name
    planted.mkdir() if name == "logs" else planted.symlink_to(tmp_path / "secret")
    os.lchown(planted, 65534, 65534)
    done = typed(*RUN, TAILRACE_HOME="everybodys")
    assert done.returncode == 4
    assert f"{planted} is another user's, in a folder where everybody may write; set TAILRACE_HOME" in done.stderr
    assert not (tmp_path / "secret").exists()


def test_a_link_where_the_log_would_be_is_not_followed(typed: Typed, tmp_path: Path) -> None:
    folder = tmp_path / ".tailrace" / "logs" / "d" / "backfill__2024-01-01T00:00:00+00:00"
    folder.mkdir(parents=True)
    (tmp_path / "precious").write_text("precious\n")
    (folder / "python.1.log").symlink_to(tmp_path / "precious")
    done = typed(*RUN, "-o", "json")
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "precious").read_text() == "precious\n"
