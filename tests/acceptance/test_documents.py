"""What README and docs show is what one sees: every block is typed, in order, in an empty folder.

A Python block below a line that names a file and ends with a colon is that file, or, without imports, part of one that
a command has written. In a block with ``$`` the commands are typed, and what follows each is what it prints; ``…`` is
for lines left out. Seconds and moments of today differ, and lines of progress come when there is time.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from msgspec import Struct

from tailrace.cli.main import tailrace as commands
from tests.acceptance.conftest import Run, assert_sound, clean_environment

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TYPED = (
    "README.md",
    "docs/authoring.md",
    "docs/coming-from-airflow.md",
    "docs/groups.md",
    "docs/history-calls.md",
    "docs/mapping.md",
    "docs/notifications.md",
    "docs/params.md",
    "docs/parts.md",
    "docs/run-limits.md",
    "docs/sensors.md",
    "docs/templates.md",
    "docs/trying-out.md",
    "docs/variables.md",
    "docs/web.md",
    "docs/xcom.md",
)

_BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`(?P<file>[\w./]+\.py)`.*:\s*$")
_COMMAND = re.compile(r"`tailrace ([^`]*)`")
_VARIES = (
    (re.compile(r"\b\d+\.\d\d s\b"), "N s"),
    (re.compile(r"\b20(2[6-9]|[3-9]\d)-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "TODAY"),
)

_PROGRESS = re.compile(r": \d+/\d+ runs, .* elapsed")


class Block(Struct, frozen=True):
    kind: str
    body: str
    file: str | None


def blocks(text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        before = text[: found.start()].rstrip("\n").rsplit("\n", 1)[-1]
        named = _NAMED.search(before)
        yield Block(found["kind"], found["body"], named["file"] if named else None)


def typed(body: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a block, with the lines that it shows."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *shown = part.rstrip("\n").split("\n")
        yield command, shown


def plain(line: str, folder: Path) -> str:
    for what, instead in ((re.compile(re.escape(str(folder))), "."), *_VARIES):
        line = what.sub(instead, line)
    return line.rstrip()


def shows(printed: list[str], expected: list[str]) -> bool:
    """Whether these lines are those, ``…`` being any number of them."""
    if not expected:
        return not printed
    if expected[0] == "…":
        return any(shows(printed[skipped:], expected[1:]) for skipped in range(len(printed) + 1))
    return bool(printed) and printed[0] == expected[0] and shows(printed[1:], expected[1:])


def run(command: str, folder: Path) -> list[str]:
    words, python = command, shlex.quote(sys.executable)
    if command.startswith("tailrace"):
        words = f"{python} -m {command}"
    elif command.startswith("python "):
        words = f"{python} {command.removeprefix('python ')}"
    done = subprocess.run(
        ["bash", "-c", words],
        cwd=folder,
        env=clean_environment(TAILRACE_WORKERS="2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
    )
    return [line for line in done.stdout.rstrip("\n").splitlines() if not _PROGRESS.search(line)]


@pytest.mark.parametrize("name", TYPED)
def test_what_it_shows_is_what_one_sees(tmp_path: Path, name: str) -> None:
    excerpts: list[tuple[Path, str]] = []
    for block in blocks((ROOT / name).read_text()):
        if block.kind == "python" and block.file is not None:
            file = tmp_path / block.file
            file.parent.mkdir(exist_ok=True)
            if "import" in block.body:
                file.write_text(block.body)
            else:
                excerpts.append((file, block.body))
        for command, expected in typed(block.body) if block.kind != "python" else ():
            printed = [plain(line, tmp_path) for line in run(command, tmp_path)]
            wanted = [plain(line, tmp_path) for line in expected]
            assert shows(printed, wanted), "\n".join([f"$ {command}", *printed, "--- but it shows", *wanted])
    for file, excerpt in excerpts:
        assert excerpt in file.read_text()
    assert_sound(tmp_path / ".tailrace")


def test_the_json_of_a_backfill_is_as_the_commands_page_shows_it(tailrace: Run) -> None:
    """Its fields in their order, and the values of the example it is of; but for how long that took."""
    [shown] = [block for block in blocks((ROOT / "docs" / "commands.md").read_text()) if block.kind == "json"]
    expected = json.loads(shown.body)
    words = ("backfill", expected["dag_id"], "-s", "2024-01-01", "-e", "2024-01-03", "-o", "json")
    printed = json.loads(tailrace(*words).stdout)
    assert list(printed) == list(expected)
    assert printed | {"seconds": 0} == expected | {"seconds": 0}


def test_nothing_says_to_install_what_is_on_no_index() -> None:
    """Until Tailrace is on PyPI; then this goes. An extra of what is installed is found without any index."""
    files = [*DOCUMENTS, *(ROOT / "src").rglob("*.py")]
    wrong = re.compile(r"pip install (-\w+ )*['\"]?tailrace(?!\[)")
    assert [str(file) for file in files if wrong.search(file.read_text())] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: os.path.relpath(path, ROOT))
def test_python_in_it_is_python(document: Path) -> None:
    for block in blocks(document.read_text()):
        if block.kind == "python":
            compile(block.body, str(document), "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: os.path.relpath(path, ROOT))
def test_the_commands_it_names_are_there(document: Path) -> None:
    for found in _COMMAND.finditer(document.read_text()):
        command: click.Command = commands
        context = click.Context(commands)
        for word in found[1].replace("|", " ").split():
            if isinstance(command, click.Group) and word[0].islower():
                inner = command.get_command(context, word)
                if inner is None and "run" in command.list_commands(context):
                    break  # `tailrace backfill DAG` is short for `tailrace backfill run DAG`
                assert inner is not None or "|" in found[1], f"{found[0]}: there is no {word}"
                command = inner or command
            elif word.startswith("--"):
                runs = command.get_command(context, "run") if isinstance(command, click.Group) else command
                options = {
                    name for each in (runs or command).get_params(context) for name in each.opts + each.secondary_opts
                }
                assert word.split("=")[0] in options, f"{found[0]}: there is no {word}"
