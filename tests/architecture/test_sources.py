"""The shape of the code: sizes, names, headers, where imports stand, and what no tracked file may hold."""

import ast
import importlib
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
FILE_LINES = 400
FUNCTION_LINES = 70
#: Names of a kind of thing, not of a duty.
KINDS = frozenset({"util", "utils", "common", "helper", "helpers", "base", "manager", "managers", "misc"})
#: Folders of machines we work on. Written in two halves: this file is tracked too.
MACHINE = tuple("/" + folder + "/" for folder in ("work", "root"))
#: SQL text that gives something a state.
ASSIGNS = re.compile(r"\b(UPDATE\s+(task_instance|dag_run|backfill)|SET\s+state)\b", re.IGNORECASE)
LATE = 'importlib.import_module("tailrace.errors")'
Check = Callable[[Path], Iterator[str]]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def oversized_files(file: Path) -> Iterator[str]:
    lines = len(file.read_text().splitlines())
    if lines >= FILE_LINES:
        yield f"{lines} lines, the limit is under {FILE_LINES}: split it by duty"


def oversized_functions(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, FUNCTIONS) and (lines := (node.end_lineno or 0) - node.lineno + 1) >= FUNCTION_LINES:
            yield f"line {node.lineno}: {node.name} has {lines} lines, the limit is under {FUNCTION_LINES}"


def names_of_a_kind(file: Path) -> Iterator[str]:
    for part in (file.parent.name, file.stem):  # each folder with a module is seen through its modules
        if KINDS & set(part.split("_")):
            yield f"{part!r} names a kind of thing; name the duty"


def missing_header(file: Path) -> Iterator[str]:
    if not ast.get_docstring(ast.parse(file.read_text())):
        yield "no docstring: open with what the file is for"


def imports_in_functions(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, FUNCTIONS):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield f"line {inner.lineno}: import inside {node.name}; cli loads lazily through importlib"


def late_module(node: ast.AST) -> str | None:
    """The module of ours that a call of ``importlib.import_module`` names."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
        name = node.args[0]
        if isinstance(name, ast.Constant) and str(name.value).startswith("tailrace."):
            return str(name.value)
    return None


def names_that_late_modules_lack(file: Path) -> Iterator[str]:
    """What a module imported late is asked for: no type checker looks at it."""
    tree = ast.parse(file.read_text())
    for scope in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        late = {
            ast.unparse(node.targets[0]): module
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign) and (module := late_module(node.value))
        }
        for node in ast.walk(scope):
            if isinstance(node, ast.Attribute):
                module = late_module(node.value) or late.get(ast.unparse(node.value))
                if module and not hasattr(importlib.import_module(module), node.attr):
                    yield f"line {node.lineno}: {module} has no {node.attr}"


def command_lines(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
        if isinstance(node, ast.JoinedStr):  # as it may read: ``{each}`` may be any word of a command
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        if isinstance(text, str) and re.search(r"(^|`)tailrace [a-z]", text):
            yield f"line {node.lineno}: a command line; say it as a remedy"


def pickles(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] in ("pickle", "marshal", "shelve", "dill", "cloudpickle"):
                yield f"line {node.lineno}: {name}: what is read so runs code; processes talk in msgspec or JSON"


def sleeps(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "sleep":
                yield f"line {node.lineno}: a test sleeps; wait for what it waits for"


def machine_paths(file: Path) -> Iterator[str]:
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
        for path in MACHINE:
            if path in line:
                yield f"line {number}: {path} is a folder of one machine"


def states_assigned(file: Path) -> Iterator[str]:
    """SQL of a metastore that gives a task instance, a run or a backfill a state; a job's state is its own to write."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and ASSIGNS.search(str(node.value)):
            yield f"line {node.lineno}: SQL text that may assign a state"
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        words = {each.arg for each in ast.walk(node) if isinstance(each, ast.keyword)}
        words |= {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
        if called == "insert" and names & {"task_instance", "dag_run", "backfill"}:
            yield f"line {node.lineno}: a row is inserted"
        if called == "values" and "state" in words and "job" not in names:
            yield f"line {node.lineno}: a state is assigned"


def found(files: list[Path], check: Check) -> list[str]:
    return [f"{file.relative_to(ROOT)}: {what}" for file in files for what in check(file)]


@pytest.mark.parametrize(
    "check",
    [
        *(oversized_files, oversized_functions, names_of_a_kind, missing_header, imports_in_functions),
        *(names_that_late_modules_lack, pickles),
    ],
    ids=lambda check: check.__name__,
)
def test_the_sources_keep_to_the_house_style(check: Check) -> None:
    assert found(SOURCES, check) == []


def test_states_are_written_in_one_place_each() -> None:
    metastore = ROOT / "src" / "tailrace" / "metastore"
    others = [file for file in metastore.rglob("*.py") if "versions" not in file.parts]
    writes = [metastore / "writes" / f"{name}.py" for name in ("task_instances", "runs", "backfills")]
    assert all(found([file], states_assigned) for file in writes), "the check sees what it looks for"
    assert found([file for file in others if file not in writes], states_assigned) == []


def test_only_what_runs_real_processes_sleeps() -> None:
    waiting = [file for file in TESTS if file.relative_to(ROOT).parts[1] not in ("acceptance", "chaos")]
    assert found(waiting, sleeps) == []


def test_only_the_command_line_writes_command_lines() -> None:
    """Below it a remedy is a code with data (``planning.messages``).

    What authors read of their files and tasks is no remedy: they read it in a log, which no command line has worded.
    """
    cli, authoring = ROOT / "src/tailrace/cli", ROOT / "src/tailrace/authoring"
    of_a_task = ROOT / "src/tailrace/secrets/not_found.py"
    for_authors = [file for file in SOURCES if file.is_relative_to(authoring) or file == of_a_task]
    below = [file for file in SOURCES if not file.is_relative_to(cli) and file not in for_authors]
    assert found(below, command_lines) == []
    assert found([cli / "remedies.py", cli / "main.py"], command_lines), "it finds some where they are"


def test_no_tracked_file_names_a_folder_of_our_machines() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    files = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert files
    assert found(files, machine_paths) == []


def test_the_readme_is_the_packages_description() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / "README.md").exists() == ("readme" in project), "readme in pyproject.toml and README.md go together"


