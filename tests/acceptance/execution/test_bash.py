"""What a bash command says reaches the log, whatever comes of it; what it does to its parent reaches nobody else."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tailrace import DAG, BashOperator
from tailrace.effects.tries import TryOutcome
from tailrace.execution.tries.outcomes import TaskTerminated
from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.execution.conftest import NewBench, eventually
from tests.acceptance.execution.test_zygote import words_of

SPOIL = "import os, resource, sys; resource.prlimit(int(sys.argv[1]), resource.RLIMIT_NOFILE, (3, 3))"
TASKS = f"""
def shell(name, command, **more): BashOperator(task_id=name, bash_command=command, dag=dag, **more)
shell("parent", "echo $PPID")
shell("spoils", '''{sys.executable} -c "{SPOIL}" $PPID; echo $PPID''')
shell("cleans", "trap 'echo cleaning up; exit 5' TERM; echo began; sleep 30 & wait", execution_timeout=1)
shell("partial", "printf partial; sleep 30", execution_timeout=30)
shell("fails", "echo the reason; exit 3")
shell("long", "#" * 200_000 + "\\necho $PPID $(ls -l /proc/$PPID/fd | grep -c memfd)")
"""


def test_what_a_command_prints_while_it_cleans_up_is_logged(bench: NewBench) -> None:
    """The pipe was closed as soon as its parent was told to end, and the first word of a trap killed bash."""
    desk = bench(TASKS)
    outcome = desk.run("cleans")
    assert "timed out" in outcome.error
    assert desk.log("cleans").split("\n")[1:3] == ["began", "cleaning up"]


def test_what_is_read_just_as_a_signal_comes_is_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a busy machine a trap's words were read, and its parent asked to end before it had passed them on."""
    read = os.read

    def read_and_hear(descriptor: int, most: int) -> bytes:
        piece = read(descriptor, most)
        if piece == b"last words\n":
            signal.raise_signal(signal.SIGTERM)
        return piece

    def terminate(*_: Any) -> None:
        raise TaskTerminated

    command = BashOperator(task_id="says", bash_command="echo last words", dag=DAG("d", schedule=None))
    former = signal.signal(signal.SIGTERM, terminate)
    monkeypatch.setattr(os, "read", read_and_hear)
    try:
        with pytest.raises(TaskTerminated):
            command.execute({})
    finally:
        signal.signal(signal.SIGTERM, former)
    assert capfd.readouterr().out == "last words\n"


def test_half_a_line_is_in_the_log_at_once(bench: NewBench) -> None:
    desk = bench(TASKS)
    parked = desk.start("partial").task
    log = Path(desk.home / "logs" / "d" / "run" / "partial.1.log")
    eventually(lambda: log.exists() and log.read_text().endswith("partial"))
    assert parked is not None
    os.killpg(parked.pid, signal.SIGKILL)
    assert desk.outcome().kind is OutcomeKind.FAILED


def test_a_failed_command_leaves_its_own_message_and_no_traceback(bench: NewBench) -> None:
    desk = bench(TASKS)
    assert desk.run("fails").error == "BashFailed: bash exited 3: the reason"
    said = desk.log("fails")
    assert "the reason" in said and "Traceback" not in said and "tailrace/" not in said


def test_a_long_command_is_run_by_a_process_that_serves_again(bench: NewBench) -> None:
    desk = bench(TASKS)
    first, second = words_of(desk.run("long")), words_of(desk.run("long", 2))
    assert first == second == [first[0], "0"], "one parent, which holds nothing of the first command"
    assert words_of(desk.run("parent")) == [first[0]]


def test_a_parent_that_a_command_has_changed_starts_no_other(bench: NewBench) -> None:
    desk = bench(TASKS)
    assert words_of(desk.run("parent")) == words_of(desk.run("parent", 2))
    (spoilt,) = words_of(desk.run("spoils"))
    assert words_of(desk.run("parent", 3)) != [spoilt]


def test_a_last_line_of_any_length_costs_no_memory(bench: NewBench) -> None:
    """300 MB without an end of line: the process that passes them on keeps what can be an XCom, and says no."""
    desk = bench(
        """
endless = "head -c 300000000 /dev/zero | tr '\\\\0' x"
BashOperator(task_id="endless", bash_command=endless, dag=dag)
BashOperator(task_id="unpushed", bash_command=endless, dag=dag, do_xcom_push=False)
"""
    )
    parked = desk.start("endless")
    most = 0
    while not isinstance(news := desk.news(0.1), TryOutcome):
        with contextlib.suppress(OSError, IndexError):  # one that is ending has no memory any more
            memory = Path(f"/proc/{parked.task.pid if parked.task else 0}/status").read_text()
            most = max(most, int(memory.partition("VmRSS:")[2].split()[0]))
    assert "its last line, 300,000,000 bytes, is too long for an XCom (at most 16,777,216)" in news.error
    assert most < 150_000, "kilobytes"
    assert desk.run("unpushed").kind is OutcomeKind.SUCCESS
