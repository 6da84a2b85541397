"""Variables and Connections as a person uses them: set, read by DAG files and tasks, and seen in no log."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.secrets.keys import new_key
from tests.acceptance.conftest import Run, clean_environment

PASSWORD = "MARK'of p@ss/word"
URI = "postgres://me:MARK%27of%20p%40ss%2Fword@db.example:5432/wh"

DAG = """
import os, subprocess, sys, threading, time
from datetime import datetime
from urllib.parse import quote
from tailrace import DAG, BashOperator, Connection, PythonOperator, Variable

STAGE = Variable.get("stage", default_var="dev")
TOKEN = Variable.get("load_token", "")
print("loaded with", TOKEN, STAGE)

def talk():
    password = Connection.get("wh").password
    print("whole", password, repr(password), quote(password), Connection.get("wh").get_uri())
    sys.stdout.write("half " + password[:7])
    sys.stdout.flush()
    time.sleep(0.2)
    sys.stdout.write(password[7:] + "\\n")
    print("lines", password[:5], password[5:], sep="\\n")
    os.write(2, b"raw " + password.encode() + b"\\n")
    subprocess.run(["sh", "-c", 'echo "child $0"; echo "$0" >&2', password])
    threading.Thread(target=lambda: print("thread", password)).start()
    print("token", TOKEN)
    Variable.set("written", {"by": os.environ["TAILRACE_TASK_ID"]}, serialize_json=True)
    raise ValueError("cannot log in at " + Connection.get("wh").get_uri())

def crash():
    print(Connection.get("wh").password, flush=True)
    os.kill(os.getpid(), 9)

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(
        task_id="bash",
        bash_command='''
echo stage {{ var.value.stage }} at {{ conn.wh.host }}:{{ conn.wh.port }} as {{ conn.wh.login }} \
  {{ var.json.config.deep.x }} {{ var.value.get('nope', 'not there') }}
echo $PASSWORD
set -x
: "$PASSWORD"
''',
        env={"PASSWORD": "{{ conn.wh.password }}"},
        append_env=True,
        do_xcom_push=False,
    )
    PythonOperator(task_id="talks", python_callable=talk)
    PythonOperator(task_id="crashes", python_callable=crash)

with DAG("plain", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="shows", python_callable=lambda: print("stage", Variable.get("stage"), "of", STAGE))
    BashOperator(task_id="env", bash_command="env")

def lacks(what):
    Variable.get("nope") if what == "variable" else Connection.get("nope")

with DAG("lacking", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="variable", python_callable=lacks, op_args=["variable"])
    PythonOperator(task_id="connection", python_callable=lacks, op_args=["connection"])
    BashOperator(task_id="rendered", bash_command="echo {{ var.value.nope }}")
    BashOperator(task_id="json", bash_command="echo {{ var.json.stage.x }}")
    BashOperator(task_id="fine", bash_command="echo {{ var.value.stage }}")
