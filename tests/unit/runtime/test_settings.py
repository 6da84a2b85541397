"""Settings: where each value comes from, and one clear line for each mistake."""

from pathlib import Path

import pytest

from tailrace.errors import CommandError
from tailrace.runtime.driver import intervals_of
from tailrace.runtime.settings import Settings, load_settings
from tailrace.runtime.task_settings import of_tasks


def load(folder: Path, options: dict[str, object] | None = None, **environ: str) -> Settings:
    return load_settings(options, environ=environ, cwd=folder)


def project(folder: Path, text: str) -> Path:
    (folder / "tailrace.toml").write_text(text)
    return folder


def mistake(folder: Path, options: dict[str, object] | None = None, **environ: str) -> str:
    with pytest.raises(CommandError) as raised:
        load(folder, options, **environ)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_works_with_no_settings_at_all(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.home == tmp_path / ".tailrace"
    assert settings.dags == tmp_path / "dags"
    assert str(settings.database_url) == f"sqlite:///{tmp_path}/.tailrace/tailrace.db"
    assert settings.sqlite_file == tmp_path / ".tailrace" / "tailrace.db"
    assert settings.workers >= 2
    assert set(settings.origins.values()) == {"default"}
    assert list(tmp_path.iterdir()) == []  # reading settings makes nothing


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    project(tmp_path, 'workers = 3\nexecutor = "sequential"\nisolation = "spawn"\n')
    settings = load(tmp_path, {"workers": 5, "dags": None}, TAILRACE_WORKERS="4", TAILRACE_EXECUTOR="local")
    assert (settings.workers, settings.origins["workers"]) == (5, "option --workers")
    assert (settings.executor, settings.origins["executor"]) == ("local", "environment TAILRACE_EXECUTOR")
    assert settings.isolation == "spawn"
    assert settings.origins["isolation"] == f"file {tmp_path / 'tailrace.toml'}"
    assert settings.origins["dags"] == "default"


def test_the_sequential_executor_is_the_local_one_with_one_worker(tmp_path: Path) -> None:
    project(tmp_path, 'workers = 3\nexecutor = "sequential"\n')
    settings = load(tmp_path)
    assert (settings.executor, settings.workers) == ("local", 1)
    assert settings.origins["workers"] == f"file {tmp_path / 'tailrace.toml'}: sequential"
    settings = load(tmp_path, {"executor": "sequential"}, TAILRACE_WORKERS="4")
    assert (settings.workers, settings.origins["workers"]) == (1, "option --executor: sequential")


def test_project_is_the_nearest_folder_upward(tmp_path: Path) -> None:
    inner = project(tmp_path, "workers = 7\n") / "a" / "b"
    inner.mkdir(parents=True)
    assert load(inner).project == tmp_path
    assert load(inner).workers == 7
    assert load(inner).home == tmp_path / ".tailrace"
    (tmp_path / "a" / ".tailrace").mkdir()
    assert load(inner).project == tmp_path / "a"
    assert load(inner).workers != 7 or load(inner).origins["workers"] == "default"


def test_relative_paths_are_relative_to_where_they_are_written(tmp_path: Path) -> None:
    inner = project(tmp_path, 'dags = "flows"\nhome = "var/../state"\n') / "deep"
    inner.mkdir()
    settings = load(inner)
    assert settings.dags == tmp_path / "flows"
    assert settings.home == tmp_path / "state"
    assert load(inner, TAILRACE_DAGS="flows").dags == inner / "flows"
    assert load(inner, {"dags": Path("one.py")}).dags == inner / "one.py"


def test_home_moves_the_metastore_and_the_logs(tmp_path: Path) -> None:
    settings = load(tmp_path, TAILRACE_HOME=str(tmp_path / "elsewhere"))
    assert settings.sqlite_file == tmp_path / "elsewhere" / "tailrace.db"
    assert settings.logs == tmp_path / "elsewhere" / "logs"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql+psycopg://u:p@h/db", "postgresql+psycopg://u:***@h/db"),
        ("postgresql://u@h/db", "postgresql+psycopg://u@h/db"),
        ("postgres://u@h:5433/db", "postgresql+psycopg://u@h:5433/db"),
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
    ],
)
def test_database_addresses(tmp_path: Path, given: str, url: str) -> None:
    settings = load(tmp_path, TAILRACE_DATABASE_URL=given)
    assert str(settings.database_url) == url


