"""The top of the command line: light help, nearest names, and one line with the right code for every error."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tailrace.cli import main as top
from tailrace.cli.lazy import Lazy
from tailrace.errors import AuthoringError, CommandError, EnvironmentBroken, InternalError

Typed = Callable[..., tuple[int, str, str]]

NOT_BUILT_YET = (
    "--map-index",
    *("web", "standalone"),
)


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """``typed("config", "show")`` in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = top.run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_help_lists_what_is_built_and_nothing_else(typed: Typed) -> None:
    code, out, _ = typed("--help")
    assert code == 0
    for name in (
        "init",
        "demo",
        "backfill",
        "dags",
        "runs",
        "tasks",
        "pools",
        "db",
        "audit",
        "config",
        "simulate",
        "scheduler",
    ):
        assert f"\n  {name} " in out
    for name in NOT_BUILT_YET:
        assert name not in out


@pytest.mark.parametrize("group", ["dags", "runs", "tasks", "pools", "db", "config"])
def test_help_of_a_group_lists_nothing_unbuilt(typed: Typed, group: str) -> None:
    code, out, _ = typed(group, "--help")
    assert code == 0
    for name in NOT_BUILT_YET:
        assert name not in out


def test_help_of_backfill_has_the_options_of_run_and_the_other_commands(typed: Typed) -> None:
    code, out, _ = typed("backfill", "--help")
    assert code == 0
    for option in (
        *("-s, --start", "-e, --end", "--dags", "--reprocess", "--new", "--max-active-runs", "-w, --workers"),
        *("--executor", "--isolation", "--pool", "--backwards", "--stop-on-failure", "--disable-retry"),
        *("--mark-success", "--ignore-first-depends-on-past", "--conf", "-n, --dry-run", "-o, --output"),
        *("-v, --verbose", "-q, --quiet"),
    ):
        assert option in out
    for command in ("run", "list", "show"):
        assert f"\n  {command} " in out
    for name in NOT_BUILT_YET:
        assert name not in out


def test_every_command_in_the_help_can_be_loaded_and_described(typed: Typed) -> None:
    def walk(command: click.Command, *path: str) -> None:
        code, out, _ = typed(*path, "--help")
        assert code == 0 and out.startswith("Usage: tailrace")
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None and below.get_short_help_str()
                walk(below, *path, name)

    walk(top.tailrace)


def test_help_loads_neither_sqlalchemy_nor_rich() -> None:
    script = (
        "import sys; from tailrace.cli.main import run; run(['--help'])\n"
        "heavy = {'sqlalchemy', 'alembic', 'rich', 'jinja2', 'psycopg'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (("bakfill",), "did you mean backfill?"),
        (("dags", "lst"), "did you mean list?"),
        (("zzz",), "see tailrace --help"),
    ],
)
def test_mistyped_command(typed: Typed, arguments: tuple[str, ...], guess: str) -> None:
    code, out, err = typed(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: no such command: tailrace ") and guess in err
    assert err.count("\n") == 1


def test_mistyped_option(typed: Typed) -> None:
    code, _, err = typed("config", "show", "--outptu", "json")
    assert code == 2
    assert err.count("\n") == 1 and "--output" in err


def test_version(typed: Typed) -> None:
    code, out, _ = typed("--version")
    assert code == 0 and out.startswith("tailrace ")


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def boom() -> None:
        raise error

    monkeypatch.setattr(sys.modules[__name__], "boom", boom, raising=False)
    monkeypatch.setitem(top.tailrace.lazy, "boom", Lazy(f"{__name__}:boom", "Boom."))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (CommandError("dates: wrong"), 2, "error: dates: wrong\n"),
        (AuthoringError("x.py:3: wrong"), 2, "error: x.py:3: wrong\n"),
        (EnvironmentBroken("no metastore"), 4, "error: no metastore\n"),
        (InternalError("invariant"), 70, "error: invariant\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space", "/x"), 4, "error: /x: the disk is full; make room and run the same"),
        (
            OSError(errno.EROFS, "ro", "/x"),
            4,
            "error: /x: the file system is read-only; run it in another folder, or set TAILRACE_HOME",
        ),
        (PermissionError(errno.EACCES, "no", "/x"), 4, "error: /x: permission denied; check the owner"),
        (ValueError("odd\nthing"), 70, "error: ValueError: odd thing — this is a bug in Tailrace; please report"),
    ],
)
def test_errors_are_one_line_with_their_code(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str
) -> None:
    raising(error, monkeypatch)
    got, out, err = typed("boom")
    assert (got, out) == (code, "")
    assert err.startswith(says)
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [CommandError("wrong"), ValueError("odd")])
def test_a_traceback_is_shown_with_vv_only(typed: Typed, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    raising(error, monkeypatch)
    assert "Traceback" not in typed("-v", "boom")[2]
    assert "Traceback" in typed("-vv", "boom")[2]


def test_config_show_names_origins_and_masks_the_password(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TAILRACE_DATABASE_URL", "postgresql://me:hunter2@db/x")
    (tmp_path / "tailrace.toml").write_text("workers = 3\n")
    code, out, err = typed("config", "show", "-o", "json")
    assert code == 0 and err == ""
    answer = json.loads(out)
    assert answer["workers"] == {"value": 3, "origin": f"file {tmp_path / 'tailrace.toml'}"}
    assert answer["database_url"] == {
        "value": "postgresql+psycopg://me:***@db/x",
        "origin": "environment TAILRACE_DATABASE_URL",
    }
    code, out, _ = typed("config", "show")
    assert "hunter2" not in out
    assert out.splitlines()[0].split() == ["setting", "value", "origin"]


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m tailrace config show | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr in ("", f"project folder: {tmp_path}\n")
    assert done.stdout.strip() in ("0", "141")


def test_output_that_cannot_be_written_is_a_broken_environment(tmp_path: Path) -> None:
    script = f"{sys.executable} -m tailrace config show -o json > /dev/full"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr == (
        "error: the output could not be written: the disk is full; make room and run the same command again\n"
    )


def test_init_writes_one_dag_and_prints_the_next_command(typed: Typed, tmp_path: Path) -> None:
    code, out, _ = typed("init")
    assert code == 0
    assert out == "tailrace backfill hello -s 2024-01-01 -e 2024-01-07\n"
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["hello.py", "tailrace.toml"]


def test_init_never_overwrites(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "hello.py").write_text("mine")
    code, _, err = typed("init")
    assert code == 2 and "dags/hello.py exists already" in err
    assert (tmp_path / "dags" / "hello.py").read_text() == "mine"
    assert not (tmp_path / "tailrace.toml").exists()


def test_init_keeps_settings_that_are_there(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "tailrace.toml").write_text("workers = 3\n")
    assert typed("init")[0] == 0
    assert (tmp_path / "tailrace.toml").read_text() == "workers = 3\n"