"""


@pytest.fixture
def folder(tmp_path: Path, tailrace: Run) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    (tmp_path / "dags" / "e.py").write_text(
        "from tailrace import DAG, Variable\nimport os\n"
        "os.write(2, ('another with ' + Variable.get('load_token', '') + '\\n').encode())\n"
        "DAG('e', schedule=Variable.get('load_token') + ' is no schedule' if 'BREAK' in os.environ else None)\n"
    )
    assert tailrace("variables", "set", "stage", "production").returncode == 0
    assert tailrace("variables", "set", "config", '{"deep": {"x": 5}}', "--json").returncode == 0
    assert tailrace("variables", "set", "load_token", "MARK-of-the-load").returncode == 0
    assert tailrace("connections", "set", "wh", URI).returncode == 0
    return tmp_path


def logs(folder: Path) -> dict[str, str]:
    found = sorted((folder / ".tailrace" / "logs").rglob("*.log"))
    return {path.name.removesuffix(".log"): path.read_text() for path in found}


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / ".tailrace").glob("tailrace.db*"))


@pytest.mark.parametrize("isolation", ["fork", "spawn", "worker"])
def test_tasks_read_them_and_no_log_shows_a_secret(folder: Path, tailrace: Run, isolation: str) -> None:
    done = tailrace("backfill", "d", "-s", "2024-01-01", "-w", "2", "--isolation", isolation)
    assert done.returncode == 1, done.stderr
    wait_for(lambda: "\n***\n" in logs(folder)["crashes.1"])  # what was written last is there, though it was killed
    said = logs(folder)
    everything = "".join(said.values()) + done.stdout + done.stderr
    assert "loaded with *** production" in done.stderr and "another with ***" in done.stderr
    assert "stage production at db.example:5432 as me 5 not there\n***\n" in said["bash.1"]
    talk = said["talks.1"]
    assert (
        "whole *** '***' *** postgres://me:***@db.example:5432/wh\nhalf ***\nlines\n***\n\nraw ***\n"
        in talk.replace('"***"', "'***'")
    )
    assert "child ***\n***\n" in talk and "thread ***\n" in talk and "token ***\n" in talk
    assert "ValueError: cannot log in at postgres://me:***@" in talk
    assert talk.rstrip().splitlines()[-1].startswith("--- failed after")
    for command in (
        ("tasks", "explain", "d", "talks", "2024-01-01"),
        ("tasks", "list", "--state", "failed", "d", "-o", "json"),
        ("tasks", "logs", "d", "talks", "2024-01-01"),
        ("tasks", "render", "d", "bash", "2024-01-01"),
        ("tasks", "render", "d", "bash", "2024-01-01", "-o", "json"),
        ("tasks", "test", "d", "talks", "2024-01-01"),
        ("tasks", "test", "d", "bash", "2024-01-01"),
        ("variables", "list"),
        ("connections", "list"),
        ("backfill", "show", "1", "-o", "json"),
    ):
        shown = tailrace(*command)
        everything += shown.stdout + shown.stderr
        assert "***" in shown.stdout + shown.stderr or command[0] == "backfill", command
    shown = tailrace("dags", "check", BREAK="yes")
    everything += shown.stdout + shown.stderr
    assert "*** is no schedule" in shown.stdout + shown.stderr
    assert "MARK" not in everything
    assert b"MARK" not in stored(folder)
    assert json.loads(tailrace("variables", "get", "written").stdout) == {"by": "talks"}
    assert tailrace("connections", "get", "wh").stdout == f"{URI}\n"


def test_the_environment_goes_before_the_metastore(folder: Path, tailrace: Run) -> None:
    environment = {"AIRFLOW_VAR_STAGE": "airflow's", "TAILRACE_CONN_OTHER": "x://MARK", "TAILRACE_VAR_MY_TOKEN": "MARK"}
    done = tailrace("backfill", "plain", "-s", "2024-01-01", **environment)
    assert done.returncode == 0, done.stderr
    assert "stage airflow's of airflow's" in logs(folder)["shows.1"]
    assert "AIRFLOW_VAR_STAGE=airflow's" in logs(folder)["env.1"] and "MARK" not in logs(folder)["env.1"]
    environment["TAILRACE_VAR_STAGE"] = "ours"
    assert tailrace("backfill", "plain", "-s", "2024-01-02", **environment).returncode == 0
    assert "stage ours of ours" in "".join(path.read_text() for path in folder.rglob("shows.1.log"))
    shown = tailrace("variables", "get", "stage", "-o", "json", **environment)
    assert json.loads(shown.stdout) == {"name": "stage", "value": "ours", "origin": "environment TAILRACE_VAR_STAGE"}
    assert "TAILRACE_VAR_STAGE goes before it" in tailrace("variables", "list", **environment).stdout
    assert "goes before it" in tailrace("variables", "set", "stage", "x", **environment).stderr


def test_what_is_not_there_is_one_line_that_says_how_to_set_it(folder: Path, tailrace: Run) -> None:
    assert tailrace("backfill", "lacking", "-s", "2024-01-01").returncode == 1
    said = logs(folder)
    how = "; set it with `tailrace variables set nope VALUE`, or in the environment as TAILRACE_VAR_NOPE"
    for task in ("variable", "rendered"):
        assert said[f"{task}.1"].rstrip().splitlines()[-1].endswith(f"there is no Variable 'nope'{how}")
    assert "there is no Connection 'nope'; set it with `tailrace connections set nope URI`" in said["connection.1"]
    assert "Variable 'stage' is no JSON" in said["json.1"]
    assert "production" in said["fine.1"]


def test_one_that_does_not_decrypt_harms_nothing_else(folder: Path, tailrace: Run) -> None:
    key = folder / ".tailrace" / "secret.key"
    former = key.read_text()
    done = tailrace("variables", "set", "stage", "x", TAILRACE_SECRET_KEY=new_key())
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "add the key" in done.stderr
    key.write_text(f"{new_key()}\n")
    done = tailrace("backfill", "plain", "-s", "2024-01-01")
    line = next(line for line in done.stderr.splitlines() if "d.py:7: " in line)
    assert done.returncode == 2 and "Variable 'stage': it does not decrypt" in line
    listed = tailrace("variables", "list")
    assert listed.returncode == 0 and listed.stdout.count("does not decrypt") == 3
    assert tailrace("variables", "get", "stage").returncode == 4
    key.write_text(f"{new_key()}\n{former}")
    assert tailrace("backfill", "plain", "-s", "2024-01-01").returncode == 0
    key.chmod(0o644)
    done = tailrace("variables", "get", "stage")
    assert done.returncode == 4 and "can be read by others (mode 0644)" in done.stderr


def test_keys_are_rotated_while_others_know_the_former_one(folder: Path, tailrace: Run) -> None:
    key = folder / ".tailrace" / "secret.key"
    former, before = key.read_text().split(), stored(folder)
    done = tailrace("variables", "rotate-key")
    assert done.returncode == 0 and "4 values encrypted anew" in done.stderr
    assert key.read_text().split()[1:] == former and key.stat().st_mode & 0o777 == 0o600
    assert stored(folder) != before
    key.write_text(f"{key.read_text().split()[0]}\n")
    assert tailrace("variables", "get", "stage").stdout == "production\n"
    other = new_key()
    keys = f"{other},{key.read_text().strip()}"
    assert tailrace("variables", "rotate-key", TAILRACE_SECRET_KEY=keys).returncode == 0
    assert tailrace("variables", "get", "stage", TAILRACE_SECRET_KEY=other).stdout == "production\n"
    assert tailrace("variables", "get", "stage").returncode == 4


def typed_in(text: str, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tailrace", *words]
    return subprocess.run(command, cwd=folder, env=clean_environment(), input=text, capture_output=True, text=True)


def test_they_are_set_listed_exported_and_imported(folder: Path, tailrace: Run, tmp_path: Path) -> None:
    assert typed_in("of stdin\nwith lines\n", folder, "variables", "set", "typed", "-").returncode == 0
    assert tailrace("variables", "get", "typed").stdout == "of stdin\nwith lines\n"
    assert typed_in("s3cret\n", folder, "connections", "set", "parts", "--type", "x", "--password", "-").returncode == 0
    assert json.loads(tailrace("connections", "get", "parts", "-o", "json").stdout)["password"] == "s3cret"
    exported = tailrace("variables", "export").stdout, tailrace("connections", "export").stdout
    assert json.loads(exported[0])["typed"] == "of stdin\nwith lines"
    assert json.loads(exported[1])["wh"]["password"] == PASSWORD
    for group, name in (("variables", "typed"), ("connections", "wh")):
        assert tailrace(group, "delete", name).returncode == 0
        again = tailrace(group, "delete", name)
        assert again.returncode == 2 and "is stored" in again.stderr
    assert typed_in(exported[0], folder, "variables", "import", "-").returncode == 0
    (tmp_path / "c.json").write_text(exported[1])
    assert tailrace("connections", "import", "c.json").returncode == 0
    assert (tailrace("variables", "export").stdout, tailrace("connections", "export").stdout) == exported
    done = tailrace("connections", "import", "c.json", "--existing", "fail")
    assert done.returncode == 2 and "is stored already" in done.stderr
    (tmp_path / "c.json").write_text('{"new": "x://h", "bad": {"hots": "MARK"}}')
    done = tailrace("connections", "import", "c.json")
    assert done.returncode == 2 and "Connection 'bad': a Connection has no field 'hots'" in done.stderr
    assert "MARK" not in done.stderr and tailrace("connections", "get", "new").returncode == 2, "all, or none"


@pytest.mark.parametrize(
    "words, said",
    [
        (("variables", "get", "nope"), "there is no Variable 'nope'; set it with `tailrace variables set nope VALUE`"),
        (("variables", "get", "it; is"), "set it with `tailrace variables set 'it; is' VALUE`"),
        (("connections", "get", "nope"), "set it with `tailrace connections set nope URI`, or in the environment as"),
        (("variables", "get", "stagee"), "did you mean stage?"),
        (("variables", "set", "a"), "the value of a is missing"),
        (("variables", "set", "", "x"), "the name of a Variable must be a name"),
        (("variables", "set", "a", "{", "--json"), "its value is no JSON"),
        (("variables", "import", "nowhere.json"), "nowhere.json: cannot be read"),
        (("connections", "set", "a", "MARK"), "neither a URI"),
        (("connections", "set", "a", "x://me:MARK/MARK@h"), "must be"),
        (("connections", "set", "a", "x://h", "--host", "h"), "not both"),
        (("connections", "set", "a", "--extra", "MARK"), "--extra must be a JSON object"),
        (("connections", "test", "nope"), "there is no Connection 'nope'"),
    ],
)
def test_what_is_wrong_is_one_line_without_the_value(
    folder: Path, tailrace: Run, words: tuple[str, ...], said: str
) -> None:
    done = tailrace(*words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert "MARK" not in done.stderr and done.stdout == ""


def test_a_connection_is_tested(folder: Path, tailrace: Run, postgres_url: str) -> None:
    database = ("connections", "set", "file", "--type", "sqlite", "--host", str(folder / ".tailrace" / "tailrace.db"))
    assert tailrace(*database).returncode == 0
    assert "is a SQLite database" in tailrace("connections", "test", "file").stdout
    assert tailrace("connections", "set", "gone", "postgres://me:MARKMARK@127.0.0.1:1/x").returncode == 0
    done = tailrace("connections", "test", "gone")
    assert done.returncode == 4 and done.stderr.count("\n") == 1 and "MARK" not in done.stderr
    assert tailrace("connections", "test", "wh", AIRFLOW_CONN_WH="http://127.0.0.1:1").returncode == 4


def test_a_worker_that_is_killed_in_the_middle_costs_a_try_and_no_secret(tmp_path: Path, tailrace: Run) -> None:
    """The next try asks its own worker, and gets what is stored by then."""
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "k.py").write_text("""
import os, signal, time
from datetime import datetime
from pathlib import Path
from tailrace import DAG, Connection, PythonOperator, Variable

