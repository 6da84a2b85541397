"""Settings: tailrace.toml, then TAILRACE_* variables, then options; each value remembers where it came from.

Works with no settings at all. Nothing here creates a folder or opens a metastore, and nothing imports
SQLAlchemy: the settings are read before the zygote is forked.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from msgspec import Struct, field

from tailrace.errors import CommandError
from tailrace.runtime.suggestions import did_you_mean, in_words, nearest

SETTINGS_FILE = "tailrace.toml"
HOME_FOLDER = ".tailrace"
METASTORE_FILE = "tailrace.db"
SHORTEST_LEASE = 15.0  # seconds; a SQLite writer can stall for one, so anything shorter takes the living for dead

LOAD_TIMEOUT = 30.0  # seconds for one DAG file, as Airflow's dagbag_import_timeout

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
    database_url: str
    dags: Path
    workers: int
    executor: str
    isolation: str
    sqlite_synchronous: str
    lease_seconds: float
    heartbeat_seconds: float
    backfill_weight: float
    load_timeout_seconds: float
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def logs(self) -> Path:
        """Where the log files of tries are."""
        return self.home / "logs"

    @property
    def sqlite_file(self) -> Path | None:
        """The metastore's file, or None when it is not SQLite (or is in memory)."""
        return sqlite_path(self.database_url)

    @property
    def safe_database_url(self) -> str:
        """The metastore's address without its password."""
        return mask_password(self.database_url)


class _Place(Struct, frozen=True):
    """Where a value was found: how to name it, and what a relative path in it is relative to."""

    origin: str
    folder: Path


class _Key(Struct, frozen=True):
    """One setting: its name in the file, its variable, and how its text or TOML value is read."""

    name: str
    read: Callable[[object, _Place], object]

    @property
    def variable(self) -> str:
        return f"TAILRACE_{self.name.upper()}"


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
    project = find_project(cwd)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    sources = (
        _from_file(project),
        _from_environment(environ, cwd),
        _from_options(options or {}, cwd),
    )
    for source in sources:
        for name, (value, place) in source.items():
            values[name] = _KEYS[name].read(value, place)
            origins[name] = place.origin
    home = values.setdefault("home", project / HOME_FOLDER)
    assert isinstance(home, Path)
    defaults: dict[str, object] = {
        "database_url": f"sqlite:///{home / METASTORE_FILE}",
        "dags": project / "dags",
        "workers": _default_workers(),
        "executor": "local",
        "isolation": "fork",
        "sqlite_synchronous": "normal",
        "lease_seconds": 20.0,
        "heartbeat_seconds": 5.0,
        "backfill_weight": 1.0,
        "load_timeout_seconds": LOAD_TIMEOUT,
    }
    resolved = {name: values.get(name, defaults.get(name)) for name in _KEYS}
    settings = Settings(
        project=project,
        origins=MappingProxyType({name: origins.get(name, "default") for name in _KEYS}),
        **resolved,  # type: ignore[arg-type]  # each was read by its own key's reader
    )
    _check_together(settings)
    return settings


def find_project(cwd: Path) -> Path:
    """The nearest folder, upward, with a tailrace.toml or a .tailrace folder; else ``cwd`` itself."""
    for folder in (cwd, *cwd.parents):
        if (folder / SETTINGS_FILE).is_file() or (folder / HOME_FOLDER).is_dir():
            return folder
    return cwd


def mask_password(url: str) -> str:
    """``url`` with any password in it replaced by ``***``: safe to print."""
    masked = re.sub(r"(?<=//)([^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*password=)[^&]*", r"\1***", masked)


def sqlite_path(url: str) -> Path | None:
    """The file a SQLite address names; None for an address in memory or of another kind."""
    scheme, _, rest = url.partition("://")
    name = rest.partition("?")[0].removeprefix("/")
    if not scheme.startswith("sqlite") or name in ("", ":memory:"):
        return None
    return Path(name)


def _default_workers() -> int:
    """As many as the processors we may use, but at least 2 so that a waiting task never stops all others."""
    return max(2, len(os.sched_getaffinity(0)))


# --- where values come from --------------------------------------------------------------------------------


def _from_file(project: Path) -> dict[str, tuple[object, _Place]]:
    path = project / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as mistake:
        raise CommandError(f"{path}: not valid TOML: {mistake}") from None
    except OSError as trouble:
        raise CommandError(f"{path}: cannot be read: {trouble.strerror}") from None
    place = _Place(f"file {path}", project)
    for key in table:
        if key not in _KEYS:
            raise CommandError(f"{path}: unknown setting {key!r}{_or_all(key)}")
    return {key: (value, place) for key, value in table.items()}


