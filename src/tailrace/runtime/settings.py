"""Settings: tailrace.toml, then TAILRACE_* variables, then options; each value remembers where it came from.

Works with no settings at all. Nothing here creates a folder or opens a metastore, and nothing imports
SQLAlchemy: the settings are read before the zygote is forked.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from tailrace.errors import CommandError
from tailrace.execution.messages.channel import LONGEST_MESSAGE
from tailrace.execution.system.withheld import WITHHELD
from tailrace.metastore.db.address import Address, read_address, sqlite_address
from tailrace.model.keys import GREATEST_MAP_INDEX
from tailrace.model.plain_text import on_one_line
from tailrace.model.spec import MOST_INSTANCES
from tailrace.model.suggestions import did_you_mean, joined, nearest
from tailrace.runtime.setting_values import (
    Key,
    Place,
    choice,
    class_name,
    file_path,
    folder_or_url,
    group,
    names,
    notified,
    seconds,
    table,
    weight,
    whole,
    yes_or_no,
)
from tailrace.runtime.trust import SAFE_DIRECTORIES, Trust, Untrusted
from tailrace.secrets.names import SecretKind, own_prefix

SETTINGS_FILE = "tailrace.toml"
HOME_FOLDER = ".tailrace"
METASTORE_FILE = "tailrace.db"
#: A Variable or a Connection may have any name.
_OF_SECRETS = (*map(own_prefix, SecretKind), "TAILRACE_SECRET_KEY")
SHORTEST_LEASE = 15.0  # seconds; a SQLite writer can stall for one, so anything shorter takes the living for dead

LOAD_TIMEOUT = 30.0  # seconds for one DAG file, as Airflow's dagbag_import_timeout

#: The second is another name for the first with one worker.
EXECUTORS = ("local", "sequential")
ISOLATIONS = ("fork", "spawn", "worker")
SYNCHRONOUS = ("normal", "full")


class Settings(Struct, frozen=True):
    """Every setting, resolved. Paths are absolute, durations are in seconds.

    ``origins`` says for each field where its value came from: ``default``, ``file …``, ``environment …``,
    ``option …``.
    """

    project: Path
    home: Path
    database_url: Address
    dags: Path
    workers: int
    executor: str
    isolation: str
    sqlite_synchronous: str
    lease_seconds: float
    heartbeat_seconds: float
    grace_seconds: float
    backfill_weight: float
    fail_on_task_failure: bool
    shared_group: str
    load_timeout_seconds: float
    dags_are_paused_at_creation: bool
    callback_timeout_seconds: float
    notify: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    max_xcom_bytes: int = LONGEST_MESSAGE
    max_map_length: int = MOST_INSTANCES
    xcom_backend: str = ""  # package.module:Class, or the name of an entry point
    xcom_frames: str = ""  # the folder, or the URL, of frames; "" for one in the home
    secrets_backend: tuple[str, ...] = ()
    secrets_backend_kwargs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    notices: tuple[str, ...] = ()  # what was found and not obeyed, or should not be as it is
    untrusted_dags: Untrusted | None = None  # why the DAG files, which nobody named, may not be the person's own

    @property
    def logs(self) -> Path:
        """Where the log files of tries are."""
        return self.home / "logs"

    @property
    def sqlite_file(self) -> Path | None:
        """The metastore's file, or None when it is not SQLite."""
        return self.database_url.file

    def require_trusted_dags(self) -> None:
        """Raise CommandError if the DAG files were found, not named, and may be another user's code."""
        if self.untrusted_dags is not None:
            raise CommandError(
                f"{self.untrusted_dags}, and is not loaded; --dags names it, or {self.untrusted_dags.remedy}"
            )