def test_relative_sqlite_address(tmp_path: Path) -> None:
    settings = load(tmp_path, TAILRACE_DATABASE_URL="sqlite:///x.db")
    assert settings.sqlite_file == tmp_path / "x.db"
    assert load(project(tmp_path, 'database_url = "sqlite:///y.db"')).sqlite_file == tmp_path / "y.db"


@pytest.mark.parametrize("url", ["mysql://u:secret@h/db", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_other_databases_are_refused_without_showing_a_password(tmp_path: Path, url: str) -> None:
    message = mistake(tmp_path, TAILRACE_DATABASE_URL=url)
    assert "environment TAILRACE_DATABASE_URL" in message
    assert "postgresql+psycopg://" in message
    assert "secret" not in message


def test_unknown_key_names_the_file_the_key_and_the_nearest(tmp_path: Path) -> None:
    message = mistake(project(tmp_path, "worker = 3\n"))
    assert message == f"{tmp_path / 'tailrace.toml'}: unknown setting 'worker'; did you mean workers?"


def test_unknown_key_far_from_all_lists_them(tmp_path: Path) -> None:
    assert (
        "settings are backfill_weight, callback_timeout_seconds, dags, dags_are_paused_at_creation, database_url,"
        in mistake(project(tmp_path, "zzz = 3\n"))
    )


def test_mistyped_variable_is_refused_but_a_foreign_one_is_left_alone(tmp_path: Path) -> None:
    assert "did you mean TAILRACE_WORKERS?" in mistake(tmp_path, TAILRACE_WORKER="3")
    assert load(tmp_path, TAILRACE_WORKERS="").origins["workers"] == "default"


@pytest.mark.parametrize("name", ["DAG_ID", "RUN_ID", "TASK_ID", "TRY_NUMBER", "TRY_TOKEN", "LOGICAL_DATE", "COMPLETE"])
def test_a_command_typed_by_a_task_is_not_disturbed_by_the_tasks_own_variables(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, **{f"TAILRACE_{name}": "x"}).workers >= 2


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("workers = 0", "workers", "a whole number, at least 1, not 0"),
        ("workers = true", "workers", "a whole number"),
        ('workers = "many"', "workers", "'many'"),
        ("workers = 2.5", "workers", "a whole number"),
        ('executor = "celery"', "executor", "local or sequential, not 'celery'"),
        ("executor = 1", "executor", "local or sequential"),
        ("lease_seconds = 3", "lease_seconds", "at least 15"),
        ("lease_seconds = inf", "lease_seconds", "a number of seconds"),
        ("dags = 3", "dags", "text"),
        ('sqlite_synchronous = "off"', "sqlite_synchronous", "normal or full"),
    ],
)
def test_bad_value_names_file_key_and_what_was_expected(tmp_path: Path, text: str, key: str, expected: str) -> None:
    message = mistake(project(tmp_path, text))
    assert message.startswith(f"{tmp_path / 'tailrace.toml'}: {key} must be ")
    assert expected in message


def test_bad_variable_names_it(tmp_path: Path) -> None:
    assert mistake(tmp_path, TAILRACE_WORKERS="-1") == (
        "environment TAILRACE_WORKERS: must be a whole number, at least 1, not '-1'"
    )


def test_heartbeat_must_fit_the_lease(tmp_path: Path) -> None:
    assert "at most half of lease_seconds" in mistake(tmp_path, TAILRACE_HEARTBEAT_SECONDS="12")