@pytest.mark.parametrize(
    ("check", "name", "text"),
    [
        (oversized_files, "long.py", "x = 1\n" * FILE_LINES),
        (oversized_functions, "wide.py", "async def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 1)),
        (names_of_a_kind, "date_utils.py", ""),
        (names_of_a_kind, "helpers/dates.py", ""),
        (missing_header, "bare.py", "x = 1\n"),
        (imports_in_functions, "late.py", "class C:\n    def f(self):\n        from os import path\n"),
        (names_that_late_modules_lack, "asked.py", f"def f():\n    errors = {LATE}\n    errors.Nothing\n"),
        (names_that_late_modules_lack, "called.py", f"def f():\n    {LATE}.Nothing()\n"),
        (pickles, "sour.py", "import pickle\n"),
        (pickles, "sweet.py", "from pickle import loads\n"),
        (sleeps, "tired.py", "import time\ntime.sleep(1)\n"),
        (sleeps, "asleep.py", "from time import sleep\nsleep(1)\n"),
        (command_lines, "whole.py", "x = 'see `tailrace runs list`'\n"),
        (command_lines, "pieces.py", "x = f'see `tailrace {each} list`'\n"),
        (machine_paths, "here.txt", MACHINE[0] + "main"),
    ],
)
def test_each_check_can_fail(tmp_path: Path, check: Check, name: str, text: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert list(check(file))


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (oversized_files, "x = 1\n" * (FILE_LINES - 1)),
        (oversized_functions, "def f():\n" + "    x = 1\n" * (FUNCTION_LINES - 2)),
        (missing_header, '"""A header."""\n'),
        (imports_in_functions, "from os import path\n"),
        (names_that_late_modules_lack, f"def f():\n    errors = {LATE}\n    errors.EnvironmentBroken\n"),
        (sleeps, "COMMAND = 'sleep(1)'\n"),
    ],
)
def test_no_check_fails_at_its_limit(tmp_path: Path, check: Check, text: str) -> None:
    file = tmp_path / "good.py"
    file.write_text(text)
    assert not list(check(file))