def _defaults(project: Path, home: Path) -> Mapping[str, object]:
    return {
        "database_url": sqlite_address(home / METASTORE_FILE),
        "dags": project / "dags",
        "workers": _default_workers(),
        "executor": "local",
        "isolation": "fork",
        "sqlite_synchronous": "normal",
        "lease_seconds": 20.0,
        "heartbeat_seconds": 5.0,
        "grace_seconds": 5.0,
        "backfill_weight": 1.0,
        "fail_on_task_failure": False,
        "shared_group": "",
        "load_timeout_seconds": LOAD_TIMEOUT,
        "dags_are_paused_at_creation": False,
        "callback_timeout_seconds": 60.0,
        "notify": MappingProxyType({}),
        "max_xcom_bytes": LONGEST_MESSAGE,
        "max_map_length": MOST_INSTANCES,
        "xcom_frames": "",
        "xcom_backend": "",
        "secrets_backend": (),
        "secrets_backend_kwargs": MappingProxyType({}),
    }


def load_settings(
    options: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Read the settings as they hold in ``cwd`` (default: the working folder) under ``environ`` (default:
    ours).

    ``options`` are values from the command line by setting name; None values are left out. Raises
    CommandError, one line that names the place and the key, for an unknown key or a bad value.
    """
    environ = os.environ if environ is None else environ
    cwd = Path.cwd() if cwd is None else cwd.absolute()
    trust = Trust(environ, cwd)
    project, file, found = find_project(cwd, trust)
    notices = list(found)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    sources = (
        {} if file is None else _from_file(file),
        _from_environment(environ, cwd),
        _from_options(options or {}, cwd),
    )
    for source in sources:
        for name, (value, place) in source.items():
            values[name] = _KEYS[name].read(value, place)
            origins[name] = place.origin
    if environ.get(WITHHELD) and "database_url" not in origins:
        raise CommandError(
            "a task does not get the metastore's TAILRACE_DATABASE_URL; give this command one of its own, or name the "
            "metastore in tailrace.toml"
        )
    home = values.setdefault("home", project / HOME_FOLDER)
    assert isinstance(home, Path)
    if "home" not in origins and (untrusted := trust.untrusted(home)) is not None and untrusted.foreign:
        raise CommandError(
            f"{untrusted}, and is not used; TAILRACE_HOME names a home of your own, or {untrusted.remedy}"
        )
    untrusted_dags = None if "dags" in origins else trust.untrusted(project / "dags")
    if untrusted_dags is not None and not untrusted_dags.foreign and project == cwd:
        notices.append(f"{untrusted_dags}: anybody can put code there that runs as you")
        untrusted_dags = None
    defaults = _defaults(project, home)
    resolved = {name: values.get(name, defaults.get(name)) for name in _KEYS}
    if resolved["executor"] == "sequential":
        resolved |= {"executor": "local", "workers": 1}
        origins["workers"] = f"{origins['executor']}: sequential"
    settings = Settings(
        project=project,
        origins=MappingProxyType({name: origins.get(name, "default") for name in _KEYS}),
        notices=tuple(notices),
        untrusted_dags=untrusted_dags,
        **resolved,  # type: ignore[arg-type]  # each was read by its own key's reader
    )
    _check_together(settings)
    return settings


def find_project(cwd: Path, trust: Trust) -> tuple[Path, Path | None, tuple[str, ...]]:
    """The project's folder, its tailrace.toml if it has one, and the notices about what was found on the way.

    It is the nearest folder, upward, with a tailrace.toml or a .tailrace folder; else ``cwd`` itself. What may be
    another user's is passed over.
    """
    notices: list[str] = []
    for folder in (cwd, *cwd.parents):
        file, home = folder / SETTINGS_FILE, folder / HOME_FOLDER
        found = [path for path, is_there in ((file, file.is_file()), (home, home.is_dir())) if is_there]
        for path in tuple(found):
            untrusted = trust.untrusted(path)
            if untrusted is not None and (untrusted.foreign or folder != cwd):
                notices.append(f"{untrusted}, and is not obeyed; {untrusted.remedy}")
                found.remove(path)
            elif untrusted is not None:
                notices.append(f"{untrusted}: anybody can change what runs as you")
        if found:
            return folder, file if file in found else None, tuple(notices)
    return cwd, None, tuple(notices)


def _default_workers() -> int:
    """As many as the processors we may use, but at least 2 so that a waiting task never stops all others."""
    return max(2, len(os.sched_getaffinity(0)))


# --- where values come from --------------------------------------------------------------------------------


def _from_file(path: Path) -> dict[str, tuple[object, Place]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as mistake:
        raise CommandError(f"{on_one_line(path)}: not valid TOML: {mistake}") from None
    except OSError as trouble:
        raise CommandError(f"{on_one_line(path)}: cannot be read: {trouble.strerror}") from None
    place = Place(f"file {on_one_line(path)}", path.parent)
    for key in table:
        if key not in _KEYS:
            raise CommandError(f"{on_one_line(path)}: unknown setting {key!r}{_or_all(key)}")
    return {key: (value, place) for key, value in table.items()}


def _or_all(key: str) -> str:
    return did_you_mean(key, _KEYS) or f"; settings are {joined(sorted(_KEYS))}"


def _from_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, tuple[object, Place]]:
    found: dict[str, tuple[object, Place]] = {}
    names = {key.variable: key.name for key in _KEYS.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith("TAILRACE_"):
            continue
        if variable in names:
            if text:  # an empty variable is an unset one, as in most shells' habits
                found[names[variable]] = (text, Place(f"environment {variable}", cwd))
            continue
        # Others are somebody else's (tasks find TAILRACE_DAG_ID and more in theirs); only a near miss is a mistake.
        if variable in (SAFE_DIRECTORIES, WITHHELD) or variable.startswith(_OF_SECRETS):
            continue
        if guess := nearest(variable.removeprefix("TAILRACE_"), (*_KEYS, "safe_directories"), most=1, likeness=0.8):
            meant = f"TAILRACE_{guess[0].upper()}"
            raise CommandError(f"environment: unknown setting {variable}; did you mean {meant}?")
    return found


def _from_options(options: Mapping[str, object], cwd: Path) -> dict[str, tuple[object, Place]]:
    return {
        name: (value, Place(f"option --{name.replace('_', '-')}", cwd))
        for name, value in options.items()
        if value is not None
    }


def _database_url(value: object, place: Place) -> Address:
    """A metastore's address, in what is not shown of it too: no mistake repeats it."""
    try:
        return read_address(value if isinstance(value, str) else "", place.folder)
    except CommandError as mistake:
        where = place.origin.removeprefix("file ")
        key = "" if where.startswith("environment") else "database_url "
        raise CommandError(f"{where}: {key}{mistake}") from None


_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        key.name: key
        for key in (
            file_path("home"),
            Key("database_url", _database_url),
            file_path("dags"),
            whole("workers", 1),
            choice("executor", EXECUTORS),
            choice("isolation", ISOLATIONS),
            choice("sqlite_synchronous", SYNCHRONOUS),
            seconds("lease_seconds", SHORTEST_LEASE),
            seconds("heartbeat_seconds", 0.1),
            seconds("grace_seconds", 0.0),
            weight("backfill_weight"),
            yes_or_no("fail_on_task_failure"),
            Key("shared_group", group),
            seconds("load_timeout_seconds", 1),
            yes_or_no("dags_are_paused_at_creation"),
            seconds("callback_timeout_seconds", 1),
            Key("notify", notified),
            whole("max_xcom_bytes", 1, LONGEST_MESSAGE),
            whole("max_map_length", 1, GREATEST_MAP_INDEX + 1),
            folder_or_url("xcom_frames"),
            class_name("xcom_backend"),
            names("secrets_backend"),
            table("secrets_backend_kwargs"),
        )
    }
)


def _check_together(settings: Settings) -> None:
    if settings.heartbeat_seconds * 2 > settings.lease_seconds:
        origin = settings.origins["heartbeat_seconds"].removeprefix("file ")
        raise CommandError(
            f"{origin}: heartbeat_seconds ({settings.heartbeat_seconds:g}) must be at most half of lease_seconds "
            f"({settings.lease_seconds:g}), or one late heartbeat loses the lease"
        )
