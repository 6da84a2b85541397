"""DAG files that ask for Variables and Connections as they are loaded: of whom, how much at once, and when not."""

import os
import time
from pathlib import Path

import pytest

from tailrace.execution.messages.loading_process import LoadReport
from tailrace.execution.zygote.handle import ZygoteHandle, start_zygote
from tailrace.secrets.names import SecretKind
from tailrace.secrets.requests import LONGEST_VALUE, SecretFound, SecretQuery, SecretRefused, SecretReply

VALUES = {"stage": "production", "long": "x" * LONGEST_VALUE, "none": None, "text": "ä\U0001f600\n\t"}


class Job:
    """Replies as the settings and the metastore would have it."""

    def __init__(self) -> None:
        self.asked: list[SecretQuery] = []
        self.closed = 0

    def reply(self, query: SecretQuery) -> SecretReply:
        self.asked.append(query)
        if query.name == "refused":
            return SecretRefused("it does not decrypt")
        return SecretFound(VALUES.get(query.name), "metastore")

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    return tmp_path


def write(folder: Path, name: str, code: str) -> None:
    head = "from datetime import datetime\nfrom tailrace import DAG, Connection, Variable\n"
    (folder / "dags" / f"{name}.py").write_text(f"{head}{code}\nDAG({name!r} + tag, schedule=None)\n")


def load(folder: Path, job: Job, *, polls: bool = False, small: bool = True, timeout: float = 30.0) -> LoadReport:
    zygote: ZygoteHandle = start_zygote(
        folder / "dags", folder / "home", isolation="spawn", secrets=job, small=small, timeout=timeout
    )
    try:
        until = time.monotonic() + 60
        while polls and not zygote.is_loaded():
            assert time.monotonic() < until
            time.sleep(0.02)
        return zygote.loaded()
    finally:
        zygote.stop()


@pytest.mark.parametrize("polls", [False, True], ids=["waits", "looks from time to time"])
@pytest.mark.parametrize("small", [True, False], ids=["forked", "of its own"])
def test_a_file_gets_what_it_asks_for(folder: Path, polls: bool, small: bool) -> None:
    write(folder, "a", "tag = Variable.get('stage')[:4] + str(len(Variable.get('long')))")
    write(folder, "b", f"tag = str(Variable.get('text') == {VALUES['text']!r}) + Variable.get('none', '_d')")
    write(folder, "c", "tag = str(sum(Variable.get('stage') == 'production' for _ in range(300)))")
    job = Job()
    report = load(folder, job, polls=polls, small=small)
    assert sorted(report.specs) == [f"aprod{LONGEST_VALUE}", "bTrue_d", "c300"] and not report.mistakes
    assert job.asked[0] == SecretQuery(SecretKind.VARIABLE, "stage") and job.closed > 0


def test_what_cannot_be_had_is_the_mistake_of_the_file_that_asks(folder: Path) -> None:
    write(folder, "a", "tag = Variable.get('nope')")
    write(folder, "b", "tag = Variable.get('refused', 'default')")
    write(folder, "c", "Variable.set('stage', 'x')\ntag = ''")
    write(folder, "d", "Connection.get('nope')\ntag = ''")
    write(folder, "e", "tag = Variable.get('none', default_var='')")
    report = load(folder, Job())
    assert sorted(report.specs) == ["e"]
    said = [str(mistake).partition("dags/")[2] for mistake in report.mistakes]
    assert "a.py:3: " in said[0] and "there is no Variable 'nope'; set it with" in said[0]
    assert "b.py:3: " in said[1] and "Variable 'refused': it does not decrypt" in said[1]
    assert "c.py:3: " in said[2] and "it is set by a task that runs" in said[2]
    assert "d.py:3: " in said[3] and "there is no Connection 'nope'" in said[3]


def test_a_process_that_a_file_forks_and_a_file_that_closes_everything_are_told(folder: Path) -> None:
    write(
        folder,
        "a",
        """
import os
tag = ""
if (pid := os.fork()) == 0:
    try:
        Variable.get("stage")
    except Exception as wrong:
        open(os.path.join(os.path.dirname(__file__), "said.txt"), "w").write(str(wrong))
    os._exit(0)
os.waitpid(pid, 0)
""",
    )
    job = Job()
    assert "a" in load(folder, job).specs and job.asked == []
    assert "only the process itself" in (folder / "dags" / "said.txt").read_text()


def test_threads_that_ask_at_once_get_their_own_replies(folder: Path) -> None:
    write(
        folder,
        "a",
        """
import threading
names, wrong = ["stage", "text", "none"] * 20, []
def ask(name):
    if Variable.get(name, None) != {"stage": "production", "text": "ä\\U0001f600\\n\\t", "none": None}[name]:
        wrong.append(name)
threads = [threading.Thread(target=ask, args=[name]) for name in names]
for each in threads: each.start()
for each in threads: each.join()
tag = str(len(wrong))
""",
    )
    assert "a0" in load(folder, Job()).specs


def test_the_time_that_a_reply_takes_is_not_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "a", "tag = Variable.get('stage')")

    def slowly(self: Job, query: SecretQuery) -> SecretReply:
        time.sleep(3.0)
        return SecretFound("_late")

    monkeypatch.setattr(Job, "reply", slowly)
    assert "a_late" in load(folder, Job(), timeout=2.0).specs


def test_without_anybody_to_ask_the_environment_of_the_job_replies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILRACE_VAR_MY_TOKEN", "_of_job")
    write(folder, "a", "import os\ntag = Variable.get('my_token') + str('TAILRACE_VAR_MY_TOKEN' in os.environ)")
    zygote = start_zygote(folder / "dags", folder / "home", isolation="spawn")
    try:
        assert "a_of_jobFalse" in zygote.loaded().specs
    finally:
        zygote.stop()
    assert os.environ["TAILRACE_VAR_MY_TOKEN"] == "_of_job"