def test_broken_toml_names_the_file_and_the_line(tmp_path: Path) -> None:
    message = mistake(project(tmp_path, "workers = \n"))
    assert message.startswith(f"{tmp_path / 'tailrace.toml'}: not valid TOML: ")
    assert "line 1" in message


@pytest.mark.parametrize(("text", "means"), [("true", True), ("Yes", True), (" 1", True), ("off", False), ("0", False)])
def test_a_switch_in_a_variable(tmp_path: Path, text: str, means: bool) -> None:
    assert load(tmp_path, TAILRACE_FAIL_ON_TASK_FAILURE=text).fail_on_task_failure is means
    typed = load(tmp_path, {"fail_on_task_failure": not means}, TAILRACE_FAIL_ON_TASK_FAILURE=text)
    assert typed.fail_on_task_failure is not means


@pytest.mark.parametrize("value", ["2", '"maybe"', "1.0", "[]"])
def test_a_switch_is_true_or_false(tmp_path: Path, value: str) -> None:
    assert "must be true or false" in mistake(project(tmp_path, f"fail_on_task_failure = {value}\n"))
    assert load(project(tmp_path, "fail_on_task_failure = true\n")).fail_on_task_failure is True


def test_who_is_told_of_what_is_read_whole_and_never_repeated(tmp_path: Path) -> None:
    written = '[notify]\non_failure = "slack:https://x/SECRET"\non_task_retry = ["mailto:me@x", "shell: true"]\n'
    told = load(project(tmp_path, written)).notify
    assert dict(told) == {"on_failure": ("slack:https://x/SECRET",), "on_task_retry": ("mailto:me@x", "shell: true")}
    assert dict(load(tmp_path, TAILRACE_NOTIFY='{"on_success": "https://x"}').notify) == {"on_success": ("https://x",)}
    for wrong, said in (
        ('[notify]\non_failur = "https://SECRET"', "notify has no 'on_failur'; did you mean on_failure"),
        ('[notify]\non_failure = "SECRET"', "notify.on_failure must be text that begins with https://"),
        ("[notify]\non_failure = [1]", "notify.on_failure must be text"),
        ('notify = "SECRET"', "notify must be a table"),
    ):
        mistaken = mistake(project(tmp_path, wrong))
        assert said in mistaken
        assert "SECRET" not in mistaken


def test_what_tasks_look_at_is_handed_to_them_where_it_is_set(tmp_path: Path) -> None:
    assert of_tasks(load(tmp_path)) == {}
    project(tmp_path, 'max_xcom_bytes = 1000\nxcom_frames = "kept"\n')
    assert of_tasks(load(tmp_path)) == {
        "TAILRACE_MAX_XCOM_BYTES": "1000",
        "TAILRACE_XCOM_FRAMES": str(tmp_path / "kept"),
    }
    assert (
        of_tasks(load(tmp_path, TAILRACE_XCOM_FRAMES="s3://bucket/kept"))["TAILRACE_XCOM_FRAMES"] == "s3://bucket/kept"
    )
    project(tmp_path, "max_map_length = 5000\n")
    assert of_tasks(load(tmp_path)) == {"TAILRACE_MAX_MAP_LENGTH": "5000"}
    assert intervals_of(load(tmp_path)).max_map_length == 5000
    assert "TAILRACE_MAX_MAP_LENGTH: must be a whole number, at least 1" in mistake(
        tmp_path, TAILRACE_MAX_MAP_LENGTH="0"
    )
    project(tmp_path, 'xcom_backend = "own.backends:Kept"\n')
    assert of_tasks(load(tmp_path)) == {"TAILRACE_XCOM_BACKEND": "own.backends:Kept"}
    for wrong in ("own backends", "own:", ":Kept", "own.", "5x:Kept", "own:Kept:x"):
        project(tmp_path, f"xcom_backend = {wrong!r}\n")
        assert "xcom_backend must be a class, package.module:Class" in mistake(tmp_path)
    project(tmp_path, "max_xcom_bytes = 16777217\n")
    assert "a whole number, at least 1 and at most 16,777,216, not 16777217" in mistake(tmp_path)
