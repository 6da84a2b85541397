"""What is wrong with a command line is one line in our words that says what to type; long helps are in sections."""

from collections.abc import Iterator

import click
import pytest

from tailrace.cli.help_sections import _OTHER
from tailrace.cli.lazy import LazyGroup
from tailrace.cli.main import run, tailrace


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("runs show", "DAG_ID is missing: tailrace runs show [OPTIONS] DAG_ID RUN"),
        ("tasks test d", "TASK_ID is missing: tailrace tasks test [OPTIONS] DAG_ID TASK_ID RUN"),
        ("tasks mark d a x", "--state is missing: tailrace tasks mark … --state [success|failed|skipped]"),
        ("tasks mark d a x --state x", "--state: 'x' is not one of 'success', 'failed', 'skipped'"),
        ("backfill d -s", "-s needs a value: -s DATE"),
        ("backfill d --start", "--start needs a value: --start DATE"),
        ("backfill d --new=3", "--new takes no value; see tailrace backfill run --help"),
        ("backfill d --stop-on-fail", "no such option: --stop-on-fail; did you mean --stop-on-failure?"),
        ("runs show d x --frobnicate", "no such option: --frobnicate; see tailrace runs show --help"),
        ("runs show d x -Z", "no such option: -Z; see tailrace runs show --help"),
        ("runs show d x y z", "y z is more than is expected: tailrace runs show [OPTIONS] DAG_ID RUN"),
        ("runs show d x \x1b[2J", "\\x1b[2J is more than is expected: tailrace runs show [OPTIONS] DAG_ID RUN"),
        ("runs list -o xml", "-o/--output: 'xml' is not one of 'table', 'json'"),
        ("pools set a b", "SLOTS: 'b' is not a whole number, 0 or more"),
        ("runs lst", "no such command: tailrace runs lst; did you mean list?"),
        ("--frobnicate", "no such option: --frobnicate; see tailrace --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(typed.split(" ")) == 2
    assert capsys.readouterr() == ("", f"error: {said}\n")


def commands(group: LazyGroup, path: str = "tailrace") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, LazyGroup):
            yield from commands(command, f"{path} {name}")


EVERY = dict(commands(tailrace))


@pytest.mark.parametrize("path", EVERY)
def test_every_option_of_a_long_help_is_in_a_section_that_says_what_it_is_about(path: str) -> None:
    command = EVERY[path]
    shown = command.get_help(click.Context(command, info_name=path))
    sections = [line[:-1] for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert len(sections) == len(set(sections))
    if "Output" in sections:
        assert _OTHER not in sections, "its options stand in a section, or get one"
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.endswith("-") or line.count("{{") != line.count("}}")] == [], "broken words"
    assert "<=x" not in shown


def test_the_help_of_a_backfill_is_in_sections(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backfill", "--help"]) == 0
    shown = capsys.readouterr().out
    order = ["Which dates:", "What runs:", "How:", "Before anything is written:", "Output:", "Commands:"]
    assert [line for line in shown.splitlines() if line in order] == order
    dates = shown.split("Which dates:")[1].split("What runs:")[0]
    assert "--start DATE" in dates and "--end DATE" in dates and "--workers" not in dates
