"""mypy has nothing to say about right use of what authors import, and refuses each wrong one where it is written."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tailrace.authoring.arguments.callbacks import CallsOfDag, CallsOfTask
from tailrace.authoring.arguments.dag_arguments import DagArguments
from tailrace.authoring.arguments.declarations import arguments_of, unsupported_of
from tailrace.authoring.arguments.task_arguments import TASK_ARGUMENTS, DefaultArguments, TriggerRuleName
from tailrace.authoring.compiling.dag_specs import _AS_DECLARED
from tailrace.authoring.dags.dag import DAG, BaseOperator, TaskArguments
from tailrace.authoring.loading.load import bundled_examples_path, load_dags
from tailrace.model.rules import OLD_NAMES, TriggerRule
from tailrace.model.spec import TaskSpec

ROOT = Path(__file__).parents[3]
TYPED = Path(__file__).parent / "typed"
RIGHT, WRONG = TYPED / "right.py", TYPED / "wrong.py"
ERROR = re.compile(r"(?P<file>[^:]+):(?P<line>\d+): error: (?P<text>.*)")


@pytest.fixture(scope="module")
def errors() -> dict[Path, dict[int, list[str]]]:
    """What mypy says, by file and line: as strictly as of our own code, whose cache it shares."""
    files = [RIGHT, WRONG, *sorted(bundled_examples_path().glob("*.py"))]
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    found: dict[Path, dict[int, list[str]]] = {file: {} for file in files}
    for said in map(ERROR.match, done.stdout.splitlines()):
        if said:
            found[ROOT / said["file"]].setdefault(int(said["line"]), []).append(said["text"])
    return found


Errors = dict[Path, dict[int, list[str]]]


def test_right_use_is_accepted(errors: Errors) -> None:
    assert {file: said for file, said in errors.items() if said and file != WRONG} == {}


def test_each_wrong_use_is_refused_and_nothing_else(errors: Errors) -> None:
    expected = {
        number: line.split("# refused: ")[1]
        for number, line in enumerate(WRONG.read_text().splitlines(), start=1)
        if "# refused: " in line
    }
    assert len(expected) > 60
    assert errors[WRONG].keys() == expected.keys()
    missing = {number: text for number, text in expected.items() if text not in "\n".join(errors[WRONG][number])}
    assert missing == {}


def test_what_types_accept_loads(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_bytes(RIGHT.read_bytes())
    loaded = load_dags(tmp_path)
    assert [str(mistake) for mistake in loaded.mistakes] == []
    assert loaded.specs.keys() == {"right", "functions", "own", "grouped"}


def test_what_types_refuse_of_an_operators_arguments_does_not_load(tmp_path: Path) -> None:
    """But for what a function returns: that shows when it has run."""
    calls = re.findall(r"^(?:Python|Bash|Empty)Operator\(.*(?=  # refused: )", WRONG.read_text(), re.MULTILINE)
    assert len(calls) > 25
    head = "from datetime import *\nfrom tailrace import *\ndef f(ds): pass\n@task\ndef add(a, b): pass\n"
    for number, call in enumerate(calls):
        (tmp_path / "dag.py").write_text(f"{head}with DAG('d{number}'):\n  {call}\n")
        assert bool(load_dags(tmp_path).mistakes) != ("add(1, 2)" in call), call


def test_the_declarations_are_complete() -> None:
    """An argument that is read has an attribute; what a spec has of it is compiled; both say the same default."""
    assert TASK_ARGUMENTS.keys() <= {*BaseOperator.__annotations__, *CallsOfTask.__annotations__}
    assert arguments_of(DagArguments).keys() == {*DAG.__annotations__, *CallsOfDag.__annotations__} - {"_loaded"}
    assert set(_AS_DECLARED) == TaskSpec.__annotations__.keys() & TASK_ARGUMENTS.keys()
    spec = TaskSpec(task_id="t")
    assert {name: getattr(spec, name) for name in _AS_DECLARED} == {
        name: TASK_ARGUMENTS[name].default for name in _AS_DECLARED
    }


def test_each_argument_is_declared_in_one_way() -> None:
    for typed in (TaskArguments, DagArguments, DefaultArguments):
        both = arguments_of(typed).keys() & unsupported_of(typed).keys()
        assert both <= {"owner", "doc_md"}
        assert arguments_of(typed).keys() | unsupported_of(typed).keys() == typed.__annotations__.keys()


def test_the_names_of_trigger_rules_are_those_there_are() -> None:
    assert set(get_args(TriggerRuleName)) == {*map(str, TriggerRule), *OLD_NAMES}


def test_a_checker_finds_the_types_of_the_package() -> None:
    assert (ROOT / "src/tailrace/py.typed").exists()
