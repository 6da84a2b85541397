"""What a person types is kept as it is, or refused in one line where it is typed, before anything is written."""

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.cli import main as top
from tailrace.cli.command_line import command_line
from tailrace.cli.options import WholeNumber
from tailrace.errors import CommandError
from tailrace.runtime.settings import load_settings
from tailrace.service.backfill_report import BackfillCommand
from tailrace.service.confs import canonical_conf
from tailrace.service.dagfiles import bundled_file
from tailrace.service.dates import parse_bound, run_reference
from tests.unit.model.anything import json_values, texts

Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """``typed("runs", "list")`` in an empty folder: (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        code = top.run(arguments)
        return code, capsys.readouterr().err

    return run


LATIN = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("backfill", LATIN, "-s", "2024-01-01"), "dag_id"),
        (("backfill", "d", "-s", LATIN), "-s"),
        (("backfill", "d", "-s", "2024-01-01", "--pool", LATIN), "--pool"),
        (("backfill", "d", "-s", "2024-01-01", "--conf", f'{{"a": "{LATIN}"}}'), "--conf"),
        (("dags", "trigger", "d", "--run-id", f"manual__{LATIN}"), "--run-id"),
        (("runs", "show", "d", f"manual__{LATIN}"), "run"),
        (("tasks", "explain", "d", LATIN, "2024-01-01"), "task_id"),
        (("runs", "clear", "d", "manual__a", LATIN, "-y"), "runs"),
        (("pools", "set", LATIN, "3"), "name"),
        (("pools", "set", "p", "3", "--description", LATIN), "--description"),
        (("db", "clean", "--before", LATIN), "--before"),
    ],
)
def test_what_is_no_text_is_refused_where_it_is_typed(
    typed: Typed, tmp_path: Path, arguments: tuple[str, ...], name: str
) -> None:
    code, said = typed(*arguments)
    assert code == 2
    assert said.casefold().startswith(f"error: {name} ") and "caf\\udce9" in said
    assert said.endswith("is no text in UTF-8; type it in UTF-8\n") and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_path_may_be_any_bytes(typed: Typed, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    assert typed("dags", "check", "--dags", os.fsdecode(folder))[0] == 0


@pytest.mark.parametrize(
    ("run_id", "wrong"),
    [
        ("manual__a\nb", "--run-id must be a name in one line without slashes, not 'manual__a\\nb'"),
        ("manual__\x1b[2J", "--run-id must be a name in one line without slashes, not 'manual__\\x1b[2J'"),
        ("../../__x", "--run-id must be a name in one line without slashes"),
        (" manual__x", "--run-id must be a name in one line without slashes"),
        ("manual__" + "x" * 300, "--run-id must be at most 220 bytes long, not 308"),
        ("..", "--run-id must be a name, not '..', which is a folder's"),
        ("2024-01-01", "reads as a date; name the run otherwise, such as run-2024-01-01"),
        ("backfill__2024-01-01", "Tailrace itself names runs backfill__…, scheduled__… and manual__ with a date"),
    ],
)
def test_a_run_id_must_be_a_name(typed: Typed, tmp_path: Path, run_id: str, wrong: str) -> None:
    (tmp_path / "dags").mkdir()
    code, said = typed("dags", "trigger", "d", "--run-id", run_id)
    assert code == 2 and wrong in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("conf", "wrong"),
    [
        ('{"threshold": 1e400}', "--conf cannot be kept as it is: at ['threshold']: inf is not in JSON"),
        ('{"threshold": NaN}', "--conf cannot be kept as it is: NaN is not in JSON"),
        ('{"a": 1, "a": 2}', "--conf cannot be kept as it is: the key 'a' is there twice"),
        ('{"a": ' + "1" * 4301 + "}", "--conf cannot be kept as it is: a number of more than 4300 digits"),
        ('{"a": ' + "[" * 50_000, "--conf cannot be kept as it is: lists and dicts more than 200 deep"),
        ('{"a": "\\ud83d', "--conf is not JSON"),
        ("5", "--conf must be a JSON object"),
        ("[" * 150 + "]" * 150, "--conf must be a JSON object"),
    ],
)
def test_a_conf_comes_to_the_tasks_as_it_was_typed_or_not_at_all(conf: str, wrong: str) -> None:
    with pytest.raises(CommandError) as refused:
        canonical_conf(conf)
    assert wrong in str(refused.value) and len(str(refused.value)) < 600


@given(st.dictionaries(texts, json_values, max_size=4))
@example({"a": "caf\udce9", "\0": "\ud800"})
def test_any_conf_is_kept_or_refused(value: dict[str, object]) -> None:
    typed = json.dumps(value)
    with suppress(CommandError):
        kept = canonical_conf(typed)
        assert kept is not None and canonical_conf(kept) == kept
        assert json.loads(kept) == json.loads(typed)
        kept.encode()
        assert "\0" not in kept


@given(texts)
@example("[" * 100_000)
def test_any_text_as_conf_is_read_or_refused(text: str) -> None:
    with suppress(CommandError):
        canonical_conf(text)


@given(texts | st.from_regex(r"\d{1,6}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,7})?)?([+-]\d\d:\d\d|Z)?)?"))
@example("0001-01-01")
@example("9999-12-31")
@example("0001-01-01T00:00+14:00")
@example("\uff12\uff10\uff12\uff14-01-01")
@example("1" * 5000)
def test_any_text_as_a_date_is_read_or_refused(text: str) -> None:
    for zone in (ZoneInfo("UTC"), ZoneInfo("America/New_York")):
        for read in (parse_bound, run_reference):
            with suppress(CommandError):
                read(text, zone)


@given(texts | st.integers().map(str) | st.sampled_from(["9" * 5000, "0" * 5000 + "1", "٣", "1_000", "+1", "²"]))
def test_any_text_as_a_number_is_read_or_refused(text: str) -> None:
    try:
        number = WholeNumber(1).convert(text, None, None)
    except click.BadParameter as refused:
        assert len(refused.format_message()) < 250
    else:
        assert 1 <= number < 2**31


@pytest.mark.parametrize("dag_id", ["x" * 300, "../examples/example_weather", "", ".", "..", "a/b", "a\nb"])
def test_what_names_no_dag_names_no_bundled_file(tmp_path: Path, dag_id: str) -> None:
    assert bundled_file(dag_id, load_settings({}, environ={}, cwd=tmp_path)) is None


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw))
@example(b"dags/caf\xe9 'x'\n\\n\x1b[2J$(touch /tmp/no)`x`!")
def test_a_command_line_can_be_typed_again_whatever_bytes_are_in_a_path(raw: bytes) -> None:
    line = command_line(BackfillCommand("d", start="2024-01-01"), {"dags": Path(os.fsdecode(raw))})
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    words = done.stdout.split(b"\0")[:-1]
    assert words[-2:] == [b"--dags", os.fsencode(Path(os.fsdecode(raw)))]
