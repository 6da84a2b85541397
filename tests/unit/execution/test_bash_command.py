"""bash gets any command as it is, however long, and what no process can be given is said in one line."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace import DAG, BashOperator
from tailrace.authoring.arguments.bash_command import given as given_to_bash
from tests.unit.execution.builders import run

LIMIT = 32 * os.sysconf("SC_PAGE_SIZE")


def outcome(command: str, **more: Any) -> dict[str, Any]:
    with DAG("example"):
        task = BashOperator(task_id="t", bash_command="true", **more)
    task.bash_command = command  # as a template or another task may have made it
    return run(task)


def said(command: str, **more: Any) -> str:
    return str(outcome(command, **more)["error"])


def padded(command: str, size: int) -> str:
    """The command after a comment that makes it so many bytes long."""
    return "#" * (size - len(command.encode()) - 1) + "\n" + command


@pytest.mark.parametrize("size", [LIMIT - 2, LIMIT - 1, LIMIT, LIMIT + 1, 3_000_000])
def test_a_command_of_any_length_runs(size: int) -> None:
    """apache/airflow#42783: a single argument may be 128 KiB long."""
    assert outcome(padded("echo $(( 6 * 7 ))", size))["xcoms"] == {"return_value": "42"}


#: What tells one way of being run from another.
TELLING = (
    "echo $0 $# $BASH_SUBSHELL ${TAILRACE_COMMAND-none}; ls /proc/self/fd | wc -l",
    "x() { return 3; }; x; echo $?",
    "cat; echo $LINENO",
    "exit 7",
    "false",
    "echo a\\\n b; cat <<END\nline\nEND\necho last",
    "trap 'echo bye' EXIT; echo 'quoted \"' $'\\t'",
    "set -eu; false; echo not here",
    "kill -TERM $$",
    "set -o | md5sum",
    "env | grep -v ^_= | sort | md5sum",
    "if then",
)


@pytest.mark.parametrize("command", TELLING)
def test_a_long_command_sees_what_a_short_one_sees(command: str) -> None:
    long, short = padded(command, LIMIT + 10), padded(command, 200)
    for each in (long, short):
        with given_to_bash(each) as (arguments, descriptors):
            done = subprocess.run(arguments, pass_fds=descriptors, input=b"input\n", capture_output=True)
        if each is long:
            seen = done
    assert (seen.returncode, seen.stdout) == (done.returncode, done.stdout)


def test_nothing_of_a_long_command_stays_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    assert outcome(padded("exit 3", LIMIT))["kind"] == "failed"
    assert outcome(padded("true", LIMIT), cwd="/nowhere/at/all")["kind"] == "failed"
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("append", [True, False])
def test_a_variable_of_any_length_that_linux_takes(append: bool) -> None:
    longest = LIMIT - len("LONG=") - 1
    fits = outcome("printf %s $LONG | wc -c", env={"LONG": "x" * longest}, append_env=append)
    assert fits["xcoms"] == {"return_value": str(longest)}
    wrong = f"is {longest + 1:,} bytes long, and Linux takes at most {longest:,}: write it to a file and give its path"
    assert said("true", env={"LONG": f"{{{{ 'x' * {longest + 1} }}}}"}, append_env=append) == (
        f"CannotStart: env['LONG'] {wrong}"
    )
    with DAG("d") as dag:
        BashOperator(task_id="t", bash_command="true", env={"LONG": "x" * (longest + 1)})
    assert [mistake.message for mistake in dag.mistakes] == [f"task t: env has 'LONG', which {wrong}"]


def test_an_environment_that_is_too_long_together() -> None:
    """However large the stack may be, Linux takes 6 MB at most."""
    told = said("true", env={f"V{n}": "x" * (LIMIT - 10) for n in range(8 * 2**20 // LIMIT)})
    assert told.startswith("CannotStart: its environment is 8,38") and told.endswith("give their paths")


@pytest.mark.parametrize(
    ("command", "env", "words"),
    [
        ("echo \0", None, "bash_command has a NUL character in it"),
        ("echo \ud800", None, "bash_command has half a character in it"),
        (["a"], None, "bash_command must be text, not ['a']"),
        (5, None, "bash_command must be text, not 5"),
        ("true", {"A": "\0"}, "env['A'] has a NUL character in it"),
        ("true", {"A": 5}, "env['A'] must be text, not 5"),
        ("true", {"A=B": "1"}, "env['A=B'] has a name that is empty or has = in it"),
        ("true", {"": "1"}, "env[''] has a name that is empty or has = in it"),
        ("true", ["A"], "env must be a dict of texts, not ['A']"),
    ],
)
def test_what_no_process_can_be_given_is_one_line(command: Any, env: Any, words: str) -> None:
    with DAG("example"):
        task = BashOperator(task_id="t", bash_command="true")
    task.bash_command, task.env = command, env
    told = task.template_fields and run(_unrendered(task))["error"]
    assert told.startswith(f"CannotStart: {words}") and "\n" not in told


def _unrendered(task: BashOperator) -> BashOperator:
    """What it is after rendering."""
    task.template_fields = ()  # type: ignore[misc]
    return task


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(), max_size=20), st.dictionaries(st.text(max_size=5), st.text(st.characters(), max_size=9))
)
@example("\udcff", {"A": "\udcff"})
def test_any_text_is_run_or_refused(text: str, env: dict[str, str]) -> None:
    with DAG("example"):
        task = BashOperator(task_id="t", bash_command="true", env={"PATH": os.environ["PATH"]})
    task.bash_command = f"printf %s {_quoted(text)}"
    task.env = {**env, "PATH": os.environ["PATH"]}
    result = run(_unrendered(task))
    assert result["kind"] == "success" or result["error"].startswith("CannotStart: ")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_bytes_that_are_no_text_reach_a_command(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    assert outcome(f"touch {name}", cwd=str(tmp_path))["kind"] == "success"
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe"]
