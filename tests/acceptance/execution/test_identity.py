"""Whether a process lives is told only where it can be seen: beside real containers, and a ``/proc`` that hides."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.execution.system.identity import Life, identity_of, life_of, own_identity
from tailrace.model.keys import ProcessIdentity
from tests.acceptance.conftest import clean_environment

#: What a process finds of itself, of a child, of a zombie, of what has gone, and of others it is told of.
LOOKS = """
import json, os, subprocess, sys, time
from tailrace.execution.system.identity import identity_from, life_of, own_identity, start_time
from tailrace.model.keys import ProcessIdentity
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
identity = identity_from(child.pid, start_time(child.pid) or 0)
found = {"self": life_of(own_identity()).name, "child": life_of(identity).name, "namespace": own_identity().namespace}
child.kill()
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
found["zombie"] = life_of(identity).name
child.wait()
found["gone"] = life_of(identity).name
found["others"] = [life_of(ProcessIdentity(*each)).name for each in json.loads(sys.argv[1])]
print(json.dumps(found))
"""


def looked(*within: str, others: tuple[ProcessIdentity, ...] = (), before: str = "") -> dict[str, Any]:
    """What a process finds that is started so. Skips where that cannot be had."""
    told = json.dumps([[each.host, each.boot_id, each.pid, each.start_time, each.namespace] for each in others])
    script = f'{before} {sys.executable} -c "$LOOKS" "$TOLD"'
    command = [*within, "bash", "-c", script]
    done = subprocess.run(command, env=clean_environment(LOOKS=LOOKS, TOLD=told), capture_output=True, text=True)
    if done.returncode in (1, 9) and not done.stdout and "Traceback" not in done.stderr:
        pytest.skip(f"cannot be had here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


SEEN = {"self": "ALIVE", "child": "ALIVE", "zombie": "DEAD", "gone": "DEAD"}


def states(found: dict[str, Any]) -> dict[str, str]:
    return {name: found[name] for name in SEEN}


def test_what_is_in_plain_sight() -> None:
    found = looked("env")
    assert states(found) == SEEN
    assert found["namespace"] == own_identity().namespace != ""


def test_another_pid_namespace() -> None:
    """Two containers of one host: the same name, the same boot, other pids."""
    mine = own_identity()
    reused = replace(mine, start_time=mine.start_time + 1)
    found = looked("unshare", "--pid", "--fork", "--mount-proc", others=(mine, reused, replace(mine, pid=2**22 - 1)))
    assert states(found) == SEEN
    assert found["namespace"] not in ("", mine.namespace)
    assert found["others"] == ["UNKNOWN"] * 3


def test_a_proc_of_another_namespace() -> None:
    """It shows pids that are not ours: nothing in it can be believed."""
    found = looked("unshare", "--pid", "--fork", others=(own_identity(),))
    assert set(states(found).values()) == {"UNKNOWN"}
    assert found["others"] == ["UNKNOWN"]


def test_no_proc() -> None:
    found = looked("unshare", "--mount", before="mount -t tmpfs none /proc || exit 9;", others=(own_identity(),))
    assert set(states(found).values()) == {"UNKNOWN"}
    assert found["others"] == ["UNKNOWN"]


def test_a_proc_that_hides_other_users() -> None:
    mine = own_identity()
    gone = replace(mine, pid=2**22 - 1)
    caps = "+dac_read_search,+dac_override"  # where Python lies may be closed to others
    nobody = f"setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps {caps} --ambient-caps {caps}"
    before = f"mount -t proc -o hidepid=2 proc /proc || exit 9; {nobody}"
    found = looked("unshare", "--mount", before=before, others=(mine, gone))
    assert states(found) == SEEN
    assert found["others"] == ["UNKNOWN", "DEAD"], "nothing that can be hidden has the pid of the second"


def test_a_process_that_goes() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    identity = identity_of(child.pid)
    assert identity is not None and life_of(identity) is Life.ALIVE
    os.kill(child.pid, signal.SIGSTOP)
    assert life_of(identity) is Life.ALIVE
    child.kill()
    child.wait()
    assert life_of(identity) is Life.DEAD


CHANGES = {
    "host": st.text(max_size=5),
    "boot_id": st.text(max_size=5),
    "namespace": st.text(max_size=5),
}


@given(changed=st.fixed_dictionaries({}, optional=CHANGES), pid=st.none() | st.integers(1, 2**22))
def test_only_what_is_of_here_can_be_dead(changed: dict[str, Any], pid: int | None) -> None:
    mine = own_identity()
    other = replace(mine, **changed, **({} if pid is None else {"pid": pid}))
    life = life_of(other)
    if any(getattr(other, name) != getattr(mine, name) for name in CHANGES):
        assert life is Life.UNKNOWN
    elif other.pid == mine.pid:
        assert life is Life.ALIVE
    else:
        assert life is not Life.ALIVE


def command(project: Path, before: str, *within: str) -> "subprocess.CompletedProcess[str]":
    (project / "dags").mkdir()
    (project / "dags" / "d.py").write_text(
        "from datetime import datetime\nfrom tailrace import DAG, BashOperator, PythonOperator\n"
        "with DAG('d', schedule='@daily', start_date=datetime(2024, 1, 1)):\n"
        "    BashOperator(task_id='a', bash_command='true') >> PythonOperator(task_id='b', python_callable=print)\n"
    )
    script = f"{before} exec {sys.executable} -m tailrace backfill d -s 2024-01-01 -e 2024-01-03"
    done = subprocess.run(
        [*within, "bash", "-c", script],
        cwd=project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode == 9 or "unshare" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr}")
    return done


def test_a_job_runs_where_proc_is_another_namespaces(tmp_path: Path) -> None:
    done = command(tmp_path, "", "unshare", "--pid", "--fork", "--kill-child")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 success" in done.stdout


def test_a_job_says_that_it_needs_proc(tmp_path: Path) -> None:
    done = command(tmp_path, "mount -t tmpfs none /proc || exit 9;", "unshare", "--mount")
    assert (done.returncode, done.stdout) == (4, "")
    assert "error: /proc is not mounted" in done.stderr and "Traceback" not in done.stderr