def _or_all(key: str) -> str:
    return did_you_mean(key, _KEYS) or f"; settings are {in_words(sorted(_KEYS))}"


def _from_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, tuple[object, _Place]]:
    found: dict[str, tuple[object, _Place]] = {}
    names = {key.variable: key.name for key in _KEYS.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith("TAILRACE_"):
            continue
        if variable in names:
            if text:  # an empty variable is an unset one, as in most shells' habits
                found[names[variable]] = (text, _Place(f"environment {variable}", cwd))
            continue
        # Others are somebody else's (tasks find TAILRACE_DAG_ID and more in theirs); only a near miss is a mistake.
        if guess := nearest(variable.removeprefix("TAILRACE_"), _KEYS, most=1, likeness=0.8):
            meant = _KEYS[guess[0]].variable
            raise CommandError(f"environment: unknown setting {variable}; did you mean {meant}?")
    return found


def _from_options(options: Mapping[str, object], cwd: Path) -> dict[str, tuple[object, _Place]]:
    return {
        name: (value, _Place(f"option --{name.replace('_', '-')}", cwd))
        for name, value in options.items()
        if value is not None
    }


# --- how values are read -----------------------------------------------------------------------------------


def _bad(place: _Place, name: str, expected: str, found: object) -> CommandError:
    where = place.origin.removeprefix("file ")
    key = "" if where.startswith(("environment", "option")) else f" {name}"
    return CommandError(f"{where}:{key} must be {expected}, not {found!r}")


def _text(value: object, place: _Place, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise _bad(place, name, "text", value)
    return value


def _path(name: str) -> _Key:
    def read(value: object, place: _Place) -> Path:
        text = str(value) if isinstance(value, Path) else _text(value, place, name)
        return Path(os.path.normpath(place.folder / Path(text).expanduser()))

    return _Key(name, read)


def _choice(name: str, choices: tuple[str, ...]) -> _Key:
    def read(value: object, place: _Place) -> str:
        if value not in choices:
            raise _bad(place, name, in_words(choices, "or"), value)
        return str(value)

    return _Key(name, read)


def _whole(name: str, least: int) -> _Key:
    def read(value: object, place: _Place) -> int:
        expected = f"a whole number, at least {least}"
        if isinstance(value, str) and re.fullmatch(r"\s*\d+\s*", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _bad(place, name, expected, value)
        return value

    return _Key(name, read)


def _seconds(name: str, least: float) -> _Key:
    def read(value: object, place: _Place) -> float:
        expected = f"a number of seconds, at least {least:g}"
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise _bad(place, name, expected, value) from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
            raise _bad(place, name, expected, value)
        return float(value)

    return _Key(name, read)


def _weight(name: str) -> _Key:
    """How much room one kind of work gets beside another."""

    def read(value: object, place: _Place) -> float:
        expected = "a number from 0.01 to 100"
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise _bad(place, name, expected, value) from None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.01 <= value <= 100:
            raise _bad(place, name, expected, value)
        return float(value)

    return _Key(name, read)


def _database_url(value: object, place: _Place) -> str:
    """Addresses as SQLAlchemy takes them; PostgreSQL always through psycopg 3, SQLite files made absolute."""
    text = _text(value, place, "database_url")
    scheme = urlsplit(text).scheme
    if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        return "postgresql+psycopg" + text[len(scheme) :]
    if scheme == "sqlite":
        path = sqlite_path(text)
        if path is not None:
            return f"sqlite:///{os.path.normpath(place.folder / path.expanduser())}"
    expected = "sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
    raise _bad(place, "database_url", expected, mask_password(text))


_KEYS: Mapping[str, _Key] = MappingProxyType(
    {
        key.name: key
        for key in (
            _path("home"),
            _Key("database_url", _database_url),
            _path("dags"),
            _whole("workers", 1),
            _choice("executor", EXECUTORS),
            _choice("isolation", ISOLATIONS),
            _choice("sqlite_synchronous", SYNCHRONOUS),
            _seconds("lease_seconds", SHORTEST_LEASE),
            _seconds("heartbeat_seconds", 0.1),
            _weight("backfill_weight"),
            _seconds("load_timeout_seconds", 1),
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
