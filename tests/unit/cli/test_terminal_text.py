"""Whatever is said goes through one door: on a terminal only our own colours are more than text."""

import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli import main as top
from tailrace.cli.console import Console, state_styled, styled
from tailrace.cli.live import LiveDisplay
from tailrace.cli.log_text import log_text
from tailrace.cli.meter import Reading
from tailrace.cli.tables import Column, show_table
from tailrace.errors import CommandError
from tailrace.runtime.listeners import Progress
from tests.unit.cli.test_tables import Terminal
from tests.unit.model.test_printable import TEXT, steers

HOSTILE = "run\x1b[2J\x1b]0;owned\x07\x9b31m\r\u202egnp.exe\x1b[31mred"
SHOWN = "run\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\x0d\\u202egnp.exe\\x1b[31mred"
OURS = re.compile("\x1b\\[[0-9;]*m")


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """stdout and stderr lead to it, and it shows colours."""
    found = Terminal()
    monkeypatch.setattr(sys, "stdout", found)
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return found


def test_every_way_to_say_something(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    console = Console()
    for say in (console.print, console.note, console.notice, console.error, console.trace):
        terminal.seek(0)
        terminal.truncate()
        say(f"{styled(HOSTILE, terminal, bold=True)} {HOSTILE} {state_styled('failed', terminal)}")
        said = terminal.getvalue()
        assert said.count(SHOWN) == 2
        assert "\x1b[1m" in said and "\x1b[31m" in said, "our own colours are there"
        assert not any(map(steers, OURS.sub("", said)))
        assert len(OURS.findall(said)) in (4, 6, 7), "and no colour is but ours"


def test_tables_and_the_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    show_table((Column("run"), Column("is", state=True)), [(HOSTILE, HOSTILE), ("b", "failed")], empty="")
    display = LiveDisplay(HOSTILE)
    display.line(f"{styled('bold', sys.stderr, bold=True)} {HOSTILE}")
    display.show(
        Reading(runs_done=0, runs=1, tasks_done=0, tasks=1, running=1, failed=0, rate=None, elapsed=1, left=None),
        Progress({}, {}, 1, 1.0, (HOSTILE,)),
    )
    display.close()
    said = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "")
    assert not any(map(steers, said))
    assert "owned\\x07" in said
    assert "\x1b[2J" not in terminal.getvalue()


@given(TEXT)
def test_json_on_a_terminal(text: str) -> None:
    found = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", found)
        Console().print_json({text: [text]})
    assert not any(map(steers, found.getvalue()))


def test_errors_and_their_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    for raised in (CommandError(HOSTILE), ValueError(HOSTILE), OSError(28, "full", HOSTILE)):

        def fail(*arguments: object, raised: BaseException = raised) -> None:
            raise raised

        monkeypatch.setattr(top.tailrace, "invoke", fail)
        terminal.seek(0)
        terminal.truncate()
        assert top.run(["config", "show"]) in (2, 4, 70)
        assert not any(map(steers, OURS.sub("", terminal.getvalue())))
        assert "owned\\x07" in terminal.getvalue()
        assert terminal.getvalue().count("error:") == 1, "and none of its lines looks like one of ours"


# --- logs ------------------------------------------------------------------------------------------------------


def shown(content: bytes, *, cut: int = 1 << 20, colours: bool = True) -> str:
    pieces = [content[at : at + cut] for at in range(0, len(content), cut)]
    return "".join(log_text(pieces, colours=colours))


def test_a_log_keeps_its_colours_and_nothing_else() -> None:
    log = b"\x1b[1;31mred\x1b[0m \x1b[2J\x1b]0;owned\x07 \xff\xe2\x80\xae 100%\r\n50%\rdone \xc2\x9b2J \x1b[3"
    assert shown(log) == (
        "\x1b[1;31mred\x1b[0m \\x1b[2J\\x1b]0;owned\\x07 \\xff\\u202e 100%\n50%\\x0ddone \\x9b2J \\x1b[3\x1b[0m"
    )
    assert shown(log, colours=False).startswith("red \\x1b[2J") and "\x1b" not in shown(log, colours=False)
    assert shown(b"plain\n") == "plain\n"


@given(
    st.lists(st.sampled_from([b"\x1b", b"[", b"3", b"1;", b"m", b"\r", b"\n", b"a", "é".encode(), b"\xff", b"\x07"])),
    st.integers(min_value=1, max_value=7),
)
def test_where_a_log_is_cut_makes_no_difference(parts: list[bytes], cut: int) -> None:
    log = b"".join(parts)
    whole = shown(log)
    assert shown(log, cut=cut) == whole
    assert not any(map(steers, OURS.sub("", whole)))


def test_a_log_in_which_a_sequence_never_ends_is_not_held_back() -> None:
    content = b"\x1b[" + b"1;" * 10_000 + b"x"
    pieces = iter([content[:100], content[100:]])
    assert "".join(log_text(pieces, colours=True)).startswith("\\x1b[1;")


def test_piped_a_log_is_its_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tailrace.cli.commands.tasks_logs import _print
    from tailrace.cli.log_pieces import pieces_of

    class Piped(io.StringIO):
        buffer = io.BytesIO()

    monkeypatch.setattr(sys, "stdout", Piped())
    (tmp_path / "log").write_bytes(b"\x1b[2J\xff\r")
    _print(pieces_of(tmp_path, tmp_path / "log"))
    assert Piped.buffer.getvalue() == b"\x1b[2J\xff\r"