def dies():
    print("first", Variable.get("my_token"), flush=True)
    Variable.set("my_token", Variable.get("my_token") + "-again")
    mark = Path("died")
    if not mark.exists():
        mark.touch()
        Path("told").write_text(str(os.getppid()))
        time.sleep(60)
    print("then", Connection.get("wh").password)

with DAG("k", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="dies", python_callable=dies)
""")
    assert tailrace("variables", "set", "my_token", "MARK-token").returncode == 0
    assert tailrace("connections", "set", "wh", URI).returncode == 0
    command = [sys.executable, "-m", "tailrace", "backfill", "k", "-s", "2024-01-01", "-w", "1"]
    job = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    told = tmp_path / "told"
    wait_for(lambda: told.exists() and bool(told.read_text()))
    zygote, children = told.read_text(), Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    [worker] = [int(pid) for pid in children if pid != zygote]
    os.kill(worker, signal.SIGKILL)
    output, _ = job.communicate(timeout=100)
    assert job.returncode == 0, output
    said = logs(tmp_path)
    assert "first ***" in said["dies.1"] and "first ***" in said["dies.2"] and "then ***" in said["dies.2"]
    assert "MARK" not in output + "".join(said.values())
    assert tailrace("variables", "get", "my_token").stdout == "MARK-token-again-again\n"


def wait_for(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


def test_a_secrets_backend_is_asked_before_the_metastore(folder: Path, tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "vault.py").write_text("""
class Vault:
    def __init__(self, stage): self.stage = stage
    def get_variable(self, key): return self.stage if key == "stage" else None
""")
    (tmp_path / "tailrace.toml").write_text(
        'secrets_backend = "vault:Vault"\n[secrets_backend_kwargs]\nstage = "MARK of the vault"\n'
    )
    environment: dict[str, Any] = {"PYTHONPATH": str(tmp_path / "lib")}
    shown = tailrace("config", "show", **environment).stdout
    assert "vault:Vault" in shown and "MARK" not in shown
    assert tailrace("backfill", "plain", "-s", "2024-01-01", **environment).returncode == 0
    assert "stage MARK of the vault of MARK of the vault" in logs(folder)["shows.1"]
    without = tailrace("variables", "get", "stage")
    assert without.returncode == 4 and "the secrets backend vault:Vault cannot be imported" in without.stderr


def test_a_check_notes_what_templates_name_and_is_not_there(folder: Path, tailrace: Run) -> None:
    done = tailrace("dags", "check", "-o", "json")
    assert done.returncode == 0
    notes = [note["message"] for note in json.loads(done.stdout)["notes"]]
    how = "set it with `tailrace variables set nope VALUE`, or in the environment as TAILRACE_VAR_NOPE"
    assert notes == [f"task rendered: bash_command: there is no Variable 'nope'; {how}"]
    assert json.loads(tailrace("dags", "check", "-o", "json", AIRFLOW_VAR_NOPE="x").stdout)["notes"] == []


def test_a_secret_that_is_too_short_to_be_masked_is_told(tailrace: Run) -> None:
    told = "a secret of fewer than 4 characters is masked in no log"
    assert told in tailrace("variables", "set", "my_password", "abc").stderr
    assert told in tailrace("connections", "set", "c", "x://me:abc@h").stderr
    assert told not in tailrace("variables", "set", "stage", "a").stderr
    assert told not in tailrace("connections", "set", "c", "x://me@h").stderr
